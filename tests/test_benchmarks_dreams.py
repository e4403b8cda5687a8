"""The benchmark of dreams: its cells can be run, its arithmetic is right, and it measures every phase of a run."""

import importlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tandem.envs.episodes import Trace
from tandem.training.settings import load_config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script():
    """Name of a file of benchmarks/dreams -> module."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield lambda name: importlib.import_module(f"dreams.{name}")
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.slow
def test_every_cell_is_a_configuration_and_no_two_of_a_task_are_the_same(script):
    settings = script("settings")
    for task in settings.TASKS:
        known = [load_config([*task.settings, *settings.COMMON, *chosen]) for chosen in settings.SETTINGS.values()]
        assert all(config.allocator.name == "fixed" and config.train.updates for config in known)
        assert all(one != other for i, one in enumerate(known) for other in known[:i])
        assert known[0].dynamics.free_nats == 1 and next(iter(settings.SETTINGS)) == settings.BASELINE


def test_coins_count_to_the_first_evaluation_that_reaches_the_level(script):
    report, task = script("report"), script("settings").Task("one", (), random_return=0, good_return=100)
    assert task.level == 90
    run = {"spent": [10.0, 20.0, 30.0], "return": [0.0, 90.0, 50.0]}
    assert report.told(report.coins(run, task)) == "20"
    assert report.told(report.coins({**run, "return": [0.0, 89.9, 50.0]}, task)) == "> 30"
    assert report.mean_return(run) == 70  # of 90 and 50: the pilot is left out


def test_an_interval_holds_the_middle_of_all_resamples(script):
    interval = script("report").interval
    # Of 0 and 1 two are drawn: means 0, .5, .5, 1. Three steps between them: the quantile .025 lies at .075 of the first.
    assert interval([0.0, 1.0]) == "0.5 (0.0375 .. 0.962)"
    assert interval([math.log(2), math.log(8)], np.exp).startswith("4 (")  # a geometric mean
    assert interval([3.0]) == "3 (1 seed)" and interval([]) == "-"


def test_what_is_to_be_foreseen_is_the_deviation_of_discounted_rewards(script):
    # 12 rows of reward 1, then 12 of 3: with discount .5 they sum to 2 (1 - .5^12) and three times as much, a mean
    # deviation of 2 (1 - .5^12), divided by 1 - .5^12. The 13th row of a third stretch is missing.
    reward = np.array([0.0, *[1.0] * 12, *[3.0] * 12, *[9.0] * 11])
    trace = Trace({}, np.zeros((36, 1)), reward, np.zeros(36, bool))
    assert script("measure").spread([trace], 0.5) == pytest.approx(2)
    assert math.isnan(script("measure").spread([Trace({}, trace.action[:5], reward[:5], reward[:5] > 0)], 0.5))


@pytest.mark.slow
@pytest.mark.run
def test_the_models_of_every_phase_are_measured_on_one_block(script, tmp_path):
    run = tmp_path / "run"
    tiny = ("task=toy_lq", "envs.repeat=1", "envs.time_limit=40", "train.updates=6", "log.figures=false")
    command = [sys.executable, "train.py", "smoke", *tiny, "allocator.name=fixed", f"run.dir={run}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    measured = script("measure").measure(run)
    assert measured.keys() == {"policy", "chance"}
    for columns in measured.values():
        assert {len(values) for values in columns.values()} == {3}  # the pilot and two phases
        assert np.isfinite(list(columns.values())).all() and len(set(columns["spread"])) == 1
        assert min(columns["kl"]) > 0 and columns["kl"][0] != columns["kl"][1]
