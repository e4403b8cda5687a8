"""The U-curves: coins to the level, and mean return, against the labels' share of the spend."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drawing import decade_log

from .bootstrap import middle, resampled
from .report import Runs, found, goal_of, mean_return, shares_of
from .settings import METHODS, TASKS

COLORS = {"adaptive": "#D55E00", "coupled": "#000000"}
SHARE, GREY = "#0072B2", "#BBBBBB"


def figure(results: dict[str, dict[str, dict]]) -> Figure:
    """A column a task: coins above, mean return below. Dots are runs, bars where 95 % of the means of resampled seeds lie."""
    shown = {task: cells for task in TASKS if shares_of(cells := found(task, results))}
    picture = Figure(figsize=(3.4 * max(1, len(shown)), 5.6), layout="constrained")
    if not shown:
        return picture
    grid = picture.subplots(2, len(shown), squeeze=False)
    for (task, cells), (upper, lower) in zip(shown.items(), grid.T, strict=True):
        goal = goal_of(task, cells)
        draw(upper, cells, lambda run, goal=goal: goal.log_coins([run])[0], np.exp)
        draw(lower, cells, mean_return, np.asarray)
        upper.set_yscale("log")
        decade_log(upper.yaxis)
        upper.set_title(f"{task.name}, a label costs {task.price:g}", fontsize=9)
        lower.set_xlabel("labels' share of the spend, %", fontsize=9)
    grid[0, 0].set_ylabel("coins to 90 % of the best", fontsize=9)
    grid[1, 0].set_ylabel("mean return while learning", fontsize=9)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return picture


def draw(axes: Axes, cells: dict[str, Runs], value: Callable[[dict], float], shown: Callable) -> None:
    """value: of a run, averaged over seeds; shown: what the mean is seen through."""
    tried = {share: [value(run) for run in runs] for share, runs in shares_of(cells).items()}
    for share, values in tried.items():
        axes.plot([share] * len(values), shown(np.array(values)), ".", color=GREY, markersize=4)
    means = [shown(np.mean(values)) for values in tried.values()]
    axes.plot(list(tried), means, "o-", color=SHARE, markersize=4, linewidth=1.5, label="a fixed share")
    for share, values in tried.items():
        axes.vlines(share, *map(shown, middle(resampled(values))), color=SHARE, linewidth=1)
    for method in METHODS:
        if method in cells:
            mean = shown(np.mean([value(run) for run in cells[method]]))
            axes.axhline(mean, color=COLORS[method], linewidth=1.2, linestyle="--", label=method)
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
