"""Pictures of a run, as matplotlib Figures made without pyplot's global state. Nothing here draws on a screen.

Time axes count agent steps.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from ...budget.money import coins_shown
from .colors import CURVES, LABELS, LIMIT, PREDICTED, STACK, TRANSITIONS, TRUTH

COLUMNS = 3
MAX_PANELS = 24


def open_loop(truth: Mapping[str, np.ndarray], predicted: Mapping[str, np.ndarray], start: int) -> Figure:
    """What the model sees in its mind against what happened: one panel for each number of the observation.

    truth, predicted: key -> (T, dims). Up to row `start` the model sees the observations (reconstruction), from there on
    only the actions (open loop). Past MAX_PANELS numbers the rest is left out, and the title says so.
    """
    assert set(truth) == set(predicted), f"keys differ: {sorted(truth)} and {sorted(predicted)}"
    names = [(key, dim) for key in truth for dim in range(truth[key].shape[1])]
    shown = names[:MAX_PANELS]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(max(5.0, 3.2 * columns), 1.7 * rows + 1.2), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for index, (axes, (key, dim)) in enumerate(zip(grid.flat, shown, strict=False)):
        _trace(axes, truth[key][:, dim], predicted[key][:, dim], start)
        is_lowest = index + columns >= len(shown)
        axes.tick_params(labelbottom=is_lowest)
        name = f"{key}[{dim}]" if truth[key].shape[1] > 1 else key
        dress(axes, xlabel="time in the window [agent steps]" if is_lowest else "", title=name)
    for axes in grid.flat[len(shown) :]:
        axes.remove()
    left_out = f" ({len(shown)} of {len(names)} numbers)" if len(shown) < len(names) else ""
    figure.suptitle(f"Open-loop prediction against the truth{left_out}", fontsize=10)
    figure.supylabel("observation [its own unit]", fontsize=9)
    handles = grid[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def imagined_vs_real_reward(imagined: np.ndarray, real: np.ndarray, deviation: np.ndarray | None = None) -> Figure:
    """The learned reward of an episode's rows beside the true one, over time and against each other.

    imagined, real: (T,) in raw reward per agent step; deviation: (T,) the ensemble's disagreement (one standard
    deviation), drawn as a band.
    """
    assert imagined.shape == real.shape and imagined.ndim == 1, f"shapes {imagined.shape} and {real.shape}"
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    over_time, against = figure.subplots(1, 2, width_ratios=(2, 1))
    _reward_over_time(over_time, imagined, real, deviation)
    _reward_against(against, imagined, real)
    return figure


def spend_over_time(step: np.ndarray, spends: Mapping[str, np.ndarray], total: float) -> Figure:
    """Coins spent so far, stacked in the given order over environment steps (K,), from nothing at step 0.

    spends: what was bought (transitions, then labels, one entry a tier where there are several) -> (K,) coins.
    """
    figure = Figure(figsize=(6.0, 3.4), layout="constrained")
    axes = figure.subplots()
    step = np.concatenate([[0], step])  # so that a single phase is an area too
    areas = [np.concatenate([[0], spend]) for spend in spends.values()]
    colors = list(islice(cycle(STACK), len(areas)))
    axes.stackplot(step, *areas, labels=spends.keys(), colors=colors, alpha=0.75, linewidth=0)
    axes.axhline(total, color=LIMIT, linewidth=1, linestyle="--", label=f"budget ({coins_shown(total)} coins)")
    axes.set_ylim(0, 1.15 * total)
    axes.set_xlim(0, max(step[-1], 1))
    dress(axes, "environment steps", "money spent [coins]", "What the money was spent on")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend(*reversed_legend(axes), loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    return figure


def plan_shares(
    phases: Sequence[int],
    transitions: np.ndarray,
    labels: np.ndarray,
    spent: np.ndarray,
    interval: np.ndarray | None = None,
    hindsight: float | None = None,
) -> Figure:
    """Each phase's plan in coins (above), and the labels' part of all that was spent by its end (below).

    phases: (P,) numbers, 0 the pilot; transitions, labels: (P,) coins meant for either kind; spent: (P,) part of all spend;
    interval: (P, 2) ends of the best part's 90 % interval as the plan saw it, NaN where it is not known; hindsight: the
    best part by all that is known now.
    """
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    coins, share = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    coins.bar(phases, transitions, color=TRANSITIONS, width=0.7, label="transitions")
    coins.bar(phases, labels, bottom=transitions, color=LABELS, width=0.7, label="labels")
    dress(coins, ylabel="planned [coins]", title="The plan of each phase")
    coins.yaxis.set_major_formatter(EngFormatter(sep=""))
    coins.legend(*reversed_legend(coins), loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    share.plot(phases, spent, color=LABELS, marker="o", markersize=4, linewidth=1.2, label="spent so far")
    if interval is not None:
        share.vlines(phases, *interval.T, color=LABELS, alpha=0.35, linewidth=6, label="best, 90 % interval")
    if hindsight is not None:
        share.axhline(hindsight, color=TRUTH, linewidth=1.2, linestyle="--", label="best in hindsight")
    share.set_ylim(0, 1)
    share.yaxis.set_major_formatter(PercentFormatter(1.0))
    phase_axis(share, phases)
    dress(share, "phase (0: pilot)", "labels, of all spend")
    if interval is not None or hindsight is not None:
        share.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    return figure


def return_against_money(spent: np.ndarray, returns: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Evaluation returns by cost: for each name (mode, sampled) the mean line and a band from worst to best episode.

    spent: (K,) coins at each evaluation; returns: name -> K lists of true episode returns.
    """
    figure = Figure(figsize=(6.0, 3.4), layout="constrained")
    axes = figure.subplots()
    for (name, evaluations), color in zip(returns.items(), CURVES, strict=False):
        assert len(evaluations) == len(spent), f"{name}: {len(evaluations)} evaluations at {len(spent)} sums of money"
        means = [np.mean(episodes) for episodes in evaluations]
        low, high = [min(episodes) for episodes in evaluations], [max(episodes) for episodes in evaluations]
        axes.plot(spent, means, color=color, marker="o", markersize=3, linewidth=1.5, label=f"{name} actions, mean")
        axes.fill_between(
            spent, low, high, color=color, alpha=0.18, linewidth=0, label=f"{name} actions, worst to best"
        )
        axes.vlines(spent, low, high, color=color, alpha=0.35, linewidth=1)
    dress(axes, "money spent [coins]", "true return of an episode [raw reward]", "Return against money spent")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    return figure


def _trace(axes: Axes, truth: np.ndarray, predicted: np.ndarray, start: int) -> None:
    time = np.arange(len(truth))
    axes.axvspan(start, len(truth) - 1, color="#56B4E9", alpha=0.12, linewidth=0, label="open loop")
    axes.plot(time, truth, color=TRUTH, linewidth=1.2, label="truth")
    axes.plot(time[: start + 1], predicted[: start + 1], color=TRANSITIONS, linewidth=1.2, label="reconstruction")
    axes.plot(time[start:], predicted[start:], color=PREDICTED, linewidth=1.2, linestyle="--", label="prediction")
    axes.set_xlim(0, len(truth) - 1)


def _reward_over_time(axes: Axes, imagined: np.ndarray, real: np.ndarray, deviation: np.ndarray | None) -> None:
    time = np.arange(len(real))
    axes.plot(time, real, color=TRUTH, linewidth=1.2, label="true")
    axes.plot(time, imagined, color=PREDICTED, linewidth=1.2, linestyle="--", label="imagined")
    if deviation is not None:
        band = (imagined - deviation, imagined + deviation)
        axes.fill_between(time, *band, color=PREDICTED, alpha=0.2, linewidth=0, label="ensemble, one std. dev.")
    axes.set_xlim(0, max(1, len(real) - 1))
    sums = f"sums {imagined.sum():.1f} imagined, {real.sum():.1f} true"
    dress(
        axes,
        "time in the episode [agent steps]",
        "reward [raw, per agent step]",
        f"Imagined against true reward ({sums})",
    )
    axes.legend(fontsize=8)


def _reward_against(axes: Axes, imagined: np.ndarray, real: np.ndarray) -> None:
    low, high = min(imagined.min(), real.min()), max(imagined.max(), real.max())
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=LIMIT, linewidth=1, linestyle="--", label="equal")
    axes.scatter(real, imagined, s=6, color=PREDICTED, alpha=0.4, linewidth=0, label="one agent step", rasterized=True)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    error = float(np.sqrt(np.mean((imagined - real) ** 2)))
    dress(
        axes,
        "true reward [raw, per agent step]",
        "imagined reward [raw, per agent step]",
        f"Root mean square error {error:.3g}",
    )
    axes.legend(fontsize=8)


def reversed_legend(axes: Axes) -> tuple[list, list]:
    """Handles and names from top to bottom as the stack is drawn."""
    handles, names = axes.get_legend_handles_labels()
    return handles[::-1], names[::-1]


def phase_axis(axes: Axes, phases: Sequence[int]) -> None:
    """Whole numbers, and room for a few phases more while there are hardly any."""
    axes.set_xlim(min(phases) - 0.6, max(*phases, 3) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def dress(axes: Axes, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
