"""Curves and bars as SVG inside the page, made here: no script, nothing to fetch, and colours that follow the reader's system."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from .markup import Markup, joined, tag
from .numbers import short

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 52, 428, 12, 226  # edges of what is drawn, pixels
EDGE = 4  # that a mark may reach beyond them
TICKS = 6
WIDEST_BAR = 56  # one alone is no wall
MOST_POINTS = 2000  # of a line
Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    least_step: float = 0.0  # between two ticks

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, is_log: bool = False, zero: bool = False) -> Self:
        """A range in which all of the values that can be shown lie; zero: it begins there."""
        shown = [value for value in values if math.isfinite(value) and (value > 0 or not is_log)]
        low, high = (min(shown), max(shown)) if shown else (1.0, 10.0)
        if is_log:
            return cls(low / 1.15, high * 1.15, start, end, True)
        if zero:
            return cls(min(low, 0.0), high * 1.04 if high > 0 else 1.0, start, end)
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        return cls(low - room, high + room, start, end)

    def at(self, value: float) -> float:
        low, high, value = (_log(one) if self.is_log else one for one in (self.low, self.high, value))
        place = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + min(max(place, -0.05), 1.05) * (self.end - self.start), 1)

    def can_show(self, value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not self.is_log)

    def ticks(self) -> list[float]:
        return self._powers() if self.is_log else self._steps()

    def _steps(self) -> list[float]:
        rough = (self.high - self.low) / TICKS
        unit = 10.0 ** math.floor(math.log10(rough))
        step = max(self.least_step, next(unit * one for one in (1, 2, 5, 10) if unit * one >= rough))
        first = math.ceil(self.low / step)
        return [round(step * number, 12) for number in range(first, math.floor(self.high / step) + 1)]

    def _powers(self) -> list[float]:
        """Powers of ten, or numbers between them too: the fewest that are enough; every so manyth where there are many."""
        first, last = math.floor(_log(self.low)), math.ceil(_log(self.high))
        apart = max(1, round((last - first) / (TICKS + 1)))
        found: list[float] = []
        for parts in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
            made = [part * 10.0**power for power in range(first, last + 1, apart) for part in parts]
            found = [value for value in made if self.low <= value <= self.high]
            if len(found) >= TICKS / 2:
                return found
        return found if len(found) > 1 else self._steps()


def _log(value: float) -> float:
    return math.log10(max(value, 1e-300))


@dataclass(frozen=True)
class Plot:
    """Two axes, what they count, and marks between them. Colours are names of the page's style."""

    x: Scale
    y: Scale
    counts: str  # below the x axis
    measures: str  # above the plot

    @classmethod
    def of(
        cls,
        points: Iterable[Point],
        counts: str,
        measures: str,
        logs: tuple[bool, bool] = (False, False),
        zeros: tuple[bool, bool] = (False, False),
    ) -> Self:
        """Axes around these points."""
        points = list(points)
        x = Scale.over((one for one, _ in points), LEFT, RIGHT, logs[0], zeros[0])
        return cls(x, Scale.over((one for _, one in points), BOTTOM, TOP, logs[1], zeros[1]), counts, measures)

    @classmethod
    def by_phase(cls, phases: Sequence[int], values: Iterable[float], measures: str, is_log: bool = False) -> Self:
        """Values at a run's phases; bars stand there, so without logs the axis of values begins at 0."""
        x = Scale(min(phases) - 0.6, max(phases) + 0.6, LEFT, RIGHT, least_step=1.0)
        return cls(x, Scale.over(values, BOTTOM, TOP, is_log, not is_log), "phase (0 is the pilot)", measures)

    def line(self, points: Iterable[Point], color: str, is_dashed: bool = False) -> Markup:
        shown = [f"{self.x.at(x)},{self.y.at(y)}" for x, y in self._shown(points)]
        apart = -(-len(shown) // MOST_POINTS) or 1
        kind = f"line dashed {color}" if is_dashed else f"line {color}"
        return tag("polyline", points=" ".join([*shown[:-1:apart], *shown[-1:]]), class_=kind)

    def dots(self, points: Sequence[Point], color: str, told: Sequence[str], weights: Sequence[float] = ()) -> Markup:
        """told: what each says to a pointer that rests on it; weights in 0 .. 1: paler where less."""
        weights = weights or [1.0] * len(points)
        marks = []
        for (x, y), words, weight in zip(points, told, weights, strict=True):
            if self.x.can_show(x) and self.y.can_show(y):
                shade = round(0.25 + 0.75 * min(max(weight, 0.0), 1.0), 2)
                place = {"cx": self.x.at(x), "cy": self.y.at(y), "r": 3.4, "opacity": shade}
                marks.append(tag("circle", tag("title", words), class_=f"dot {color}", **place))
        return joined(marks)

    def band(self, xs: Iterable[float], lows: Iterable[float], highs: Iterable[float], color: str) -> Markup:
        xs = list(xs)
        under, over = (list(self._shown(zip(xs, edge, strict=True))) for edge in (lows, highs))
        around = [f"{self.x.at(x)},{self.y.at(y)}" for x, y in [*over, *reversed(under)]]
        return tag("polygon", points=" ".join(around), class_=f"area {color}") if len(around) > 2 else Markup()

    def bar(self, x: Point, y: Point, color: str, told: str) -> Markup:
        """Between two values of either axis."""
        left, right, low, high = self.x.at(x[0]), self.x.at(x[1]), self.y.at(y[0]), self.y.at(y[1])
        width, middle = min(right - left, WIDEST_BAR), (left + right) / 2
        place = {
            "x": round(middle - width / 2, 1),
            "y": high,
            "width": round(width, 1),
            "height": round(max(0.0, low - high), 1),
        }
        return tag("rect", tag("title", told), class_=f"bar {color}", **place)

    def upright(self, x: float, color: str, is_dashed: bool = False) -> Markup:
        if not self.x.can_show(x):
            return Markup()
        at, kind = self.x.at(x), f"line dashed {color}" if is_dashed else f"line {color}"
        return tag("line", x1=at, x2=at, y1=TOP, y2=BOTTOM, class_=kind)

    def figure(self, *marks: Markup, key: Markup, caption: object = None) -> Markup:
        """What is measured, the marks between the axes, the legend and a caption."""
        edges = (LEFT - EDGE, TOP - EDGE, RIGHT - LEFT + 2 * EDGE, BOTTOM - TOP + 2 * EDGE)
        place = dict(zip(("x", "y", "width", "height"), edges, strict=True))
        inner = tag("svg", *marks, viewBox=" ".join(map(str, edges)), **place)  # cut off at its edges
        named = f"{self.measures}, by {self.counts}"
        whole = tag(
            "svg", tag("title", named), self._axes(), inner, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="plot"
        )
        below = tag("figcaption", caption) if caption else None
        return tag("figure", tag("p", self.measures, class_="measures"), whole, key, below)

    def _axes(self) -> Markup:
        found = [tag("text", self.counts, x=(LEFT + RIGHT) / 2, y=HEIGHT - 8, class_="name middle")]
        for value in self.y.ticks():
            at = self.y.at(value)
            found.append(tag("line", x1=LEFT, x2=RIGHT, y1=at, y2=at, class_="grid"))
            found.append(tag("text", short(value), x=LEFT - 6, y=at + 4, class_="tick end"))
        for value in self.x.ticks():
            at = self.x.at(value)
            found.append(tag("line", x1=at, x2=at, y1=BOTTOM, y2=BOTTOM + 4, class_="axis"))
            found.append(tag("text", short(value), x=at, y=BOTTOM + 18, class_="tick middle"))
        return joined([*found, tag("line", x1=LEFT, x2=RIGHT, y1=BOTTOM, y2=BOTTOM, class_="axis")])

    def _shown(self, points: Iterable[Point]) -> Iterable[Point]:
        return ((float(x), float(y)) for x, y in points if self.x.can_show(x) and self.y.can_show(y))


def legend(**names: str) -> Markup:
    """Colour -> what it is; `name_dashed` and `name_area` for lines and areas of another kind."""
    return tag(
        "ul",
        *(tag("li", tag("i", class_=f"key {' '.join(kind.split('_'))}"), name) for kind, name in names.items()),
        class_="legend",
    )
