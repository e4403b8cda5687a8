"""The nouns that every part shares: spaces, transitions, clips, questions, answers. Imports nothing of ours.

Shapes: N environments in lockstep, A action numbers. A *row* is one tick of one environment's stream; rows of a stream are
numbered from 0 by `step`, reset rows included, so that (env, step) names a row for ever.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["vector", "category", "image"]
DTYPES: dict[Kind, str] = {"vector": "float32", "category": "int32", "image": "uint8"}


@dataclass(frozen=True)
class ObsSpec:
    """One observation key: a vector of real numbers, categories, integers in 0 .. classes-1, or an image of bytes.

    An image is (height, width, channels). Without a `kind`, `classes` says which of the other two: 0 of them is a vector.
    ValueError where these contradict each other.
    """

    shape: tuple[int, ...]
    classes: int = 0
    kind: Kind = None  # type: ignore[assignment]  # filled in below, so that whoever reads it finds a kind

    def __post_init__(self):
        if self.kind is None:
            object.__setattr__(self, "kind", "category" if self.classes else "vector")
        if self.kind not in DTYPES:
            raise ValueError(f"kind: must be one of {', '.join(DTYPES)}, got {self.kind!r}")
        if (self.kind == "category") != (self.classes > 0):
            raise ValueError(f"classes: must be above 0 for categories alone, got {self.classes} for a {self.kind}")
        if self.kind == "image" and len(self.shape) != 3:
            raise ValueError(f"shape: an image is (height, width, channels), got {self.shape}")

    @property
    def dtype(self) -> str:
        """The numpy name of what its numbers are stored as; torch uses the same."""
        return DTYPES[self.kind]


@dataclass(frozen=True)
class Spaces:
    """What the model sees and does. An action is a vector: numbers in [-1, 1], then a one-hot choice for each factor."""

    obs: dict[str, ObsSpec]
    action_size: int  # the width of the vector
    factors: tuple[int, ...] = ()  # how many there are to choose from, one entry a choice

    def __post_init__(self):
        if min(self.factors, default=1) < 1 or sum(self.factors) > self.action_size:
            raise ValueError(f"factors: must fit into {self.action_size} action numbers, got {self.factors}")

    @property
    def num_continuous(self) -> int:
        return self.action_size - sum(self.factors)

    @property
    def noise_size(self) -> int:
        """How many numbers of noise an action is drawn from: a normal one a number, a uniform one a choice."""
        return self.num_continuous + len(self.factors)


@dataclass(frozen=True)
class Transition:
    """One lockstep tick of N streams, without any reward: the row each environment has just arrived at.

    A row with is_first follows a reset, costs nothing and has no reward to sell. is_terminal implies is_last.
    """

    obs: dict[str, np.ndarray]  # key -> (N, *shape), of its spec's dtype
    is_first: np.ndarray  # (N,) bool
    is_last: np.ndarray  # (N,) bool
    is_terminal: np.ndarray  # (N,) bool
    step: np.ndarray  # (N,) int64, the row's number in its stream
    is_heldout: np.ndarray  # (N,) bool, decided at the reset for the whole episode

    @property
    def num_bought(self) -> int:
        return int((~self.is_first).sum())


@dataclass(frozen=True)
class Clip:
    """The `length` arrival rows of one episode that end at row (env, step); its label is the sum of their true rewards."""

    env: int
    step: int
    length: int = 1


@dataclass(frozen=True)
class Question:
    """A question to a labeler. `key` is unique in a run: asking again under the same key is the same question."""

    key: str
    clip: Clip
    tier: str = "default"


@dataclass(frozen=True)
class Answer:
    """An answer: the key of its question and the reward it states (raw reward units, summed over action repeats)."""

    key: str
    value: float


@dataclass(frozen=True)
class Declined:
    """What stands in place of an answer that will never come: its money goes back. `reason` is for a person to read."""

    key: str
    reason: str
