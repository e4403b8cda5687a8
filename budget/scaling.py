"""How errors fall with data: power laws, what measured errors say about them, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

# The grid of laws err(N) = m [phi + (1 - phi) (N / N_0) ** -alpha] and what is believed of it before any measurement.
EXPONENTS = np.geomspace(0.03, 1.5, 28)
FLOOR_SHARES = np.arange(9) / 10
STUCK = 0.05  # part of an error that twice the data should take off it, or it is stuck
USUAL_EXPONENT, _EXPONENT_SPREAD = 0.3, 0.7  # median, and standard deviation of its log
_NO_FLOOR = 0.4  # probability of phi = 0; the rest falls as exp(-j / 3) over phi = j / 10
_NOISE, _NOISE_WORTH = 0.10, 2.0  # usual noise of a log error, and twice as many points as that belief is worth
_HELP_SPREAD, _LEAST_HELP, _MOST_HELP = 0.3, 0.01, 0.9  # of an exponent around 0: standard deviation; least told; most

# For a squared error the floor has to be found, not averaged over: a finer grid, at whose best cell it is read off.
_FINE_EXPONENTS = np.geomspace(0.03, 1.5, 400)
_FINE_FLOOR_SHARES = np.concatenate([[0.0], 1 - np.geomspace(0.999, 0.01, 80)])


def check_positive_pair(field: str, pair: Sequence[float]) -> None:
    """Raise ValueError naming `field` unless `pair` is two positive, finite numbers."""
    if len(pair) != 2 or not all(math.isfinite(value) and value > 0 for value in pair):
        raise ValueError(f"{field}: must be two positive numbers, got {', '.join(map(str, pair))}")


class ErrorLaw(Protocol):
    """What a market has to know of an error. A law that stands for K laws at once answers with K numbers."""

    @property
    def bias(self) -> float: ...  # that neither data nor latents lessen; its square is part of the square of the error

    def error(self, count: float) -> Any: ...  # infinite without data
    def scaled(self, factor: Any) -> "ErrorLaw": ...  # all of it but the bias, by one factor or by K
    def log_slope(self, log_count: float) -> Any: ...  # log of -d error / d count at exp(log_count)


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = floor + coefficient * n ** -exponent."""

    coefficient: float
    exponent: float
    floor: float = 0.0

    def __post_init__(self):
        for field, value in (("coefficient", self.coefficient), ("exponent", self.exponent)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field}: must be positive and finite, got {value}")
        if not (math.isfinite(self.floor) and self.floor >= 0):
            raise ValueError(f"floor: must be 0 or more and finite, got {self.floor}")

    def error(self, count: float | np.ndarray) -> Any:
        """At one count or at K of them; without data: infinite."""
        with np.errstate(divide="ignore"):
            return self.floor + self.coefficient * np.maximum(count, 0.0) ** -self.exponent

    @property
    def bias(self) -> float:
        return 0.0

    def scaled(self, factor: float) -> "PowerLaw":
        return replace(self, coefficient=self.coefficient * factor, floor=self.floor * factor)

    def log_slope(self, log_count: float | np.ndarray) -> Any:
        """log of -d error / d count, at exp(log_count): the gain from one more."""
        return math.log(self.coefficient * self.exponent) - (self.exponent + 1) * log_count


@dataclass(frozen=True)
class Curve:
    """Errors measured at counts of data, K points. A point of weight .5 counts half as much as one of weight 1.

    `unit` says whether the errors are mean squared ones: those fall twice as fast, and over a floor of noise that no
    data removes. Return gaps are linear in the error, so only linear curves are ever weighed against each other.
    """

    counts: tuple[float, ...]
    errors: tuple[float, ...]
    weights: tuple[float, ...]
    unit: Literal["linear", "squared"] = "linear"

    def __post_init__(self):
        if not len(self.counts) == len(self.errors) == len(self.weights):
            lengths = len(self.counts), len(self.errors), len(self.weights)
            raise ValueError(f"curve: needs as many counts as errors and weights, got {lengths}")

    @classmethod
    def of(cls, points: Sequence[Sequence[float]]) -> "Curve":
        """A linear one from (count, error, weight) of each of its points."""
        counts, errors, weights = zip(*points, strict=True) if points else ((), (), ())
        return cls(counts, errors, weights)

    def usable(self) -> np.ndarray:
        """(3, K): counts, errors and weights of the points of which a logarithm can be taken."""
        points = np.array([self.counts, self.errors, self.weights], dtype=float)
        return points[:, np.all(np.isfinite(points) & (points > 0), axis=0)]


@dataclass(frozen=True)
class LawSamples:
    """K laws err(N) = level [floor_share + (1 - floor_share) (N / reference) ** -exponent]; arrays (K,)."""

    level: np.ndarray
    floor_share: np.ndarray
    exponent: np.ndarray
    reference: float

    def error(self, count: float | np.ndarray) -> np.ndarray:
        """(K,), at one count or at K of them."""
        with np.errstate(divide="ignore"):  # without data: infinite
            falls = (np.maximum(count, 0.0) / self.reference) ** -self.exponent
        return self.level * (self.floor_share + (1 - self.floor_share) * falls)

    @property
    def bias(self) -> float:
        return 0.0

    def scaled(self, factor: float | np.ndarray) -> "LawSamples":
        return replace(self, level=self.level * factor)

    def blurred(self, log_spread: float, rng: np.random.Generator) -> "LawSamples":
        """The same laws where the level of all errors is only known up to a factor: normal logs of that deviation."""
        return replace(self, level=self.level * np.exp(log_spread * rng.standard_normal(len(self.level))))

    def log_slope(self, log_count: float | np.ndarray) -> np.ndarray:
        """(K,), from one log count or from K of them."""
        return self._steepness - (self.exponent + 1) * log_count

    @cached_property
    def _steepness(self) -> np.ndarray:
        """(K,): log slope at a count of 1."""
        at_reference = np.log(self.level * (1 - self.floor_share) * self.exponent)
        return at_reference + self.exponent * math.log(self.reference)


@dataclass(frozen=True)
class MeanLaw:
    """The mean of K laws: an error whose slope is the mean of theirs."""

    samples: LawSamples

    @property
    def bias(self) -> float:
        return 0.0

    def scaled(self, factor: float) -> "MeanLaw":
        return MeanLaw(self.samples.scaled(factor))

    def error(self, count: float) -> float:
        return float(self.samples.error(count).mean())

    def log_slope(self, log_count: float) -> float:
        slopes = self.samples.log_slope(log_count)
        steepest = slopes.max()
        return steepest + math.log(np.exp(slopes - steepest).sum() / len(slopes))


@dataclass(frozen=True)
class Posterior:
    """What a linear curve says about its law, over the cells of the grid (A exponents, P floor shares).

    In a cell log m is normal around `log_level` with variance noise / `worth`, and the noise variance of a log error is
    inverse-gamma with `shape` and the cell's `scale`.
    """

    probability: np.ndarray  # (A, P), adds up to 1
    log_level: np.ndarray  # (A, P)
    scale: np.ndarray  # (A, P)
    shape: float
    worth: float  # points, weights counted
    reference: float  # N_0, the largest count that was measured

    def sample(self, number: int, rng: np.random.Generator) -> LawSamples:
        """`number` laws. Cells are drawn systematically, so that few samples stand well for all of them."""
        ladder = (rng.permutation(number) + rng.random()) / number
        cells = np.searchsorted(np.cumsum(self.probability), ladder).clip(max=self.probability.size - 1)
        noise = self.scale.ravel()[cells] / rng.gamma(self.shape, size=number)
        log_level = self.log_level.ravel()[cells] + np.sqrt(noise / self.worth) * rng.standard_normal(number)
        exponent, floor = np.unravel_index(cells, self.probability.shape)
        return LawSamples(np.exp(log_level), FLOOR_SHARES[floor], EXPONENTS[exponent], self.reference)

    def mean_error(self, count: float) -> float:
        """Of the laws of all cells, each at its median level; infinite without data."""
        laws = LawSamples(
            np.exp(self.log_level), *np.broadcast_arrays(FLOOR_SHARES, EXPONENTS[:, None]), reference=self.reference
        )
        return float((self.probability * laws.error(count)).sum())

    def band(self, counts: Sequence[float], probability: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Low and high, (K,) each: the error at each count lies between them with `probability`."""
        laws = self.sample(1000, np.random.default_rng(0))
        errors = np.stack([laws.error(count) for count in counts])  # (K, 1000)
        return tuple(np.quantile(errors, tail(probability), axis=1))

    @property
    def exponent(self) -> float:
        """The posterior mean."""
        return float(self.probability.sum(1) @ EXPONENTS)

    def exponent_interval(self, probability: float = 0.9) -> tuple[float, float]:
        """The exponents between which the true one lies with `probability`, to a cell of the grid."""
        below = np.cumsum(self.probability.sum(1))
        low, high = np.searchsorted(below, tail(probability)).clip(max=len(EXPONENTS) - 1)
        return float(EXPONENTS[low]), float(EXPONENTS[high])

    @property
    def probability_floor_dominates(self) -> float:
        """That half or more of the error at the largest measured count is floor, which no data removes."""
        return float(self.probability[:, FLOOR_SHARES >= 0.5].sum())

    @property
    def probability_stuck(self) -> float:
        """That twice the data would take less than STUCK off the error, be it for a floor or for an exponent near 0."""
        falls = FLOOR_SHARES + (1 - FLOOR_SHARES) * 2.0 ** -EXPONENTS[:, None]  # (A, P)
        return float(self.probability[falls > 1 - STUCK].sum())


def tail(probability: float) -> list[float]:
    """The two quantiles that leave `probability` between them."""
    return [(1 - probability) / 2, (1 + probability) / 2]


def fit_posterior(curve: Curve) -> Posterior | None:
    """The posterior after a linear curve, exact on the grid: level and noise are integrated out. None without points.

    Log errors are normal around the law; a point of weight w has its likelihood to the power w. One point says nothing
    about the exponent, and leaves the prior.
    """
    assert curve.unit == "linear", "a squared error has to be made linear first"
    counts, errors, weights = curve.usable()
    if len(counts) == 0:
        return None
    reference, worth = counts.max(), weights.sum()
    log_level, squares = _fit_levels(np.log(_falls(counts / reference, EXPONENTS, FLOOR_SHARES)), errors, weights)
    shape = _NOISE_WORTH + (worth - 1) / 2
    scale = _NOISE_WORTH * _NOISE**2 + squares / 2
    log_probability = _log_prior() - shape * np.log(scale)
    probability = np.exp(log_probability - log_probability.max())
    return Posterior(probability / probability.sum(), log_level, scale, shape, float(worth), float(reference))


def _falls(ratios: np.ndarray, exponents: np.ndarray, floor_shares: np.ndarray) -> np.ndarray:
    """(A, P, K): phi + (1 - phi) ratio ** -alpha."""
    return floor_shares[:, None] + (1 - floor_shares[:, None]) * ratios ** -exponents[:, None, None]


def _fit_levels(log_falls: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each cell's best log level and the weighted sum of squares around it, (A, P) each."""
    offsets = np.log(errors) - log_falls  # (A, P, K)
    log_level = offsets @ weights / weights.sum()
    return log_level, (offsets - log_level[..., None]) ** 2 @ weights


def _log_prior() -> np.ndarray:
    """(A, P)"""
    deviations = np.log(EXPONENTS / USUAL_EXPONENT) / _EXPONENT_SPREAD
    falling = np.exp(-np.arange(1, len(FLOOR_SHARES)) / 3)
    floors = np.concatenate([[_NO_FLOOR], (1 - _NO_FLOOR) * falling / falling.sum()])
    return -(deviations[:, None] ** 2) / 2 + np.log(floors)


def fit_help(curve: Curve) -> PowerLaw | None:
    """By what an error falls with data that it has no law of its own in: 1 at the largest count. None where it is not seen to.

    The mean of what is believed of the slope of the logs: as likely as not there is none, else it is normal around 0.
    """
    counts, errors, weights = curve.usable()
    if len(counts) < 2:
        return None
    x, y = np.log(counts), np.log(errors)
    x_mean, y_mean = np.average([x, y], axis=1, weights=weights)
    told, believed = weights @ (x - x_mean) ** 2 / _NOISE**2, 1 / _HELP_SPREAD**2
    slope = -(weights @ ((x - x_mean) * (y - y_mean))) / _NOISE**2 / (told + believed)
    log_odds = (slope**2 * (told + believed) - math.log1p(told / believed)) / 2
    exponent = min(float(slope / (1 + math.exp(-log_odds))), _MOST_HELP)
    return PowerLaw(float(counts.max()) ** exponent, exponent) if exponent > _LEAST_HELP else None


@dataclass(frozen=True)
class LineFit:
    """error = coefficient * count ** -exponent by least squares of the logs, in the unit of the curve."""

    coefficient: float
    exponent: float  # negative where errors rise
    r_squared: float  # of the log errors; 1 where they do not vary


def fit_least_squares(curve: Curve) -> LineFit | None:
    """The straight line through the logs; None with points at fewer than two counts."""
    counts, errors, weights = curve.usable()
    if len(np.unique(counts)) < 2:
        return None
    x, y = np.log(counts), np.log(errors)
    x_mean, y_mean = np.average([x, y], axis=1, weights=weights)
    slope = weights @ ((x - x_mean) * (y - y_mean)) / (weights @ (x - x_mean) ** 2)
    rest, spread = weights @ (y - y_mean - slope * (x - x_mean)) ** 2, weights @ (y - y_mean) ** 2
    r_squared = 1 - rest / spread if spread > 0 else 1.0
    return LineFit(float(np.exp(y_mean - slope * x_mean)), float(-slope), float(r_squared))


def squared_floor(curve: Curve) -> float:
    """E of L(N) = E + a N ** (-2 alpha), by least squares of log L over a fine grid; 0 without points.

    The part of a mean squared error that no data removes: noise of the targets, or what the model cannot express.
    """
    assert curve.unit == "squared", "a linear error has no such floor"
    counts, errors, weights = curve.usable()
    if len(counts) == 0:
        return 0.0
    falls = _falls(counts / counts.max(), 2 * _FINE_EXPONENTS, _FINE_FLOOR_SHARES)
    log_level, squares = _fit_levels(np.log(falls), errors, weights)
    alpha, phi = np.unravel_index(squares.argmin(), squares.shape)
    return float(np.exp(log_level[alpha, phi]) * _FINE_FLOOR_SHARES[phi])


def to_linear(curve: Curve) -> Curve:
    """A squared curve in linear units: eps = sqrt(L - E), without the points at or below E."""
    floor = squared_floor(curve)
    counts, errors, weights = curve.usable()
    above = errors > floor
    errors = np.sqrt(np.maximum(errors - floor, 0))
    return Curve.of(np.stack([counts, errors, weights], 1)[above].tolist())
