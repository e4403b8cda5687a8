"""What few runs say of many: interquartile means, bootstrap bands, probability of improvement.

The definitions are those of rliable (Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical
Precipice), for one task; tests hold them against that library. Each group is resampled by itself.
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
RESAMPLES_OF_FEW = 50_000  # as many as rliable draws: bounds of few runs go in steps, and should be on the right one
FEW = 7  # runs: 1,716 resamples differ
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


@dataclass(frozen=True)
class Resamples:
    """Which of N runs are in each of R resamples, drawn with replacement."""

    picked: np.ndarray  # (R, N)
    distinct: np.ndarray  # (K, N): those that differ, whatever their order. Of few runs they are few
    counts: np.ndarray  # (K,) how often each of them was drawn

    @classmethod
    def draw(cls, number: int, rng: np.random.Generator, resamples: int | None = None) -> "Resamples":
        usual = RESAMPLES_OF_FEW if number <= FEW else RESAMPLES
        picked = rng.integers(number, size=(resamples or usual, number))
        return cls(picked, *np.unique(np.sort(picked, axis=1), axis=0, return_counts=True))

    def shares(self) -> np.ndarray:
        """(R, N): each run's part of each resample, of RESAMPLES at most."""
        picked = self.picked[:RESAMPLES]
        resamples, number = picked.shape
        places = picked + number * np.arange(resamples)[:, None]
        return np.bincount(places.ravel(), minlength=picked.size).reshape(picked.shape) / number


def bands(values: np.ndarray, resamples: Resamples) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the interquartile mean over runs. values: (N, P) -> low and high, (P,) each."""
    distinct = resamples.distinct
    parts = min(len(distinct), -(-distinct.size * values.shape[1] // _AT_ONCE))
    means = [interquartile_mean(values[part], axis=1) for part in np.array_split(distinct, parts)]
    low, high = percentiles(np.concatenate(means), resamples.counts)
    return low, high


def percentiles(values: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """Each of PERCENTILES, (P,), of values (K, P) that are there as often as counts (K,) says; on lines between ranks."""
    order = np.argsort(values, axis=0)
    ranked, until = np.take_along_axis(values, order, 0), np.cumsum(counts[order], axis=0)
    found = []
    for percentile in PERCENTILES:
        rank = percentile / 100 * (counts.sum() - 1)
        below, above = (
            np.take_along_axis(ranked, (until <= one).sum(axis=0)[None], 0)[0]
            for one in (np.floor(rank), np.ceil(rank))
        )
        found.append(below + (rank % 1) * (above - below))
    return found


def estimate(values: np.ndarray, resamples: Resamples) -> Estimate:
    """Of one number a run, (N,)."""
    middle = float(interquartile_mean(values))
    if len(values) == 1:
        return Estimate(middle)
    low, high = bands(values[:, None], resamples)
    return Estimate(middle, float(low[0]), float(high[0]))


def improvement(ours: np.ndarray, theirs: np.ndarray, shares: np.ndarray, shares_of_theirs: np.ndarray) -> Estimate:
    """How probable it is that a run of ours, (N,), is above one of theirs, (M,); a tie counts half.

    Both are resampled, each by itself. shares: (R, N) and (R, M), each run's part of each resample.
    """
    above = (ours[:, None] > theirs) + 0.5 * (ours[:, None] == theirs)  # (N, M)
    value = float(above.mean())
    if len(ours) == 1 or len(theirs) == 1:
        return Estimate(value)
    drawn = np.einsum("rn,nm,rm->r", shares, above, shares_of_theirs, optimize=True)
    low, high = np.percentile(drawn, PERCENTILES)
    return Estimate(value, float(low), float(high))


def opposite(one: Estimate) -> Estimate:
    """How probable it is that theirs is above ours."""
    if one.low is None or one.high is None:
        return Estimate(1 - one.value)
    return Estimate(1 - one.value, 1 - one.high, 1 - one.low)
