"""A labeler that errs: Gaussian noise on another labeler's answers."""

import hashlib
from dataclasses import replace

import numpy as np

from envs.labelers.env_reward import EnvReward
from envs.records import Label, Query


class Noisy:
    """Adds noise of standard deviation `sigma` (reward units), a function of (seed, query key) alone.

    So a question asked again, after a crash for example, has the same answer.
    """

    def __init__(self, labeler: EnvReward, sigma: float, seed: int):
        self._labeler = labeler
        self._sigma = sigma
        self._seed = seed

    def submit(self, queries: list[Query]) -> None:
        self._labeler.submit(queries)

    def collect(self) -> list[Label]:
        return [replace(label, value=label.value + self._noise(label.key)) for label in self._labeler.collect()]

    def _noise(self, key: str) -> float:
        digest = hashlib.sha256(key.encode()).digest()  # hash() differs from process to process
        rng = np.random.default_rng([self._seed, int.from_bytes(digest, "little")])
        return self._sigma * float(rng.standard_normal())
