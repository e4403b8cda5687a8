"""The benchmark of accidents: it can see harm, and one accident of each kind comes out right. The sweeps are its own."""

import importlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.run


@pytest.fixture(scope="module")
def script():
    """Name of a file of benchmarks/accidents -> module."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield lambda name: importlib.import_module(f"accidents.{name}")
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """done("stops.stops(1)") -> what a process of its own gives: nothing of the tests' processes is forked with it."""

    def run(call: str) -> dict:
        folder = tmp_path_factory.mktemp("accidents")
        module = call.partition(".")[0]
        code = (
            f"import json, torch; torch.set_num_threads(1); from accidents import {module}; print(json.dumps({call}))"
        )
        paths = os.pathsep.join([str(ROOT / "benchmarks"), *filter(None, [os.environ.get("PYTHONPATH")])])
        known = {**os.environ, "PYTHONPATH": paths, "XDG_STATE_HOME": str(folder), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", code]
        ended = subprocess.run(command, check=False, cwd=folder, env=known, capture_output=True, text=True, timeout=500)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    return run


@pytest.mark.slow
def test_what_a_stranger_plants_is_neither_executed_nor_followed(script, tmp_path):
    """One of each kind, of the 133 that the benchmark plants; every payload does harm where it is loaded without care."""
    strangers, run = script("strangers"), script("survey").stopped(tmp_path / "run")
    picked = {"pickles", "arrays", "tags", "references", "names", "paths", "links", "pipes"}
    found = strangers.strangers(run, only=lambda plant: plant.kind in picked and not picked.remove(plant.kind))
    assert [found[kind] for kind in strangers.KINDS] == [1] * 8 and found["payloads_live"] > 20
    assert (found["executed"], found["read_outside"], found["written_outside"], found["faults"]) == (0, 0, 0, [])
    assert found["commands"] > 60 and found["refused"] > 30


def test_the_watch_for_strangers_sees_what_is_executed_and_what_is_read_outside(script, tmp_path):
    strangers, readers = script("strangers"), script("strangers.readers")
    ground = strangers.Ground(tmp_path)
    ground.run.mkdir()
    ground.outside.mkdir()
    (ground.outside / "secret").write_text("theirs")
    os.symlink(ground.outside / "secret", ground.run / "link")
    touched = set()
    note = readers._noting(str(ground.outside), touched)
    note("open", (str(ground.run / "link"), "r", 0))
    note("open", (str(ground.run / "other"), "r", 0))
    assert touched == {f"open {ground.run / 'link'}"}
    before = strangers._prints(ground.outside)
    ground.mark.touch()
    (ground.outside / "secret").write_text("mine")
    harm = strangers._harm(ground, readers.Reading({"eval": "KeyError"}, ["open link"]), before)
    assert harm == ["executed", "read_outside", "written_outside"]
    assert readers.Reading({"eval": "KeyError", "ledger": 2, "load": 0}, []).strange == ["eval ended with KeyError"]


@pytest.mark.slow
def test_a_run_that_is_told_to_end_says_what_is_kept_leaves_nothing_and_goes_on_equal(done):
    found = done("stops.stops(1, places=['training', 'second Ctrl-C'])")
    assert found.keys() == {"training, SIGTERM", "training, SIGINT", "second Ctrl-C"}
    for counts in found.values():
        assert counts["faults"] == []
        assert {counts[key] for key in ("statuses_right", "told", "nothing_left_behind", "runs_equal")} == {1}


@pytest.mark.slow
def test_a_full_disk_is_told_in_a_line_and_the_run_goes_on_where_there_is_room(script, tmp_path):
    disks, lives = script("disks"), script("lives")
    lives.live_on(tmp_path / "whole")
    tries = [("full", lambda: disks._fail_at_sync(20)), ("small", lambda: disks._limit_size(20_000))]
    counts = disks._tried(tmp_path, tries, tmp_path / "whole", None)
    assert counts == {"tries": 2, "refused": 2, "equal": 2, "faults": []}


@pytest.mark.slow
def test_a_process_that_dies_and_one_that_hangs_are_built_anew_and_said(done):
    for counts in done("workers.workers(2, 1)").values():
        assert counts["faults"] == [] and counts["told"] == counts["accidents"] > 0 and counts["is_finished"]


@pytest.mark.parametrize(
    "name",
    [
        "observation of nan",
        pytest.param("reward of 1e+300", marks=pytest.mark.slow),
        pytest.param("answer of -inf", marks=pytest.mark.slow),
        pytest.param("loss of inf", marks=pytest.mark.slow),
        pytest.param("action of nan", marks=pytest.mark.slow),
    ],
)
def test_a_number_that_is_none_is_told_never_kept_and_stops_nobody(script, tmp_path, monkeypatch, name):
    runs = script("poison.runs")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "benchmarks"))
    count = runs.Count()
    (case,) = [one for one in runs.cases(tmp_path, random.Random(0)) if one.name == name]
    runs.meet(count, case, tmp_path)
    assert (count.cases, count.told, count.kept_finite, count.resumed, count.faults) == (1, 1, 1, 1, [])
