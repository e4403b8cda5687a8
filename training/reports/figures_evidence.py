"""Pictures of what the allocator knows: how errors fall with data, and what theory makes of them. Drawn as figures.py does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, Formatter, FuncFormatter, LogLocator, NullLocator

from .colors import CURVES, LABELS, LIMIT, PREDICTED, TRANSITIONS, TRUTH
from .figures import dress, phase_axis


@dataclass(frozen=True)
class ErrorCurve:
    """One side of the evidence: K measured errors and the law fitted to them at L counts. Errors in return units."""

    counts: np.ndarray  # (K,) of transitions or labels
    errors: np.ndarray  # (K,)
    weights: np.ndarray  # (K,) in 0 .. 1, the newest 1
    law_counts: np.ndarray  # (L,), L = 0 where no law could be fitted
    mean: np.ndarray  # (L,) the posterior's
    low: np.ndarray  # (L,) ends of its 90 % band
    high: np.ndarray  # (L,)
    today: float  # count held now
    planned: float  # count that the plan ends with
    exponent: float = math.nan  # the posterior's mean; NaN without a law
    r_squared: float = math.nan  # of the straight line through the logs; NaN with points at fewer than two counts


def error_curves(dynamics: ErrorCurve, reward: ErrorCurve, labels: str = "labels bought") -> Figure:
    """Both errors against what was bought, on log axes. Points of weight 0, and errors that are not above 0, are left out.

    labels: what the counts of `reward` are.
    """
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _error_curve(left, dynamics, TRANSITIONS, "transitions bought", "Dynamics error")
    _error_curve(right, reward, LABELS, labels, "Reward error")
    left.set_ylabel("error [return units]", fontsize=9)
    figure.legend(*_both_legends(left, right), loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def bound_against_gap(
    phases: Sequence[int],
    lemma: np.ndarray,
    horizon: np.ndarray,
    dynamics: np.ndarray,
    reward: np.ndarray,
) -> Figure:
    """What theory says that the return gap may be, beside what is measured, on a log axis. (P,) each, in return units.

    lemma: Lemma 1's bound, infinite where it says nothing (drawn at the top edge); horizon: the estimate by the weights
    of imagination of finite horizon; dynamics, reward: the measured G_d and G_r. NaN where nothing was measured.
    """
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    axes = figure.subplots()
    curves = {
        "Lemma 1's bound": (lemma, CURVES[3], "v"),
        "estimate by horizon weights": (horizon, CURVES[2], "s"),
        "measured gap, G_d + G_r": (dynamics + reward, TRUTH, "o"),
        "measured G_d (dynamics)": (dynamics, TRANSITIONS, "."),
        "measured G_r (reward)": (reward, LABELS, "."),
    }
    for name, (values, color, marker) in curves.items():
        shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        axes.plot(phases, shown, color=color, marker=marker, markersize=5, linewidth=1.3, label=name)
    is_infinite = np.isposinf(lemma)
    if is_infinite.any():
        at = np.asarray(phases)[is_infinite]
        label = f"Lemma 1's bound is infinite ({len(at)} of {len(lemma)} phases)"
        edge = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(at, np.ones(len(at)), color=CURVES[3], marker="^", markersize=7, linestyle="", label=label, **edge)
    phase_axis(axes, phases)
    _log_axis(axes, axes.yaxis, FuncFormatter(lambda value, _: f"{value:g}"))
    dress(axes, "phase (0: pilot)", "gap [return units]")
    axes.set_title("Bounds of the return gap against the measured one", fontsize=9, pad=10)  # above the arrows
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    return figure


def _error_curve(axes: Axes, curve: ErrorCurve, color: str, bought: str, title: str) -> None:
    if len(curve.law_counts):
        axes.fill_between(
            curve.law_counts, curve.low, curve.high, color=color, alpha=0.18, linewidth=0, label="90 % band"
        )
        axes.plot(curve.law_counts, curve.mean, color=color, linewidth=1.5, label="fitted law, mean")
        title += f" (exponent {curve.exponent:.2f}"
        title += f", R² of a line {curve.r_squared:.2f})" if math.isfinite(curve.r_squared) else ")"
    else:
        title += " (no law fitted)"
    shown = (curve.errors > 0) & np.isfinite(curve.errors) & (curve.weights > 0)
    if shown.any():
        points = {"color": TRUTH, "s": 22, "linewidth": 0, "zorder": 3, "label": "measured (darker: newer)"}
        shade = 0.25 + 0.75 * curve.weights[shown] / curve.weights.max()
        axes.scatter(curve.counts[shown], curve.errors[shown], alpha=shade, **points)
    axes.axvline(curve.today, color=LIMIT, linewidth=1.2, label="bought today")
    axes.axvline(curve.planned, color=PREDICTED, linewidth=1.2, linestyle="--", label="planned in the end")
    _log_axis(axes, axes.xaxis, EngFormatter(sep=""))
    _log_axis(axes, axes.yaxis, FuncFormatter(lambda value, _: f"{value:g}"))
    dress(axes, bought, title=title)


def _log_axis(axes: Axes, axis: Axis, formatter: Formatter) -> None:
    """A log scale with few ticks: powers of ten, with 2 and 5 between them where less than two decades are seen. The axis
    stays as it is where nothing above 0 is drawn."""
    if not axis.get_minpos() < math.inf:
        return  # nothing above 0 is drawn: a logarithm has no ticks to offer
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log", nonpositive="mask")
    low, high = axis.get_view_interval()
    is_short = high < 100 * low
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if is_short else (1.0,), numticks=8))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(formatter)


def _both_legends(left: Axes, right: Axes) -> tuple[list, list]:
    """Handles and names of both panels, each name once: what one panel lacks the other may show."""
    named = {}
    for axes in (right, left):
        handles, names = axes.get_legend_handles_labels()
        named |= dict(zip(names, handles, strict=True))
    return list(named.values()), list(named)
