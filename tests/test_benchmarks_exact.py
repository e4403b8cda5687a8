"""The commands of the benchmarks, and what the exact ones call exact: learned linear-quadratic systems, their gaps, and the
bound above them."""

import importlib
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tandem.budget.market import Counts
from tandem.envs.toy import LinearQuadratic

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
RUN_BY_NAME = 'if __name__ == "__main__":'
COMMANDS = sorted(
    str((file.parent if file.name == "__main__.py" else file).relative_to(ROOT))
    for file in BENCHMARKS.rglob("*.py")
    if RUN_BY_NAME in file.read_text()
)


@pytest.fixture(scope="module")
def script():
    """Name -> module: the scripts import their neighbours by their bare names."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def worlds(script):
    return script("linear_quadratic.worlds")


def test_every_command_is_told_in_the_docs():
    assert {"benchmarks/regret.py", "benchmarks/linear_quadratic", "benchmarks/raters"} <= set(COMMANDS)
    told = (ROOT / "docs" / "benchmarks.md").read_text()
    assert [command for command in COMMANDS if f"python {command}" not in told] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_help_and_measures_nothing(command, monkeypatch, capsys):
    path = ROOT / command
    monkeypatch.setattr(sys, "argv", [command, "--help"])
    monkeypatch.syspath_prepend(str(path if path.is_dir() else path.parent))  # as `python PATH` does
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    out = capsys.readouterr().out
    assert end.value.code == 0 and f"python {command}" in out


@pytest.mark.run
def test_a_folder_is_run_by_its_path_alone():
    command = [sys.executable, "benchmarks/raters", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "--alarms" in done.stdout, done.stderr


@pytest.mark.run
def test_the_time_of_an_update_and_of_its_parts_is_measured(script):
    speed = script("speed")
    row = speed.time_updates("nano", "vector", "coupled", 1, ("train.batch=2", "train.length=8"), "auto", 1)
    parts = row["ms_by_part"]
    assert all(ms > 0 for part, ms in parts.items() if part != "reward") and sum(parts.values()) == pytest.approx(
        row["ms_median"]
    )
    assert row["gflop"] > 0 and row["gflops"] == pytest.approx(1e3 * row["gflop"] / row["ms_median"])
    assert speed.words(row).startswith("nano vector coupled auto, 1 threads")


@pytest.mark.run
def test_both_replays_are_measured_from_pixels_too(script):
    row = script("speed").time_replays("nano", "pixels", "decoupled", 1, ("train.batch=2", "train.length=8"))
    assert row["ms_labels"] > 0 and row["batches_per_second"] == pytest.approx(1e3 / row["ms_batch"])


@pytest.mark.run
@pytest.mark.parametrize("method", ["chooser", "cheap alone"])
def test_raters_are_bought_and_fitted(script, monkeypatch, method):
    """A cell of the experiment with little money and short fits: it spends, and its error is a number."""
    experiment = script("raters.experiment")
    monkeypatch.setattr(experiment, "STEPS", 5)
    found = experiment.run(method, 300, 0)
    assert (
        found["spent"][-1] > 290 and np.isfinite(found["error"]).all() and len(found["tier"]) == experiment.PHASES + 1
    )


@pytest.mark.run
def test_an_injected_bias_is_looked_for(script, monkeypatch):
    alarms = script("raters.alarms")
    for name, value in (("INJECTED_AFTER", 100), ("BLOCK", 50), ("MOST_BLOCKS", 2)):
        monkeypatch.setattr(alarms, name, value)
    assert alarms.delay(next(iter(alarms.INJECTED)), 0).keys() == {"labels", "gold", "early"}


@pytest.fixture(scope="module")
def learned(worlds):
    """A world and what it taught."""
    world = worlds.make_world(0)
    return world, worlds.learned(world, worlds.draw_data(world, 0, 500), Counts(400, 200))


def test_without_noise_a_few_samples_teach_the_system_itself(worlds):
    system = replace(worlds.make_world(0).system, noise=0.0)
    world = worlds.world_of(system, label_noise=0.0)
    model = worlds.learned(world, worlds.draw_data(world, 0, 100), Counts(100, 100))
    for name in ("A", "B", "Q", "R"):
        np.testing.assert_allclose(getattr(model, name), getattr(system, name), atol=1e-9)
    assert worlds.true_gap(world, model) < 1e-8


def test_the_two_errors_add_up_to_the_gap_along_the_true_paths(worlds, learned):
    # J(Mhat) - J(M) = sum_t discount^t E [(rhat - r) + Q(predicted) - Q(real)] over the true system's own states, whose
    # second moment goes S -> C S C' + noise^2 I from start^2 / 3 I; Q(x) = -x' M x + constant.
    (world, model), discount = learned, worlds.DISCOUNT
    system, gain = world.system, world.gain
    loops = [one.A - one.B @ gain for one in (system, model)]
    M, eye = worlds.curvature(model, gain), np.eye(len(system.A))
    moment, total = system.start**2 / 3 * eye, 0.0
    for step in range(600):
        arrived = loops[0] @ moment @ loops[0].T + system.noise**2 * eye
        predicted = loops[1] @ moment @ loops[1].T + model.noise**2 * eye
        reward = -np.trace((model.Q - system.Q) @ arrived)
        reward -= np.trace(gain.T @ (model.R - system.R) @ gain @ moment)
        total += discount**step * (reward - np.trace(M @ predicted) + np.trace(M @ arrived))
        moment = arrived
    assert worlds.true_gap(world, model) == pytest.approx(abs(total), rel=1e-9)


def test_one_wrong_number_is_measured_by_pencil(worlds):
    # x' = a x, reward -x'^2, no action worth taking (gain 0), discount .95: promise -M x^2, M = 1 / (1 - .95 a^2).
    # From x = 2 the model (a = .6) arrives at 1.2, the truth (a = .5) at 1: M |1.44 - 1| / .05 with M = 1 / .658.
    system, model = (LinearQuadratic(np.array([[a]]), np.array([[0.0]]), np.eye(1), np.eye(1), 0.0) for a in (0.5, 0.6))
    world = worlds.World(system, 0.0, gain=np.zeros((1, 1)))
    measured = worlds.measured_dynamics(world, model, np.array([[2.0, 0.0]]))
    assert measured == pytest.approx(0.44 / 0.658 / 0.05)
    # With the reward known as -1.1 x'^2 - .7 u^2 instead: at x' = 1, u = 2 it is wrong by .1 - .3 * 4 = -1.1
    rows = worlds.quadratic(np.array([[1.0]]), np.array([[2.0]]))
    model = replace(system, Q=1.1 * np.eye(1), R=0.7 * np.eye(1))
    assert worlds.measured_reward(world, model, rows) == pytest.approx(1.1 / 0.05)


def test_a_model_without_a_bounded_return_has_an_infinite_error(worlds, learned):
    world, model = learned
    wild = replace(model, A=10 * np.eye(len(model.A)))
    assert worlds.true_gap(world, wild) == np.inf
    assert worlds.measured_dynamics(world, wild, np.ones((1, sum(model.B.shape)))) == np.inf


@pytest.mark.parametrize("rho", [0.4, 0.9, 1.4])
def test_no_bound_is_ever_below_the_gap(worlds, rho):
    for number in range(5):
        rng = np.random.default_rng(number)
        system = worlds.with_growth(replace(worlds.random_system(rng, 1.0), noise=0.3), rho)
        world = worlds.world_of(system, label_noise=0.5)
        model = worlds.learned(world, worlds.draw_data(world, number, 200), Counts(200, 200))
        found = worlds.bounds(world, replace(model, noise=system.noise))
        assert found["gamma_rho"] == pytest.approx(worlds.DISCOUNT * rho)
        assert found["lemma"] >= found["horizon"] >= 1
        assert (found["lemma"] == np.inf) == (worlds.DISCOUNT * rho >= 1)


def test_what_an_allocator_buys_costs_what_it_has(script, worlds):
    experiment, settings = script("linear_quadratic.experiment"), script("linear_quadratic.settings")
    world = worlds.make_world(1)
    data, rows = worlds.draw_data(world, 0, settings.MONEY), worlds.heldout(world)
    for name, allocator in settings.MEASURING.items():
        path = experiment.measured_path(world, data, rows, 10, allocator)
        costs = [held.transitions + 10 * held.labels for held in path]
        assert len(path) == settings.PHASES + 1 and costs == sorted(costs), name
        assert settings.MONEY - 10 < costs[-1] <= settings.MONEY, name


def test_a_finished_cell_is_kept_until_its_settings_change(script, tmp_path):
    made = []

    def make():
        made.append(1)
        return {"gap": len(made)}

    file = tmp_path / "cells.json"
    for settings, gap in (("few", 1), ("few", 1), ("many", 2), ("many", 2)):
        assert script("kept").Kept(file, settings).cell("one", make)["gap"] == gap


SPEAKER = """
import json, sys, time
print(json.dumps({"version": "0.1, torch", "parameters": {"all": 2_000_000}, "unchanged_tensors": {}, "milliseconds": []}), flush=True)
for line in sys.stdin:
    print(json.dumps(time.monotonic()), flush=True)
"""


def test_code_bases_take_turns(script, monkeypatch):
    comparison = script("peers.comparison")
    monkeypatch.setattr(comparison, "PAUSE", 0)
    names = ("coupled", "torchrl")
    commands = {name: [sys.executable, "-c", SPEAKER, ""] for name in names}
    results = comparison.measured(commands, ["small", "vector", "1"], 3)
    spoke = sorted((when, name) for name, one in results.items() for when in one["milliseconds"])
    assert [name for _, name in spoke] == [*names] * 3


def test_a_lead_is_over_the_best_peer(script):
    """Minima: the best peer 30 over ours 20 is 1.5; medians: 36 over 24 is 1.5, of another peer."""
    times = {"coupled": [20.0, 24.0, 90.0], "torchrl": [30.0, 40.0, 41.0], "r2dreamer": [35.0, 36.0, 37.0]}
    said = {"version": "0.1, torch", "parameters": {"all": 2_000_000}, "unchanged_tensors": {}}
    results = {name: {**said, "milliseconds": one} for name, one in times.items()}
    rows = script("peers.comparison").table("small", results)[2:]
    assert rows[0] == "| small | 0.1, coupled | 2.00 M | 20 | 24 | 1.50 / 1.50 |"
    assert rows[1] == "| small | 0.1 | 2.00 M | 30 | 40 |  |"
    del results["torchrl"], results["r2dreamer"]
    assert script("peers.comparison").table("small", results)[2].endswith("| no peer |")


def test_a_peer_that_is_not_there_is_skipped(script, capsys, tmp_path):
    assert set(script("peers.comparison").found(str(tmp_path / "python"), "")) == {"coupled", "decoupled"}
    assert "skipped torchrl and r2dreamer" in capsys.readouterr().out
