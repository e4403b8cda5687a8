"""The numbers of a comparison as text for a person, and as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence

from .compared import Comparison, Reached, Standing
from .courses import COUNTED
from .estimates import Estimate

MOST_GROUPS, FEW = 12, 4  # whose pairs are told on the terminal; with their bounds


def told(comparison: Comparison) -> list[str]:
    """Lines for a terminal: the table, who is above whom, and what one should know."""
    one = comparison
    number = sum(len(each.runs) for each in one.standings)
    origin = "" if one.is_level_given else ", 90 % of the way from the first returns to the best last ones"
    lines = [
        f"{one.task}: {_counted(number, 'run')} in {_counted(len(one.standings), 'group')}, by {one.axis}",
        f"interquartile means over runs with 95 % bands; level {_number(one.level)}{origin}",
        "",
        *_aligned([_heading(one), *(_row(place, each, one.axis) for place, each in enumerate(one.standings, 1))]),
        "",
    ]
    return lines + _pairs(one) + [f"note: {note}" for note in one.notes]


def _heading(one: Comparison) -> list[str]:
    common = _common(one)
    to_level = f"{one.axis} to the level"
    return ["", "group", "runs", "last return", f"at {common}", f"mean until {common}", to_level, "wins"]


def _common(one: Comparison) -> str:
    return f"{one.common:,.6g} {one.axis}"


def _row(place: int, one: Standing, axis: str) -> list[str]:
    going = sum(not course.is_over for course in one.group.courses)
    return [
        f"{place}",
        one.group.short,
        f"{len(one.runs)}" + (f" ({going} not over)" if going else ""),
        *(_estimate(each) for each in (one.final, one.at_common, one.area)),
        _reached(one.reached, len(one.runs), axis),
        f"{len(one.wins)}",
    ]


def _reached(one: Reached, number: int, axis: str) -> str:
    spent = f"{one.spent:,.3g}" if axis == "hours" else f"{one.spent:,.0f}"
    return f"{'' if one.is_reached else '> '}{spent} ({one.number} of {number})"


def _pairs(comparison: Comparison) -> list[str]:
    """How probable it is that a run of the row's group is above one of the column's."""
    names = [each.group.name for each in comparison.standings]
    if not 1 < len(names) <= MOST_GROUPS:
        return []
    numbers = [f"{place}" for place in range(1, len(names) + 1)]
    rows = [
        [number, *("-" if a == b else _probability(comparison.improvements[a, b], len(names)) for b in names)]
        for number, a in zip(numbers, names, strict=True)
    ]
    title = f"probability that a run of the row's group is above one of the column's, at {_common(comparison)}"
    return [
        f"{title}{'' if len(names) <= FEW else '; *: the 95 % bounds leave out one half'}",
        *_aligned([["", *numbers], *rows]),
        "",
    ]


def _probability(one: Estimate, groups: int) -> str:
    if groups <= FEW:
        return f"{one.value:.2f}" + ("" if one.low is None else f" ({one.low:.2f} to {one.high:.2f})")
    is_beyond = one.low is not None and one.high is not None and (one.low > 0.5 or one.high < 0.5)
    return f"{one.value:.2f}{'*' if is_beyond else ''}"


def _estimate(one: Estimate) -> str:
    return _number(one.value) + ("" if one.low is None else f" ({_number(one.low)} to {_number(one.high)})")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 1e7:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'s' * (number != 1)}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def table_csv(comparisons: Sequence[Comparison]) -> str:
    """A row a group."""
    estimates = [f"{name}{end}" for name in ("final", "at_common", "area") for end in ("", "_low", "_high")]
    heading = [
        "task",
        "group",
        "by",
        "runs",
        "common",
        *estimates,
        "level",
        "to_level",
        "is_reached",
        "reached",
        "wins",
    ]
    return _csv(heading, (_table_row(one, each) for one in comparisons for each in one.standings))


def _table_row(one: Comparison, each: Standing) -> list:
    estimates = [
        value for found in (each.final, each.at_common, each.area) for value in (found.value, found.low, found.high)
    ]
    reached = each.reached
    level = [one.level, reached.spent, int(reached.is_reached), reached.number]
    return [one.task, each.group.name, one.axis, len(each.runs), one.common, *estimates, *level, len(each.wins)]


def curves_csv(comparisons: Sequence[Comparison]) -> str:
    """A row a point of a group's curve, and then of each run's."""
    axis = COUNTED[comparisons[0].axis]
    rows = (row for one in comparisons for each in one.standings for row in _curve_rows(one.task, each))
    return _csv(["task", "group", "run", axis, "return", "low", "high"], rows)


def _curve_rows(task: str, one: Standing) -> Iterable[list]:
    curve, nothing = one.curve, [None] * len(one.curve.at)
    low, high = (nothing if bound is None else bound.tolist() for bound in (curve.low, curve.high))
    for at, middle, below, above in zip(curve.at.tolist(), curve.middle.tolist(), low, high, strict=True):
        yield [task, one.group.name, "", at, middle, below, above]
    for course, run in zip(one.group.courses, one.runs, strict=True):
        for at, value in zip(run.at.tolist(), run.value.tolist(), strict=True):
            yield [task, one.group.name, course.name, at, value, None, None]


def _csv(heading: list[str], rows: Iterable[list]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows([f"{one:.10g}" if type(one) is float else one for one in row] for row in rows)
    return file.getvalue()
