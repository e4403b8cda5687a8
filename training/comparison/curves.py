"""Returns between, before and after the evaluations of a run, and the curves of a group on a common grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .courses import Axis, Course
from .estimates import Resamples, bands, interquartile_mean

POINTS = 100  # of the common grid
WIDE = 8.0  # a group that goes so many times as far as another: shown on a logarithmic axis


@dataclass(frozen=True)
class Curve:
    """The interquartile mean over runs, (K,) each, as far as all runs of the group go. No bounds of a single run."""

    at: np.ndarray
    middle: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


@dataclass(frozen=True)
class Returns:
    """Of one run, by what was spent: straight lines between evaluations; what the first one says counts before it."""

    at: np.ndarray  # (K,) increasing
    value: np.ndarray  # (K,)

    @classmethod
    def of(cls, course: Course, axis: Axis) -> "Returns":
        at, value = course.points(axis)
        order = np.argsort(at, kind="stable")
        return cls(at[order], value[order])

    @property
    def end(self) -> float:
        return float(self.at[-1])

    def on(self, grid: np.ndarray) -> np.ndarray:
        """NaN after the last evaluation."""
        return np.interp(grid, self.at, self.value, right=np.nan)

    def mean_until(self, end: float) -> float:
        """The area under the curve from nothing spent to `end`, divided by `end`."""
        nodes = np.array([0.0, *self.at[(self.at > 0) & (self.at < end)], end])
        return float(np.trapezoid(self.on(nodes), nodes)) / end if end > 0 else float(self.value[0])

    def reaches(self, level: float) -> float:
        """What had been spent at the first evaluation that is not below the level; infinite where none is."""
        return float(next((at for at, value in zip(self.at, self.value, strict=True) if value >= level), np.inf))


def common_grid(ends: Sequence[float], start: float) -> np.ndarray:
    """From the first evaluation of any run to the last. ends: of each group; geometric where these differ widely."""
    if start > 0 and is_wide(ends):
        return np.geomspace(start, max(ends), POINTS)
    return np.linspace(start, max(ends), POINTS)


def is_wide(ends: Sequence[float]) -> bool:
    return min(ends) > 0 and max(ends) > WIDE * min(ends)


def curve(runs: Sequence[Returns], grid: np.ndarray, resamples: Resamples) -> Curve:
    """Of a group. Where all its runs begin later than the grid, the curve does too."""
    start, end = min(run.at[0] for run in runs), min(run.end for run in runs)
    inside = grid[(grid >= start) & (grid <= end)]
    at = np.unique([start, *inside, end])
    values = np.array([run.on(at) for run in runs])  # (N, P)
    low, high = bands(values, resamples) if len(runs) > 1 else (None, None)
    return Curve(at, interquartile_mean(values), low, high)
