"""How errors fall with data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


def check_positive_pair(field: str, pair: Sequence[float]) -> None:
    """Raise ValueError naming `field` unless `pair` is two positive, finite numbers."""
    if len(pair) != 2 or not all(math.isfinite(value) and value > 0 for value in pair):
        raise ValueError(f"{field}: must be two positive numbers, got {', '.join(map(str, pair))}")


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

    def error(self, count: float) -> float:
        """Without data: infinite."""
        return self.floor + self.coefficient * count**-self.exponent if count > 0 else math.inf

    def log_slope(self, log_count: float) -> float:
        """log of -d error / d count, at exp(log_count): the gain from one more."""
        return math.log(self.coefficient * self.exponent) - (self.exponent + 1) * log_count


@dataclass(frozen=True)
class Curve:
    """Errors measured at counts of data, K points. A point of weight .5 counts half as much as one of weight 1."""

    counts: tuple[float, ...]
    errors: tuple[float, ...]
    weights: tuple[float, ...]
