"""A run read from its folder alone: of any version, under way, damaged, or none at all."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tandem.errors import Damaged, UserError
from tandem.links import LinkError
from tandem.training.reading.configuration import SAVED_AS
from tandem.training.reading.run_files import RunFiles
from tandem.training.storage import folder

OLDER = Path(__file__).resolve().parents[2] / "older_runs"
CONFIG = "task: toy_lq\nseed: 3\nmode: decoupled\nenvs:\n  repeat: 2\nbudget:\n  total: 60\nallocator:\n  phases: 1\nprice:\n  label: 4\n"


def account(step, spent, transitions, labels, updates, time, **laps):
    money = {"budget/spent": spent, "budget/transitions": transitions, "budget/labels": labels}
    return {"step": step, "time": time, **money, "train/updates": updates, **{f"time/{k}": v for k, v in laps.items()}}


def evaluation(step, spent, value, time):
    return {"step": step, "time": time, "eval/return": value, "eval/return_sampled": value - 1, "budget/spent": spent}


def plan(step, transitions, labels, time):
    return {"step": step, "time": time, "plan/transitions": transitions, "plan/labels": labels}


ROWS = [
    plan(0, 8, 3, 0),
    account(8, 4, 4, 0, 0, 900.0, update_seconds=300.0, other_seconds=600.0),
    evaluation(16, 20, -5.0, 1799.0),
    account(16, 20, 8, 3, 2, 1800.0, update_seconds=900.0),
    plan(16, 20, 5, 90_000.0),  # after a night
    evaluation(56, 60, 7.0, 93_599.0),
    account(56, 60, 28, 8, 9, 93_600.0, update_seconds=3600.0),
]


@pytest.fixture
def write(tmp_path):
    """Writes a run's folder with rows (dicts, or lines as they are) and gives it."""

    def write(rows=ROWS, config=CONFIG, name="run"):
        path = tmp_path / name
        path.mkdir()
        (path / SAVED_AS).write_text(config)
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (path / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
        return path

    return write


def test_a_run_says_what_its_returns_cost(write):
    run = RunFiles.read(write())
    assert (run.task, run.seed, run.repeat, run.is_over, run.damaged) == ("toy_lq", 3, 2, True, ())
    assert run.prices == {"transition": 1.0, "label": 4}  # 8 + 3 * 4 = 20, 28 + 8 * 4 = 60
    pilot, last = run.evaluations
    assert (pilot.phase, pilot.step, pilot.spent, pilot.transitions, pilot.labels, pilot.updates) == (
        0,
        16,
        20,
        8,
        3,
        2,
    )
    assert (last.phase, last.spent, last.return_mode, last.return_sampled, last.updates) == (1, 60, 7.0, 6.0, 9)
    assert (pilot.hours, last.hours) == (0.5, 1.5)  # 300 + 600 + 900 s, 3,600 s more: nobody worked at night


def test_without_records_phases_are_rebuilt_from_metrics(write):
    pilot, last = RunFiles.read(write()).phases
    assert (pilot.phase, pilot.spent, pilot.plan.transitions, pilot.plan.labels) == (0, 20, 8, 3)
    assert (last.phase, last.transitions, last.labels, last.plan.money_micro) == (1, 28, 8, 40_000_000)
    assert last.plan.label_spend_share == 0.5 and last.measured is None


def test_of_versions_that_told_no_laps_the_clock_counts(write):
    rows = [{key: value for key, value in row.items() if not key.startswith("time/")} for row in ROWS]
    assert [one.hours for one in RunFiles.read(write(rows)).evaluations] == [0.5, 26.0]


def test_a_run_of_version_0_1_is_read(tmp_path):
    shutil.unpack_archive(OLDER / "0.1.tar.gz", tmp_path)
    run = RunFiles.read(tmp_path / "0.1")
    told = [(one.phase, one.step, one.spent, one.transitions, one.labels, one.updates) for one in run.evaluations]
    assert told == [(0, 40, 72, 40, 8, 2), (1, 100, 196, 100, 24, 9), (2, 160, 320, 160, 40, 16)]
    assert [one.plan.labels for one in run.phases] == [8, 16, 16] and run.is_over
    assert run.evaluations[-1].return_mode == pytest.approx(-0.40658059709190175)


def test_damaged_lines_are_counted_and_left_out(write):
    rows = [
        *ROWS[:2],
        "\x00\x00{",
        "[1, 2]",
        '{"step": "8", "time": 1}',
        '{"step": 8}',
        f'{{"step": 1{"0" * 400}}}',
        *ROWS[2:],
    ]
    run = RunFiles.read(write(rows))
    assert [one.spent for one in run.evaluations] == [20, 60]
    assert len(run.damaged) == 1 and run.damaged[0].endswith("metrics.jsonl: 5 damaged lines left out")


def test_a_line_that_is_being_written_is_no_damage(write):
    path = write()
    with open(path / "metrics.jsonl", "a") as file:
        file.write('{"step": 60, "ti')
    assert RunFiles.read(path).damaged == ()


def test_a_run_under_way_has_what_it_has(write):
    begun = RunFiles.read(write(ROWS[:2], name="begun"))
    assert (begun.evaluations, begun.phases, begun.is_over) == ((), (), False)
    cut = RunFiles.read(write(ROWS[:3], name="cut"))  # killed between the evaluation and the account of its phase
    assert [(one.spent, one.updates) for one in cut.evaluations] == [(20, 0)] and cut.phases == ()
    empty = write([], name="empty")
    (empty / "metrics.jsonl").unlink()
    assert RunFiles.read(empty).evaluations == ()


def test_a_return_that_is_no_number_reads_as_nan(write):
    run = RunFiles.read(write([*ROWS[:2], evaluation(16, 20, 3.0, 1.0) | {"eval/return": None}, ROWS[3]]))
    assert math.isnan(run.evaluations[0].return_mode) and run.evaluations[0].return_sampled == 2.0


def test_records_say_which_phase_was_evaluated(write):
    path = write(
        [plan(0, 8, 3, 0), account(16, 20, 8, 3, 2, 5.0), plan(16, 20, 5, 6.0), *ROWS[5:]]
    )  # the pilot was not
    record = {
        "phase": 1,
        "step": 56,
        "spent": 60.0,
        "transitions": 28,
        "labels": 8,
        "spent_on_tiers": {"default": 32.0},
    }
    made = {"phase": 1, "transitions": 20, "labels": 5, "money_micro": 1, "label_spend_share": 0.5, "facts": {}}
    curve = {"counts": [1.0, 2.0], "errors": [3.0, None], "weights": [1.0, 1.0], "unit": "linear"}
    measured = {"dynamics": curve, "reward": curve, "weights": [1.0, 1.0], "explained_variance": None}
    line = json.dumps(record | {"plan": made, "measured": measured, "offers": []})
    (path / "phases.jsonl").write_text(f"{line}\n{line[:40]}\n")
    run = RunFiles.read(path)
    assert [one.phase for one in run.evaluations] == [1] == [one.phase for one in run.phases]
    assert run.phases[0].measured.dynamics.usable().shape == (3, 1)  # a null is no number
    assert [line.partition(": ")[2] for line in run.damaged] == ["1 damaged line left out"]


def test_an_evaluation_without_a_record_replaces_none(write):
    begun = [plan(56, 8, 3, 93_600.0), evaluation(70, 99, 9.0, 93_700.0)]  # of which no account is written yet
    coupled = RunFiles.read(write([*ROWS, *begun], CONFIG.replace("decoupled", "coupled")))
    told = [(one.phase, one.return_mode) for one in coupled.evaluations]
    assert told == [(1, -5.0), (2, 7.0), (3, 9.0)]
    rows = [*ROWS[:2], "the pilot's evaluation once", *ROWS[3:], begun[0], begun[1] | {"eval/return": None}]
    last, stray = RunFiles.read(write(rows, name="stray")).evaluations
    assert (last.phase, last.return_mode, stray.phase) == (1, 7.0, 2) and math.isnan(stray.return_mode)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("task: 3\n", "a mapping of settings that names a task"),
        ("- task\n", "a mapping of settings that names a task"),
        ("task: [\n", "not readable as YAML"),
        ("task: !!python/object/apply:os.system ['touch /tmp/never']\n", "not readable as YAML"),
        ("task: a\nb: &b [1]\nc: [*b, *b]\n", "refers to parts of itself"),
        ("task: a\nprice:\n  label: cheap\n", "price.label must be a number"),
        ("task: a\nenvs:\n  repeat: .inf\n", "envs.repeat must be a whole number"),
        ("task: a\nb: " + "[" * 20 + "]" * 20, "more than 8 deep"),
        ("task: a\nseed: .nan\n", "seed must be a whole number"),
    ],
)
def test_a_configuration_that_is_none_is_told_in_one_line(write, config, words):
    with pytest.raises(Damaged, match=words) as told:
        RunFiles.read(write(config=config))
    assert "\n" not in str(told.value)


def test_what_is_secret_in_an_address_is_not_read(write):
    run = RunFiles.read(write(config=CONFIG + "labeler:\n  url: https://ann:pass@host/ask?key=1\n"))
    assert run.setting("labeler.url") == "https://***@host/ask?***"


def test_what_is_no_run_is_told(tmp_path, write):
    for path, words in ((tmp_path, "it has no config.yaml"), (tmp_path / "none", "there is no such folder")):
        with pytest.raises(UserError, match=words):
            RunFiles.read(path)
    path = write()
    (path / "metrics.jsonl").unlink()
    (path / "metrics.jsonl").symlink_to("/etc/hostname")
    with pytest.raises(LinkError):
        RunFiles.read(path)


def test_a_reader_starts_no_torch():
    code = "import sys, tandem.training.reading.run_files; print('torch' in sys.modules, 'scipy' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_readers_and_writers_mean_the_same_file():
    assert SAVED_AS == folder.SAVED_AS
