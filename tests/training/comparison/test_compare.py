"""`tandem compare`: runs by what they cost, from folders, as a person calls it."""

import csv
import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

import tandem.cli
from tandem.training.comparison.commands import FILES
from tandem.training.comparison.compared import compare
from tandem.training.comparison.courses import find_courses

OLDER = Path(__file__).resolve().parents[2] / "older_runs"
GOOD = [(10, 0.0), (20, 60.0), (40, 100.0)]
POOR = [(10, 0.0), (20, 20.0), (40, 50.0)]


@pytest.fixture
def runs(make_run, tmp_path):
    """Three adaptive runs and three that split in half; the first of these reaches 90 last, the others never."""
    for seed in range(3):
        make_run(
            f"runs/a{seed}", [(spent, value + seed) for spent, value in GOOD], seed=seed, allocator__name="adaptive"
        )
        make_run(f"runs/b{seed}", [(spent, value - seed) for spent, value in POOR], seed=seed, allocator__name="fixed")
    return tmp_path / "runs"


def told(capsys, *arguments):
    assert tandem.cli.main(["compare", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    assert tandem.cli.main(["compare", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: "), (out, err)
    return err


def compared(*places, axis="coins", level=None):
    return compare(find_courses(places)[0], axis, level)


def test_groups_are_held_against_what_they_spent(runs):
    found = compared(runs, level=90)
    good, poor = found.standings
    assert (good.group.name, poor.group.name) == ("allocator.name=adaptive", "allocator.name=fixed")
    assert (good.final.value, good.final.low, good.final.high) == (101, 100, 102)
    assert (good.reached.spent, good.reached.is_reached, good.reached.number) == (40, True, 3)
    assert (poor.reached.spent, poor.reached.is_reached, poor.reached.number) == (40, False, 0)
    assert good.area.value == pytest.approx((10 * 1 + 10 * 31 + 20 * 81) / 40)
    assert good.wins == ("allocator.name=fixed",) and poor.wins == ()
    assert found.improvements["allocator.name=fixed", "allocator.name=adaptive"].value == 0


def test_what_a_level_costs_is_told_of_the_middle_run(make_run, tmp_path):
    """At 20, at 40, never: 40. Of two runs the dearer one counts."""
    for seed, returns in enumerate(
        ([(10, 0), (20, 9), (40, 9)], [(10, 0), (20, 0), (40, 9)], [(10, 0), (20, 0), (40, 0)])
    ):
        make_run(f"r{seed}", returns, seed=seed)
    three, two = compared(tmp_path, level=9), compared(tmp_path / "r0", tmp_path / "r2", level=9)
    assert (three.standings[0].reached.spent, three.standings[0].reached.is_reached) == (40, True)
    assert not two.standings[0].reached.is_reached


def test_without_a_level_it_is_nine_tenths_of_the_way(runs):
    assert compared(runs).level == pytest.approx(0 + 0.9 * 101)  # IQM of the six first returns: 0


def test_the_other_axes(runs):
    at = {axis: compared(runs, axis=axis).common for axis in ("steps", "labels", "hours")}
    assert at == {"steps": 40, "labels": 5, "hours": pytest.approx(0.4)}  # 20 transitions of 2 steps; 40 // 8


def test_runs_that_spent_unequally_are_held_against_each_other_at_equal_spend(make_run, tmp_path):
    make_run("far", [(10, 0.0), (100, 90.0)], budget__total=100)
    make_run("near", [(10, 0.0), (40, 31.0)], budget__total=40)
    near, far = compared(tmp_path).standings
    assert (near.at_common.value, far.at_common.value) == (31, 30)  # 90 / 90 a coin after the first ten
    assert far.final.value == 90


def test_all_of_it_is_written_and_can_be_compared_again(runs, tmp_path, capsys):
    out = tmp_path / "out"
    told(capsys, runs, "--level", "90", "--out", out)
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG" and b"<svg" in (out / "curves.svg").read_bytes()[:1000]
    rows = list(csv.DictReader((out / "table.csv").open()))
    assert [(row["group"], row["to_level"], row["is_reached"]) for row in rows] == [
        ("allocator.name=adaptive", "40", "1"),
        ("allocator.name=fixed", "40", "0"),
    ]
    again = tmp_path / "again"
    told(capsys, out / "compare.json", "--level", "90", "--out", again)
    for name in FILES:
        assert (again / name).read_bytes() == (out / name).read_bytes(), name


def test_the_table_says_what_was_not_reached_and_what_is_not_over(runs, make_run, capsys):
    make_run("runs/b3", POOR[:2], seed=3, allocator__name="fixed", allocator__phases=2, budget__total=40)
    text = told(capsys, runs, "--level", "90")
    assert "> 40 (0 of 4)" in text and "4 (1 not over)" in text
    assert "note: not over, the latest return counts as the last one: " in text
    assert f"note: all runs have spent 20 coins: {runs / 'b3'} ends there, others go on" in text


def test_one_run_and_one_evaluation_are_enough(make_run, tmp_path, capsys):
    run = make_run("one", [(10, 1.0)])
    assert "one evaluation only, a point and no curve: " in told(capsys, run, "--out", tmp_path / "out")


def test_evaluations_at_one_place_are_no_single_evaluation(make_run):
    notes = compared(make_run("two", [(10, 1.0), (15, 2.0)]), axis="labels").notes  # 10 // 8 == 15 // 8
    assert any(note.startswith("evaluations all at one place by labels, a point and no curve: ") for note in notes)
    assert not any("one evaluation only" in note for note in notes)


def test_a_run_of_version_0_1_is_compared(tmp_path, capsys):
    shutil.unpack_archive(OLDER / "0.1.tar.gz", tmp_path)
    text = told(capsys, tmp_path / "0.1", "--by", "steps")
    assert "toy_lq: 1 run in 1 group, by steps" in text and "at 160 steps" in text


def test_tasks_are_compared_one_by_one(runs, make_run, tmp_path, capsys):
    make_run("other", GOOD, task="gym:Pendulum-v1")
    text = told(capsys, runs, tmp_path / "other")
    assert "toy_lq: 6 runs in 2 groups" in text and "gym:Pendulum-v1: 1 run in 1 group" in text
    assert "note: 2 tasks are compared one by one" in text


def test_other_action_repeats_are_told(make_run, tmp_path):
    make_run("two", GOOD)
    make_run("four", GOOD, envs__repeat=4)
    found = compared(tmp_path, axis="steps")
    assert sorted(one.runs[0].end for one in found.standings) == [40, 80]  # 20 transitions each
    assert "action repeats differ (2, 4): steps are those of the environment, not transitions" in found.notes


def test_a_seed_that_is_there_twice_is_told(make_run, tmp_path):
    make_run("one", GOOD)
    make_run("same", GOOD)
    assert any(note.startswith("seed is there more than once") for note in compared(tmp_path).notes)
    assert len(find_courses([tmp_path, tmp_path / "one"])[0]) == 2  # a folder that is named twice is one run


def test_of_found_runs_those_that_tell_nothing_are_left_out(runs, make_run, capsys):
    (make_run("runs/broken", GOOD) / "config.yaml").write_text("task: [")
    make_run("runs/young", [])
    with open(runs / "a0/metrics.jsonl", "a") as file:
        file.write("?\n")
    text = told(capsys, runs)
    assert "toy_lq: 6 runs" in text and "a0/metrics.jsonl: 1 damaged line left out" in text
    assert "note: left out: " in text and "broken/config.yaml: not readable as YAML" in text
    assert "young: no evaluation yet" in text


def test_a_dollar_in_a_setting_is_a_dollar(make_run, tmp_path, capsys):
    for seed, prompt in enumerate(("pay $5 or\n$6^{ now", "pay " * 50)):
        make_run(f"run{seed}", GOOD, labeler__prompt=prompt)
    text = told(capsys, tmp_path, "--out", tmp_path / "out")
    assert 'labeler.prompt="pay $5 or\\n$6^{ now"' in text
    assert "pay pay" in text and max(map(len, text.splitlines()[:6])) < 200


def test_what_a_stranger_wrote_steers_no_terminal_and_spoils_no_drawing(make_run, tmp_path, capsys):
    evil = "toy\x1b[31m\x00\ufffe"
    for seed in range(2):
        make_run(f"theirs/\x1b[{seed}m", GOOD, task=evil, **{"\x1bkey": seed})
    (make_run("theirs/\x1b[9m", GOOD) / "config.yaml").write_text("task: [")
    text = told(capsys, tmp_path / "theirs", "--out", tmp_path / "out")
    shown = text + "".join((tmp_path / "out" / name).read_text() for name in FILES if not name.endswith("png"))
    assert (
        not {"\x1b", "\x00", "\ufffe"} & set(shown)
        and "toy\ufffd[31m\ufffd\ufffd: 2 runs in 2 groups" in text
        and "\ufffdkey=0" in text
    )
    ElementTree.parse(tmp_path / "out" / "curves.svg")
    assert "\x1b" not in refused(capsys, tmp_path / "theirs" / "\x1b[9m")


def test_what_cannot_be_compared_is_told_in_one_line(runs, make_run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.json").write_text('{"runs": [{"name": "a"}]}')
    young, out = make_run("young", []), tmp_path / "out"
    assert "no run lies below it" in refused(capsys, tmp_path / "empty")
    assert "there is no such folder" in refused(capsys, tmp_path / "nowhere", runs)
    assert "neither a run nor a file of runs" in refused(capsys, tmp_path / "file.json")
    assert "no evaluation yet" in refused(capsys, young, "--out", out)
    assert f"note: left out: {young}: no evaluation yet" in told(capsys, young, runs)
    (make_run("ruins/broken", GOOD) / "config.yaml").write_text("task: [")
    assert "no run can be read there" in refused(capsys, tmp_path / "ruins", "--out", out)
    assert "--level" in refused(capsys, runs, "--level", "nan")
    assert "--by" in refused(capsys, runs, "--by", "euros")
    assert "not a folder" in refused(capsys, runs, "--out", tmp_path / "file.json")
    assert not out.exists()


def test_what_is_no_file_is_not_replaced(runs, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "curves.csv")
    assert "curves.csv: is no ordinary file" in refused(capsys, runs, "--out", tmp_path / "out")
    assert [path.is_fifo() for path in (tmp_path / "out").iterdir()] == [True]


def test_nothing_is_written_where_a_number_is_missing(runs, tmp_path, capsys):
    plain = [one.to_plain() for one in find_courses([runs])[0]]
    plain[0]["evaluations"][0]["hours"] = None
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({"runs": plain}))
    assert "hours of its evaluations are not known" in refused(capsys, kept, "--by", "hours", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()
