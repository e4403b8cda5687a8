"""What few runs say of many: interquartile means, bootstrap bands, probability of improvement.

The definitions are those of rliable (Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical
Precipice), for one task; tests hold them against that library. Each group is resampled by itself.
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
PERCENTILES = (2.5, 97.5)
_AT_ONCE = 2_000_000  # numbers that a part of the resamples may hold


@dataclass(frozen=True)
class Estimate:
    """low, high: 95 % by the percentiles of the bootstrap. None of a single run, which says nothing of others."""

    value: float
    low: float | None = None
    high: float | None = None


def interquartile_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean without the lowest and the highest quarter, the number of which is rounded down."""
    number = values.shape[axis]
    cut = number // 4
    return np.sort(values, axis).take(range(cut, number - cut), axis).mean(axis)


def picks(number: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """(R, N): which of N runs are in each resample; drawn with replacement."""
    return rng.integers(number, size=(resamples, number))


def bands(values: np.ndarray, picked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the interquartile mean over runs. values: (N, P), picked: (R, N) -> low and high, (P,) each."""
    parts = -(-picked.size * values.shape[1] // _AT_ONCE)
    means = [interquartile_mean(values[part], axis=1) for part in np.array_split(picked, min(parts, len(picked)))]
    low, high = np.percentile(np.concatenate(means), PERCENTILES, axis=0)
    return low, high


def estimate(values: np.ndarray, picked: np.ndarray) -> Estimate:
    """Of one number a run, (N,)."""
    middle = float(interquartile_mean(values))
    if len(values) == 1:
        return Estimate(middle)
    low, high = bands(values[:, None], picked)
    return Estimate(middle, float(low[0]), float(high[0]))


def improvement(ours: np.ndarray, theirs: np.ndarray, picked: np.ndarray, picked_theirs: np.ndarray) -> Estimate:
    """How probable it is that a run of ours, (N,), is above one of theirs, (M,); a tie counts half.

    Both are resampled, each by itself. picked: (R, N) and (R, M).
    """
    above = (ours[:, None] > theirs) + 0.5 * (ours[:, None] == theirs)  # (N, M)
    value = float(above.mean())
    if len(ours) == 1 or len(theirs) == 1:
        return Estimate(value)
    drawn = np.einsum("rn,nm,rm->r", _shares(picked), above, _shares(picked_theirs), optimize=True)
    low, high = np.percentile(drawn, PERCENTILES)
    return Estimate(value, float(low), float(high))


def opposite(one: Estimate) -> Estimate:
    """How probable it is that theirs is above ours."""
    if one.low is None or one.high is None:
        return Estimate(1 - one.value)
    return Estimate(1 - one.value, 1 - one.high, 1 - one.low)


def _shares(picked: np.ndarray) -> np.ndarray:
    """(R, N): each run's part of each resample."""
    resamples, number = picked.shape
    places = picked + number * np.arange(resamples)[:, None]
    return np.bincount(places.ravel(), minlength=picked.size).reshape(picked.shape) / number
