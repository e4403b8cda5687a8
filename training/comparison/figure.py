"""The picture of a comparison: a panel a task, a band a group, a thin line a run."""

import io
import textwrap
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from ..reports.colors import LIMIT
from .compared import Comparison, Standing

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")  # of Okabe and Ito
DASHES = ("-", "--", ":", "-.")  # once the colours are used up
COLUMNS = 3
CROWD = 5  # groups, beyond which single runs are not drawn
MOST_NAMES = 16  # of groups in a legend
AXES = {"coins": "coins spent", "steps": "environment steps", "labels": "labels bought", "hours": "hours of work"}
DPI = 130


def drawn(comparisons: Sequence[Comparison], kind: str) -> bytes:
    """kind: png or svg. The same bytes of the same comparison."""
    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "tandem"}):  # names inside an SVG are drawn by chance otherwise
        date = {"Date": None} if kind == "svg" else {}
        figure(comparisons).savefig(file, format=kind, dpi=DPI, metadata=date)
    return file.getvalue()


def figure(comparisons: Sequence[Comparison]) -> Figure:
    columns = min(COLUMNS, len(comparisons))
    rows = -(-len(comparisons) // columns)
    names = min(MOST_NAMES, max(len(one.standings) for one in comparisons))
    picture = Figure(figsize=(8.0 if columns == 1 else 5.0 * columns, (3.6 + 0.2 * names) * rows), layout="constrained")
    grid = picture.subplots(rows, columns, squeeze=False)
    for axes, comparison in zip(grid.flat, comparisons, strict=False):
        _panel(axes, comparison, 100 if columns == 1 else 56)
    for axes in grid.flat[len(comparisons) :]:
        axes.remove()
    return picture


def _panel(axes: Axes, comparison: Comparison, width: int) -> None:
    """width: letters of a line in the legend."""
    shown = comparison.standings
    lines = [
        _group(axes, one, COLORS[place % len(COLORS)], DASHES[place // len(COLORS) % len(DASHES)], len(shown) > CROWD)
        for place, one in enumerate(shown)
    ][:MOST_NAMES]
    names = [_name(place, one, width) for place, one in enumerate(shown[:MOST_NAMES], 1)]
    if len(shown) > MOST_NAMES:
        names[-1] += f", and {len(shown) - MOST_NAMES} more groups"
    axes.axhline(comparison.level, color=LIMIT, linewidth=0.8, linestyle="--")
    if comparison.is_wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
    if comparison.axis != "hours":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_title(comparison.task, fontsize=10, parse_math=False)
    axes.set_xlabel(AXES[comparison.axis], fontsize=9)
    axes.set_ylabel("true return", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    legend = axes.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=7.5, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar in somebody's setting is a dollar


def _name(place: int, one: Standing, width: int) -> str:
    number = len(one.runs)
    return textwrap.fill(f"{place}  {one.group.short} ({number} run{'s' * (number != 1)})", width)


def _group(axes: Axes, one: Standing, color: str, dashes: str, is_crowded: bool) -> Line2D:
    """Draw a group. -> the line for the legend"""
    curve = one.curve
    marker = "o" if len(curve.at) == 1 else None  # a line of one point cannot be seen
    (line,) = axes.plot(curve.at, curve.middle, color=color, linestyle=dashes, linewidth=1.8, marker=marker, zorder=3)
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.at, curve.low, curve.high, color=color, alpha=0.06 if is_crowded else 0.15, linewidth=0)
    for run in one.runs if len(one.runs) > 1 and not is_crowded else ():
        axes.plot(run.at, run.value, color=color, linewidth=0.6, alpha=0.35)
    return line
