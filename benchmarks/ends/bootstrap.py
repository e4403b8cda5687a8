"""What a few seeds say of a mean: intervals by drawing the seeds again, and how often each of several candidates is best."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

DRAWS, LOW, HIGH = 4_000, 0.025, 0.975
Name = TypeVar("Name")


def resampled(values: Sequence[float], salt: int = 0) -> np.ndarray:
    """Means of DRAWS resamples of so many values, the same in every call. salt: another one for independent values."""
    chosen = np.random.default_rng([len(values), salt]).integers(len(values), size=(DRAWS, len(values)))
    return np.asarray(values, float)[chosen].mean(1)


def middle(means: np.ndarray) -> tuple[float, float]:
    """Where 95 % of them lie."""
    low, high = np.quantile(means, (LOW, HIGH))
    return float(low), float(high)


def told(values: Sequence[float], shown: Callable[[float], float] = float, form: str = ".3g") -> str:
    """The mean and its interval; shown: a function to see both through, such as exp for a geometric mean."""
    mean = format(shown(float(np.mean(values))), form)
    if len(values) < 2:
        return f"{mean} (1 seed)"
    low, high = (format(shown(end), form) for end in middle(resampled(values)))
    return f"{mean} ({low} .. {high})"


def told_difference(ours: list[float], theirs: list[float], shown: Callable[[float], float] = float) -> str:
    """The same of ours minus theirs, whose seeds have nothing to do with each other: both are drawn again."""
    if not (ours and theirs):
        return "-"
    mean = f"{shown(float(np.mean(ours) - np.mean(theirs))):.3g}"
    if min(len(ours), len(theirs)) < 2:
        return f"{mean} (1 seed)"
    low, high = middle(resampled(ours) - resampled(theirs, salt=1))
    return f"{mean} ({shown(low):.3g} .. {shown(high):.3g})"


def wins(candidates: Mapping[Name, Sequence[float]]) -> dict[Name, float]:
    """Name -> in how many of the resamples of all candidates its mean is the highest, 0 .. 1."""
    means = np.stack([resampled(values, salt) for salt, values in enumerate(candidates.values())])
    best = np.bincount(means.argmax(0), minlength=len(means)) / means.shape[1]
    return dict(zip(candidates, best.tolist(), strict=True))
