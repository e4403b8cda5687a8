"""What a data set gives: whole episodes in the form that a model sees, with the rewards that are for sale beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..records import Spaces
from ..spaces.bounds import Bounds


@dataclass(frozen=True)
class Given:
    """An episode of T steps."""

    name: str  # in its data set
    obs: dict[str, np.ndarray]  # key -> (T + 1, *shape), of its spec's dtype
    action: np.ndarray  # (T, A) float32, in [-1, 1] or one-hot
    rewards: (
        np.ndarray
    )  # (T,) float64 of the rows arrived at, NaN where none is known: withheld, `withheld.py` takes them
    is_terminal: bool  # a true end; else it was cut off
    is_heldout: bool | None = None  # as whoever collected it had decided; None: nobody has

    def __len__(self) -> int:
        return len(self.action)


class Source(Protocol):
    """Where episodes come from."""

    name: str  # as a person named it, for the ledger
    spaces: Spaces
    bounds: Bounds | None  # of the numbers of its actions, as they were recorded; None: they were recorded as vectors
    repeat: int  # environment steps that each action was taken for
    has_rewards: bool

    @property
    def num_transitions(self) -> int: ...

    def episodes(self) -> Iterator[Given]:
        """In their order. UserError in one line for one that cannot be used."""
        ...
