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
    one, other = worlds.Gears().map, worlds.Gears().map
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


def test_of_gears_the_spot_turns_pushes_and_the_first_coordinate_pays(worlds, one_bump):
    gears = worlds.Gears(stride=0.1, turn=np.pi / 2)
    first, _ = gears.reset(seed=0)
    gears.map, gears.place, gears.spot = one_bump, np.array([0.5, 0.2]), np.zeros(2)
    obs, reward, ended, cut, _ = gears.step(np.array([0.5, -1.0]))  # turned by a right angle: (1, .5)
    np.testing.assert_allclose(gears.place, [0.6, 0.25])
    assert reward == gears.place[0] and not (ended or cut)
    assert gears.observation_space.contains(obs) and obs[:4] == pytest.approx([0.6, 0.25, 0, 0])
    gears.place, gears.spot = np.array([0.9, 0.9]), np.array([0.9, 0.9])  # 12 widths away nothing turns; a wall is at 1
    _, reward, *_ = gears.step(np.array([0.5, 1.0]))
    np.testing.assert_allclose(gears.place, [0.95, 1.0])
    assert reward == pytest.approx(0.95)
    assert not np.array_equal(first[2:4], gears.reset()[0][2:4])  # another spot in every episode


def test_on_hills_the_height_of_the_place_pays(worlds, one_bump):
    hills = worlds.Hills(stride=0.1)
    hills.reset(seed=0)
    hills.map, hills.place = one_bump, np.array([0.05, 0.0])
    obs, reward, ended, cut, _ = hills.step(np.array([0.5, 0.0]))  # to a distance of one width
    np.testing.assert_allclose(hills.place, [0.1, 0.0])
    assert reward == pytest.approx(np.exp(-0.5)) and not (ended or cut) and hills.observation_space.contains(obs)


def test_every_cell_is_a_configuration_that_no_other_of_its_task_is(script):
    settings = script("ends.settings")
    for task in settings.TASKS:
        known = [load_config(list(task.arguments(cell))) for cell in task.cells]
        assert all(one != other for i, one in enumerate(known) for other in known[:i])
        assert {(one.budget.total, one.price.label) for one in known} == {(task.total, task.price)}
        assert [one.allocator.label_share for one in known[: len(task.shares)]] == [s / 100 for s in task.shares]
        assert set(task.doubled) <= set(task.shares)
        assert max(task.shares) / 100 <= task.price / (task.price + 1)  # a label a transition, or fewer
        assert min(task.shares) / 100 * task.total >= 32 * task.price  # and no fewer than the pilot buys


def test_coins_are_read_off_the_line_through_the_smoothed_evaluations(report):
    run = {"spent": [10.0, 20.0, 40.0, 60.0], "return": [0.0, 60.0, 90.0, 30.0]}
    np.testing.assert_allclose(report.smooth(run), [0, 30, 75, 60])
    assert report.coins(run, 45, 99) == (20 + 20 * 15 / 45, True)
    assert report.coins(run, 0, 99) == (10, True) and report.coins(run, 76, 99) == (99, False)
    assert report.mean_return(run) == 60 and report.last_return(run) == 60  # of the area the pilot is left out


def made(*returns):
    return {"spent": [1.0, 2.0, 3.0], "return": list(returns), "minutes": 1, "transitions": [9], "labels": [3]}


def test_the_level_is_that_of_the_fixed_share_that_ends_best(script, report):
    task = script("ends.settings").TASKS[0]
    cells = {"share_05": [made(0, 10, 10), made(0, 20, 20)], "share_50": [made(0, 0, 12)], "adaptive": [made(0, 0, 99)]}
    goal = report.goal_of(task, cells)
    assert (
        goal.wanted == pytest.approx(task.random_return + 0.9 * (15 - task.random_return)) and goal.total == task.total
    )
    assert report.best_share(cells, report.Goal(9, 100)) == 5
    # Neither comes to it: one spent a coin less, which is no merit, and the other's returns are higher.
    never = {"share_05": [made(0, 1, 1) | {"spent": [1.0, 2.0, 2.9]}], "share_50": [made(0, 5, 5)]}
    assert report.best_share(never, report.Goal(50, 3)) == 50
    text = "\n".join(report.section(task, cells))
    assert "share_50 | > 3,000" in text and "adaptive needs" in text and "Not run: share_10" in text


def test_the_figure_has_a_column_for_each_task_that_was_run(script):
    settings, figure = script("ends.settings"), script("ends.figure").figure
    task = settings.TASKS[0]
    runs = {cell: made(0, 9, 10 + number) for number, cell in enumerate(task.cells)}
    command = {cell: " ".join(["train.py", *task.arguments(cell), "seed=0", "threads=1"]) for cell in runs}
    results = {f"{task.name}-{cell}": {"0": run | {"command": command[cell]}} for cell, run in runs.items()}
    assert len(figure(results).axes) == 2 and len(figure({}).axes) == 0


def test_results_of_other_settings_are_not_shown(script, report):
    task = script("ends.settings").TASKS[0]
    command = " ".join(["train.py", *task.arguments("share_05"), "seed=0", "threads=1"])
    results = {
        f"{task.name}-share_05": {"0": {"command": command}, "1": {"command": command.replace("free_nats=0.1", "")}}
    }
    assert report.found(task, results) == {"share_05": [{"command": command}]}


def test_cells_are_compared_on_the_seeds_that_all_have(script, report):
    task = script("ends.settings").TASKS[0]

    def kept(cell, seeds):
        command = " ".join(["train.py", *task.arguments(cell), "seed="])
        return {str(seed): {"command": f"{command}{seed}", "seed": seed} for seed in seeds}

    cells = {
        "share_05": kept("share_05", (0, 1, 2)),
        "adaptive": kept("adaptive", (1, 2, 3)),
        "twice_05": kept("twice_05", (2,)),
    }
    shown = report.found(task, {f"{task.name}-{cell}": runs for cell, runs in cells.items()})
    seeds = {cell: [run["seed"] for run in runs] for cell, runs in shown.items()}
    assert seeds == {"share_05": [1, 2], "adaptive": [1, 2], "twice_05": [2]}


def test_seeds_that_not_all_cells_have_are_told_one_by_one(script, report):
    task = script("ends.settings").TASKS[0]

    def kept(cell, ends):
        command = "train.py " + " ".join([*task.arguments(cell), "seed=0", "threads=1"])
        runs = {seed: {"command": command, "return": [0, *two], "spent": [100, 200, 300]} for seed, two in ends.items()}
        return {f"{task.name}-{cell}": runs}

    several, one = kept("share_10", {"0": (6, 7), "1": (3, 4)}), kept("share_50", {"0": (5, 6)})
    last, spent = report.further(task, several | one)
    assert last.endswith("share_10 6.5 (0), 3.5 (1).")  # the last two evaluations, and the seed
    # 5.85, of 6.5, lies between 3 at 200 coins and 6.5 at 300.
    assert spent.endswith("(3,000: never reached): share_10 281 (0), 3,000 (1).")
    assert report.further(task, several) == []  # the table has them


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
