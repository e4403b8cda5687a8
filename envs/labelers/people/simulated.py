"""Raters who are simulated: they know the true rewards, err as B-Pref's teachers do, and answer like anybody else.

What they say is a function of (seed, key of the question) and, for drift and fatigue, of how many answers they have given.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np

from .counter import Item, Receipt
from .verdict import Given, Verdict, mirrored

EULER = 0.5772156649015329  # the mean of a Gumbel number
WORST_MISTAKE = 0.5  # a tired rater is no worse than a coin


@dataclass(frozen=True)
class SimulatedConfig:
    """How a rater errs; by default not at all. Rewards are raw reward units, of a row where nothing else is said."""

    low: float = 0.0  # of a row, that a score of 0 stands for
    high: float = 1.0  # and one of 1
    beta: float = math.inf  # rationality: clips are compared with P = sigmoid(beta * difference of returns)
    myopic: float = 1.0  # weight of a row in that of the row after it
    mistake: float = 0.0  # probability of the opposite choice, or of any score
    skip: float = 0.0  # times margin: where no clip returns that much, the question is skipped
    equal: float = 0.0  # times margin: clips whose returns differ by less are the same
    margin: float = 1.0  # what a good clip returns
    drift: float = 0.0  # added to what is seen of each row, with each answer given before
    fatigue: float = 0.0  # added to the probability of a mistake, with each answer given before
    levels: int = 0  # scores that there are: 5 keys; 0: a slider
    seconds: float = 5.0  # for an answer

    def __post_init__(self):
        if not self.low < self.high:
            raise ValueError(f"high: must be above low, got low={self.low}, high={self.high}")
        if not self.beta > 0:
            raise ValueError(f"beta: must be above 0, got {self.beta}")
        for name in ("myopic", "mistake"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: must be between 0 and 1, got {getattr(self, name)}")
        for name in ("skip", "equal", "margin", "fatigue", "seconds"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: must be at least 0, got {getattr(self, name)}")
        if self.levels == 1 or self.levels < 0:
            raise ValueError(f"levels: must be 0 or at least 2, got {self.levels}")


@dataclass(frozen=True)
class Truth:
    """What a question is about. `rewards`: of each of its clips in the question's own order, (rows,) raw reward units."""

    key: str
    rewards: tuple[np.ndarray, ...]


class Serving(Protocol):
    """Who hands out questions to a rater: a `Counter`, or a client of the server."""

    def next(self, rater: str) -> Item | None: ...

    def answer(self, rater: str, given: Given) -> Receipt | None: ...

    def skip(self, rater: str, question: int, uuid: str, seconds: float) -> None: ...


class Simulated:
    """One such rater. `work` takes a question and answers it."""

    def __init__(self, name: str, config: SimulatedConfig, seed: int):
        self.name, self.config, self.seed = name, config, seed
        self.count = 0  # answers given

    def work(self, serving: Serving, truth: Callable[[int], Truth], wait: Callable[[float], None]) -> bool:
        """Answer or skip the next question. -> whether there was one. wait: lets the seconds of the work pass."""
        item = serving.next(self.name)
        if item is None:
            return False
        known = truth(item.question)
        verdict = self.verdict(known.key, item.kind, known.rewards)
        wait(self.config.seconds)
        uuid = self._uuid(known.key)
        if verdict is None:
            serving.skip(self.name, item.question, uuid, self.config.seconds)
            return True
        seen = verdict if item.sides[0] == 0 else mirrored(verdict)
        named = {"pair": "choice", "moments": "marks"}.get(item.kind, "value")
        serving.answer(self.name, Given(item.question, uuid, self.config.seconds, **{named: seen}))  # type: ignore[arg-type]
        self.count += 1
        return True

    def verdict(self, key: str, kind: str, rewards: Sequence[np.ndarray]) -> Verdict | None:
        """What the rater states, in the question's own sides; None: skips it. rewards: as in `Truth`."""
        return verdict(self.config, rng_of(self.seed, key), kind, rewards, self.count)

    def _uuid(self, key: str) -> str:
        return str(UUID(bytes=_digest(f"{self.seed}/{self.name}/{key}/{self.count}")[:16]))


def verdict(
    config: SimulatedConfig, rng: np.random.Generator, kind: str, rewards: Sequence[np.ndarray], count: int
) -> Verdict | None:
    """What is stated after `count` answers; None: the question is skipped. The first numbers drawn do not depend on it."""
    noise = (rng.gumbel(size=2) - EULER) / config.beta  # the difference of two Gumbel numbers is logistic
    luck, anything = rng.random(2)
    is_mistaken = luck < min(config.mistake + config.fatigue * count, max(config.mistake, WORST_MISTAKE))
    seen = [np.asarray(one, np.float64) + config.drift * count for one in rewards]
    if kind == "moments":
        return _marks(config, seen[0], is_mistaken)
    if config.skip and max(one.sum() for one in seen) < config.skip * config.margin:
        return None
    if kind == "pair":
        return _choice(config, seen, noise, is_mistaken)
    if is_mistaken:
        return _in_levels(float(anything), config.levels)
    weights = recency(len(seen[0]), config.myopic)
    reward = weights @ seen[0] / weights.sum() + noise[0] / len(seen[0])
    return _in_levels(float(np.clip((reward - config.low) / (config.high - config.low), 0, 1)), config.levels)


def recency(rows: int, myopic: float) -> np.ndarray:
    """(rows,) weights of a clip's rows to somebody to whom the last one counts most: row t weighs myopic ** (rows - 1 - t)."""
    return myopic ** np.arange(rows - 1, -1, -1)


def rng_of(seed: int, key: str) -> np.random.Generator:
    return np.random.default_rng([seed, int.from_bytes(_digest(key), "little")])


def _choice(config: SimulatedConfig, seen: Sequence[np.ndarray], noise: np.ndarray, is_mistaken: bool) -> str:
    """The order of B-Pref: what is nearly equal is the same whatever happens after."""
    difference = seen[0].sum() - seen[1].sum()
    if abs(difference) < config.equal * config.margin:
        return "same"
    left, right = (recency(len(one), config.myopic) @ one for one in seen)
    if math.isinf(config.beta) and left == right:
        return "same"
    is_left = left + noise[0] > right + noise[1]
    return "left" if is_left != is_mistaken else "right"


def _marks(config: SimulatedConfig, rewards: np.ndarray, is_mistaken: bool) -> list[list[int]]:
    """Rows nearer to a success (high) or a failure (-high) than to nothing; by mistake the contrary."""
    signs = np.where(rewards > config.high / 2, 1, np.where(rewards < -config.high / 2, -1, 0))
    signs = -signs if is_mistaken else signs
    return [[int(row), int(signs[row])] for row in np.flatnonzero(signs)]


def _in_levels(score: float, levels: int) -> float:
    return round(score * (levels - 1)) / (levels - 1) if levels else score


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
