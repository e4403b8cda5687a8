"""Pictures of the evidence show the errors, laws and bounds they were given, and say what cannot be drawn."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

from tandem.training.reports.figures_evidence import ErrorCurve, bound_against_gap, error_curves

NONE = np.zeros(0)


def curve(counts, errors, weights=None, law=True, today=400.0, planned=1000.0):
    counts, errors = np.array(counts, float), np.array(errors, float)
    at = np.geomspace(50, 1000, 20) if law else NONE
    weights = np.ones(len(counts)) if weights is None else np.array(weights)
    return ErrorCurve(counts, errors, weights, at, 100 / at, 50 / at, 200 / at, today, planned)


def bounds(lemma=(np.nan, np.inf, 900.0)):
    return bound_against_gap(
        range(len(lemma)),
        np.array(lemma),
        np.full(len(lemma), 90.0),
        np.array([4.0, 3, 2][: len(lemma)]),
        np.array([1.0, 1, 1][: len(lemma)]),
    )


def test_a_picture_without_anything_above_zero_is_drawn_all_the_same():
    """As where no label was answered before the pilot's end: every bound infinite, no gap measured."""
    nothing, infinite = np.full(2, np.nan), np.full(2, np.inf)
    for horizon in (nothing, np.zeros(2)):
        figure = bound_against_gap([0, 1], infinite, horizon, nothing, nothing)
        FigureCanvasAgg(figure).draw()
        assert figure.axes[0].get_yscale() == "linear"
    FigureCanvasAgg(error_curves(curve([], [], law=False), curve([], [], law=False))).draw()


def line(axes, label):
    return next(one for one in axes.lines if one.get_label() == label)


def ticks(axis) -> list[float]:
    low, high = axis.get_view_interval()
    return [place for place in axis.get_major_locator()() if low <= place <= high]


@pytest.mark.parametrize(
    "draw", [lambda: error_curves(curve([100, 200], [9, 5]), curve([20], [7])), bounds, lambda: bounds([np.inf])]
)
def test_axes_are_named_have_a_grid_and_a_legend(draw):
    figure = draw()
    FigureCanvasAgg(figure).draw()
    assert all(axes.get_xlabel() and axes.get_title() for axes in figure.axes) and figure.axes[0].get_ylabel()
    assert all(axes.xaxis.get_gridlines()[0].get_visible() for axes in figure.axes)
    assert figure.legends or figure.axes[0].get_legend()


def test_the_law_its_band_and_both_counts_are_where_they_belong():
    left, right = error_curves(curve([100, 400], [1.1, 0.2]), curve([20, 40], [3, 2], today=64, planned=500)).axes
    law = line(left, "fitted law, mean")
    np.testing.assert_allclose(law.get_xdata() * law.get_ydata(), 100)
    band = left.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [50 / 1000, 200 / 50])
    assert line(left, "bought today").get_xdata()[0] == 400 and line(left, "planned in the end").get_xdata()[0] == 1000
    assert line(right, "bought today").get_xdata()[0] == 64 and line(right, "planned in the end").get_xdata()[0] == 500
    assert left.get_xscale() == right.get_xscale() == left.get_yscale() == "log"


def test_recent_points_are_darker_and_points_that_a_log_axis_cannot_show_are_left_out():
    counts, errors, weights = [100, 200, 300, 400, 500], [4, 3, 0, np.nan, 1], [0.25, 0.0, 1, 1, 0.5]
    points = error_curves(curve(counts, errors, weights), curve([20], [7])).axes[0].collections[-1]
    assert points.get_offsets().tolist() == [[100, 4], [500, 1]]
    alpha = points.get_facecolor()[:, 3]
    assert alpha[0] < alpha[1] < 1


def test_without_a_law_or_a_point_a_panel_says_so_and_the_legend_still_names_all():
    figure = error_curves(curve([100, 200], [9, 5]), curve([], [], law=False))
    FigureCanvasAgg(figure).draw()
    assert figure.axes[1].get_title() == "Reward error (no law fitted)" and not figure.axes[1].collections
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"fitted law, mean", "90 % band", "measured (darker: newer)", "bought today", "planned in the end"} == names


@pytest.mark.parametrize("counts", [(1500, 2600), (100, 900), (10, 1_000_000)])
def test_a_log_axis_has_a_few_named_ticks_whatever_it_spans(counts):
    figure = error_curves(curve(counts, [9, 5], law=False, today=counts[0], planned=counts[1]), curve([20], [7]))
    FigureCanvasAgg(figure).draw()
    assert 2 <= len(ticks(figure.axes[0].xaxis)) <= 9


def test_the_measured_gap_is_the_sum_of_both_sides():
    (axes,) = bounds().axes
    assert line(axes, "measured gap, G_d + G_r").get_ydata().tolist() == [5, 4, 3]
    assert line(axes, "estimate by horizon weights").get_ydata().tolist() == [90, 90, 90]


def test_an_infinite_bound_is_at_the_top_edge_and_counted():
    (axes,) = bounds().axes
    infinite = line(axes, "Lemma 1's bound is infinite (1 of 3 phases)")
    # across in data, upward in shares of the axes: 1 is the upper edge
    assert (infinite.get_xdata().tolist(), infinite.get_ydata().tolist()) == ([1], [1.0])
    assert infinite.get_transform() == axes.get_xaxis_transform()
    finite = line(axes, "Lemma 1's bound")
    assert np.isnan(finite.get_ydata()[:2]).all() and finite.get_ydata()[2] == 900
    assert to_rgba(finite.get_color()) == to_rgba(infinite.get_color())
    assert not any("infinite" in one.get_label() for one in bounds([900.0, 800.0]).axes[0].lines)
