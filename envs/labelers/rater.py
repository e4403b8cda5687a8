"""Simulated raters: people who err. What they do wrong is a function of (seed, query key) and of the true reward."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..records import Label, Query
from .env_reward import EnvReward


@dataclass(frozen=True)
class TierConfig:
    price: float  # coins an answer
    sigma: float = 0.0  # standard deviation of the noise, in reward units
    bias: float = 0.0  # added to every answer
    slope: float = 0.0  # state-dependent bias, slope * sin(reward): no shift and no rescaling undoes it
    flip: float = 0.0  # probability that the reward's sign is turned before anything else happens to it
    prior_sigma: float | None = None  # what is believed of the noise before duplicates tell; null: as large as can be
    prior_bias: float | None = None  # and of the bias before gold tells; null: a tenth of the answers' spread

    def __post_init__(self):
        if not 1e-6 <= self.price <= 1e12:
            raise ValueError(f"price: must be positive (from 0.000001 to 1e+12 coins), got {self.price}")
        for name in ("sigma", "prior_sigma", "prior_bias"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: must be at least 0 and finite, got {value}")
        for name in ("bias", "slope"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: must be finite, got {getattr(self, name)}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip: must be between 0 and 1, got {self.flip}")


class Rater:
    """Errs on the answers of the labeler that knows. A question asked again, after a crash for example, has the same
    answer; a repeated question has a key of its own, and an answer of its own."""

    def __init__(self, labeler: EnvReward, config: TierConfig, seed: int):
        self._labeler, self._config, self._seed = labeler, config, seed

    def submit(self, queries: list[Query]) -> None:
        self._labeler.submit(queries)

    def collect(self) -> list[Label]:
        return [replace(label, value=self._answer(label)) for label in self._labeler.collect()]

    def _answer(self, label: Label) -> float:
        digest = hashlib.sha256(label.key.encode()).digest()  # hash() differs from process to process
        rng = np.random.default_rng([self._seed, int.from_bytes(digest, "little")])
        noise, is_flipped = float(rng.standard_normal()), rng.random() < self._config.flip
        reward = -label.value if is_flipped else label.value
        bias = self._config.bias + self._config.slope * math.sin(label.value)
        return reward + bias + self._config.sigma * noise


class Tiers:
    """Several labelers behind one counter: each query goes to the one of its tier."""

    def __init__(self, labelers: Mapping[str, EnvReward | Rater]):
        self._labelers = labelers

    def submit(self, queries: list[Query]) -> None:
        """ValueError for a tier that nobody answers."""
        if unknown := {query.tier for query in queries} - self._labelers.keys():
            raise ValueError(f"tier: must be one of {', '.join(self._labelers)}, got {', '.join(sorted(unknown))}")
        for tier, labeler in self._labelers.items():
            labeler.submit([query for query in queries if query.tier == tier])

    def collect(self) -> list[Label]:
        return [label for labeler in self._labelers.values() for label in labeler.collect()]
