"""Figures show the numbers they were given, with names and units on their axes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tandem.training.reports import figures

ROOT = Path(__file__).resolve().parents[2]
TIME = np.arange(20.0)


def rewards():
    return figures.imagined_vs_real_reward(TIME / 20 + 0.1, TIME / 20, np.full(20, 0.05))


def traces(dims=2, start=5):
    truth = {"position": np.stack([TIME + dim for dim in range(dims)], 1), "speed": TIME[:, None] * 10}
    return figures.open_loop(truth, {key: values + 0.5 for key, values in truth.items()}, start)


def money():
    return figures.spend_over_time(TIME, {"transitions": TIME * 2, "labels": TIME * 3}, total=100.0)


def shares():
    return figures.plan_shares(
        [0, 1, 2], np.array([50.0, 75.0, 0.0]), np.array([50.0, 25.0, 0.0]), np.array([0.5, 1 / 3, 1 / 3])
    )


def returns():
    return figures.return_against_money(
        np.array([10.0, 20.0]), {"mode": [[1.0, 3.0], [4.0, 8.0]], "sampled": [[0.0], [1.0]]}
    )


def line(axes, label):
    return next(one for one in axes.lines if one.get_label() == label)


@pytest.mark.parametrize("draw", [traces, rewards, money, shares, returns])
def test_axes_are_named_have_a_grid_and_a_legend(draw):
    figure = draw()
    FigureCanvasAgg(figure).draw()  # every label must also be drawable
    across = [axes.get_xlabel() for axes in figure.axes]
    upward = [axes.get_ylabel() for axes in figure.axes] + [figure.get_supylabel()]
    assert any(across) and any(upward)
    assert all(axes.xaxis.get_gridlines()[0].get_visible() for axes in figure.axes)
    assert figure.legends or any(axes.get_legend() for axes in figure.axes)


def test_each_number_of_an_observation_has_its_panel():
    figure = traces(dims=2)
    assert [axes.get_title() for axes in figure.axes] == ["position[0]", "position[1]", "speed"]
    assert line(figure.axes[1], "truth").get_ydata().tolist() == (TIME + 1).tolist()
    assert line(figure.axes[2], "prediction").get_ydata()[0] == 50.5  # row 5 of speed, and the constant error


def test_the_open_loop_begins_where_observations_end():
    panel = traces(start=5).axes[0]
    assert line(panel, "reconstruction").get_xdata().tolist() == [0, 1, 2, 3, 4, 5]
    assert line(panel, "prediction").get_xdata().tolist() == list(range(5, 20))


def test_what_is_left_out_of_a_wide_observation_is_said():
    figure = traces(dims=40)
    assert len(figure.axes) == figures.MAX_PANELS
    assert f"{figures.MAX_PANELS} of 41 numbers" in figure.get_suptitle()


def test_other_keys_in_truth_and_prediction_are_a_bug():
    with pytest.raises(AssertionError, match="keys differ"):
        figures.open_loop({"a": np.zeros((3, 1))}, {"b": np.zeros((3, 1))}, 1)


def test_the_reward_panels_say_the_sums_and_the_error():
    over_time, against = rewards().axes
    assert "11.5 imagined, 9.5 true" in over_time.get_title()  # 20 rows, 0.1 too much each
    assert against.get_title() == "Root mean square error 0.1"
    assert line(over_time, "true").get_ydata().tolist() == (TIME / 20).tolist()


def test_a_constant_reward_can_be_drawn():
    FigureCanvasAgg(figures.imagined_vs_real_reward(np.zeros(5), np.zeros(5))).draw()


def test_money_is_stacked_up_to_the_total():
    (axes,) = money().axes
    top = max(path.vertices[:, 1].max() for area in axes.collections for path in area.get_paths())
    assert top == 19 * (2 + 3)
    assert line(axes, "budget (100 coins)").get_ydata()[0] == 100.0


def test_plans_are_stacked_and_the_share_is_that_of_all_spend():
    coins, share = shares().axes
    assert [bar.get_height() for bar in coins.patches] == [50, 75, 0, 50, 25, 0]
    assert [bar.get_y() for bar in coins.patches] == [0, 0, 0, 50, 75, 0]
    assert line(share, "spent so far").get_ydata().tolist() == [0.5, 1 / 3, 1 / 3]


def test_each_tier_of_labels_has_its_layer_on_top_of_what_lies_below():
    spends = {"transitions": TIME, "labels, expert": TIME * 2, "labels, crowd": TIME * 3}
    (axes,) = figures.spend_over_time(TIME + 1, spends, total=200.0).axes
    tops = [max(path.vertices[:, 1].max() for path in area.get_paths()) for area in axes.collections]
    assert tops == [19, 19 * (1 + 2), 19 * (1 + 2 + 3)]
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ["budget (200 coins)", "labels, crowd", "labels, expert", "transitions"]
    assert axes.get_xlim() == (0, 20), "at step 0 nothing was spent"


def test_the_share_has_its_interval_and_the_best_in_hindsight_where_they_are_known():
    interval = np.array([[np.nan, np.nan], [0.1, 0.6], [0.2, 0.3]])
    share = figures.plan_shares([0, 1, 2], TIME[1:4], TIME[1:4], np.full(3, 0.5), interval, 0.4).axes[1]
    (bars,) = share.collections
    assert bars.get_segments()[1].tolist() == [[1, 0.1], [1, 0.6]]
    assert line(share, "best in hindsight").get_ydata() == [0.4, 0.4]
    assert shares().axes[1].get_legend() is None, "nothing to tell apart"


def test_returns_are_drawn_as_means_at_their_cost():
    (axes,) = returns().axes
    mode = line(axes, "mode actions, mean")
    assert (mode.get_xdata().tolist(), mode.get_ydata().tolist()) == ([10.0, 20.0], [2.0, 6.0])
    assert line(axes, "sampled actions, mean").get_ydata().tolist() == [0.0, 1.0]


def test_one_point_of_each_can_be_drawn():
    one = np.ones(1)
    for figure in (
        figures.spend_over_time(one, {"transitions": one, "labels": one}, 10.0),
        figures.plan_shares([0], one, one, one / 2),
        figures.return_against_money(one, {"mode": [[1.0]]}),
    ):
        FigureCanvasAgg(figure).draw()


@pytest.mark.run
def test_figures_leave_pyplot_alone():
    code = "import sys, tandem.training.reports.figures, tandem.training.reports.logger; sys.exit('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
