"""The benchmark of both ends: its worlds do what is said of them, its cells can be run, its arithmetic is right."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from tandem.training.settings import load_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    """Name of a module of benchmarks -> module."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def worlds(script):
    return script("ends.worlds")


@pytest.fixture(scope="module")
def report(script):
    return script("ends.report")


def test_a_map_is_the_sum_of_its_bumps(worlds):
    # 2 at its centre, and at a distance of one width 2 exp(-1/2); the other bump is 100 widths away.
    bumps = worlds.Bumps(np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([2.0, 5.0]), width=0.1)
    np.testing.assert_allclose(bumps.at(np.array([[0.0, 0.0], [0.0, 0.1]])), [2, 2 * np.exp(-0.5)])


def test_maps_are_the_same_in_every_run_and_as_high_as_deep(worlds):
    one, other = worlds.Turns().map, worlds.Turns().map
    np.testing.assert_array_equal(one.heights, other.heights)
    axis = np.linspace(-1, 1, 41)
    heights = one.at(np.stack(np.meshgrid(axis, axis), -1))
    assert heights.std() == pytest.approx(1) and heights.min() < -1 and heights.max() > 1


def test_a_spot_is_shown_by_its_coordinates_and_by_clocks(worlds):
    # Clocks of 1/2, 1 and 2 pi a unit: at .4 they stand at 36, 72 and 144 degrees, at -.2 at -18, -36 and -72.
    angles = np.deg2rad([36, -18, 72, -36, 144, -72])
    np.testing.assert_allclose(
        worlds.seen(np.array([0.4, -0.2])), [0.4, -0.2, *np.sin(angles), *np.cos(angles)], rtol=1e-6
    )


@pytest.fixture
def one_bump(worlds):
    """A map of one bump of height 1 in the middle, hardly more than a point."""
    return worlds.Bumps(np.zeros((1, 2)), np.ones(1), width=0.1)


def test_on_turns_a_push_is_turned_by_the_place_and_pays_the_first_coordinate(worlds, one_bump):
    turns = worlds.Turns(stride=0.1, turn=np.pi / 2)
    turns.reset(seed=0)
    turns.map, turns.place = one_bump, np.zeros(2)
    obs, reward, ended, cut, _ = turns.step(np.array([0.5, 0.0]))  # turned by a right angle
    np.testing.assert_allclose(turns.place, [0.0, 0.05], atol=1e-12)
    assert reward == turns.place[0] and not (ended or cut) and turns.observation_space.contains(obs)
    turns.place = np.array([0.9, 0.9])  # 12 widths away nothing turns, and the wall is at 1
    _, reward, *_ = turns.step(np.array([0.5, 1.0]))
    np.testing.assert_allclose(turns.place, [0.95, 1.0])
    assert reward == pytest.approx(0.95)


def test_of_wishes_the_direction_pays_and_pushes_do_what_they_say(worlds, one_bump):
    wishes = worlds.Wishes(stride=0.1, turn=np.pi / 2)
    first, _ = wishes.reset(seed=0)
    wishes.map, wishes.place, wishes.wish = one_bump, np.array([0.5, 0.2]), np.zeros(2)
    obs, reward, ended, cut, _ = wishes.step(np.array([-1.0, 0.5]))
    np.testing.assert_allclose(wishes.place, [0.4, 0.25])
    assert reward == pytest.approx(0.25)  # a right angle from the first axis: the second coordinate
    assert not (ended or cut) and wishes.observation_space.contains(obs) and obs[:2] == pytest.approx([0.4, 0.25])
    wishes.wish = np.array([0.9, 0.9])  # 12 widths away: along the first axis
    _, reward, *_ = wishes.step(np.array([-1.0, 0.5]))
    assert reward == pytest.approx(0.3)
    assert not np.array_equal(first[2:4], wishes.reset()[0][2:4])  # another wish in every episode


def test_every_cell_is_a_configuration_that_no_other_of_its_task_is(script):
    settings = script("ends.settings")
    for task in settings.TASKS:
        known = [load_config(list(task.arguments(cell))) for cell in task.cells]
        assert all(one != other for i, one in enumerate(known) for other in known[:i])
        assert {(one.budget.total, one.price.label) for one in known} == {(task.total, task.price)}
        assert [one.allocator.label_share for one in known[: len(task.shares)]] == [s / 100 for s in task.shares]
        assert set(task.doubled) <= set(task.shares)
        assert max(task.shares) / 100 <= task.price / (task.price + 1)  # a label a transition, or fewer


def test_coins_are_read_off_the_line_through_the_smoothed_evaluations(report):
    run = {"spent": [10.0, 20.0, 40.0, 60.0], "return": [0.0, 60.0, 90.0, 30.0]}
    np.testing.assert_allclose(report.smooth(run), [30, 50, 60, 60])
    assert report.coins(run, 55) == (30, True)
    assert report.coins(run, 0) == (10, True) and report.coins(run, 61) == (60, False)
    assert report.mean_return(run) == 60 and report.last_return(run) == 60  # of the area the pilot is left out


def made(*returns):
    return {"spent": [1.0, 2.0, 3.0], "return": list(returns), "minutes": 1, "transitions": [9], "labels": [3]}


def test_the_level_is_that_of_the_fixed_share_that_ends_best(script, report):
    task = script("ends.settings").TASKS[0]
    cells = {"share_05": [made(0, 10, 10), made(0, 20, 20)], "share_50": [made(0, 0, 12)], "adaptive": [made(0, 0, 99)]}
    assert report.level(task, cells) == pytest.approx(task.random_return + 0.9 * (15 - task.random_return))
    assert report.best_share(cells, 9) == 5
    text = "\n".join(report.section(task, cells))
    assert "share_50 | > 3" in text and "adaptive needs" in text and "Not run: share_10" in text


def test_the_figure_has_a_column_for_each_task_that_was_run(script):
    settings, figure = script("ends.settings"), script("ends.figure").figure
    task = settings.TASKS[0]
    runs = {cell: made(0, 9, 10 + number) for number, cell in enumerate(task.cells)}
    command = {cell: " ".join(["train.py", *task.arguments(cell), "seed=0", "threads=1"]) for cell in runs}
    results = {f"turns-{cell}": {"0": run | {"command": command[cell]}} for cell, run in runs.items()}
    assert len(figure(results).axes) == 2 and len(figure({}).axes) == 0


def test_results_of_other_settings_are_not_shown(script, report):
    task = script("ends.settings").TASKS[0]
    command = " ".join(["train.py", *task.arguments("share_05"), "seed=0", "threads=1"])
    results = {"turns-share_05": {"0": {"command": command}, "1": {"command": command.replace("free_nats=0.1", "")}}}
    assert report.found(task, results) == {"share_05": [{"command": command}]}


def test_seeds_are_drawn_again(script):
    bootstrap = script("ends.bootstrap")
    # Of 0 and 1 two are drawn: a quarter of the means is 0, half are .5, a quarter is 1.
    means = bootstrap.resampled([0.0, 1.0])
    assert np.mean(means == 0) == pytest.approx(0.25, abs=0.03) and set(means) == {0, 0.5, 1}
    assert bootstrap.told([0.0, 1.0]) == "0.5 (0 .. 1)" and bootstrap.told([3.0]) == "3 (1 seed)"
    assert bootstrap.told(np.log([2.0, 8.0]), np.exp) == "4 (2 .. 8)"  # a geometric mean
    assert bootstrap.told_difference([5.0, 5.0], [2.0, 2.0]) == "3 (3 .. 3)"
    assert bootstrap.told_difference([5.0], [2.0]) == "3 (1 seed)" and bootstrap.told_difference([5.0], []) == "-"
    # 1 beats the mean of two of 0 and 4 only where both are 0, a quarter of all.
    assert bootstrap.wins({"a": [1.0, 1.0], "b": [0.0, 4.0]})["a"] == pytest.approx(0.25, abs=0.03)
