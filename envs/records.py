"""The nouns that every part shares: spaces, transitions, clips, questions, answers. Imports nothing of ours.

Shapes: N environments in lockstep, A action numbers. A *row* is one tick of one environment's stream; rows of a stream are
numbered from 0 by `step`, reset rows included, so that (env, step) names a row for ever.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Kind = Literal["vector", "category", "image"]
QuestionKind = Literal["step", "clip", "pair", "moments"]
QUESTION_KINDS: tuple[QuestionKind, ...] = ("step", "clip", "pair", "moments")
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
class Sight:
    """What somebody needs to look at a clip: L rows, the clip's own last and before them those that led there.

    A row of `num_padding` at the front is none: the episode began inside, and zeros stand there.
    """

    obs: dict[str, np.ndarray]  # key -> (L, *shape)
    prev_action: np.ndarray  # (L, A) float32, the action that led to each row
    num_padding: int = 0
    snapshots: tuple[bytes, ...] = ()  # (L,) sights, to draw the rows again, b"" for a row without; or none at all


@dataclass(frozen=True)
class Question:
    """A question to a labeler. `key` is unique in a run: asking again under the same key is the same question.

    Kinds: `step`, a number about one row; `clip`, a number about the sum over a clip's rows; `pair`, which of two clips is
    better; `moments`, in which rows of a clip something happened.
    """

    key: str
    clip: Clip
    tier: str = "default"
    kind: QuestionKind = "step"
    right: Clip | None = None  # of a pair: the other clip; `clip` is the left one
    sights: tuple[Sight, ...] = field(default=(), compare=False, repr=False)  # of `clips`; none: nobody looks

    @property
    def clips(self) -> tuple[Clip, ...]:
        return (self.clip,) if self.right is None else (self.clip, self.right)


@dataclass(frozen=True)
class Answer:
    """An answer: the key of its question and what it states.

    step, clip: a reward, raw reward units, summed over action repeats and, for a clip, over its rows. pair: how much better
    the left clip is, 1 (better), .5 (the same) or 0 (the right one is). moments: the sum of `moments`.
    """

    key: str
    value: float
    rater: str = ""  # who answered, where several people answer as one tier
    seconds: float = 0.0  # of active work
    price_micro: int | None = None  # micro-coins that it cost, at most those reserved; None: the price of its tier
    moments: tuple[tuple[int, float], ...] = ()  # (row of the clip from 0 on, reward); every other row is worth 0


@dataclass(frozen=True)
class Declined:
    """What stands in place of an answer that will never come: its money goes back. `reason` is for a person to read."""

    key: str
    reason: str
    is_given_up: bool = False  # by the owner of the run, so that nobody has refused it


@dataclass(frozen=True)
class Work:
    """A person's paid time that brought no label: practice, a skipped question, an answer that came too late."""

    key: str  # unique in a run
    rater: str
    seconds: float
    price_micro: int
    reason: str


Reply = Answer | Declined | Work
