"""What travels from the replays to the models: windows of rows. B windows, T rows, A action numbers, D deter, S groups."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """What filtering needs: T rows, and the latent of the row before them, their context."""

    obs: dict[str, Tensor]  # key -> (B, T, *shape)
    prev_action: Tensor  # (B, T, A) float32, the action that led to obs
    is_first: Tensor  # (B, T) bool
    start_deter: Tensor  # (B, D) float32, latent of the context row
    start_stoch: Tensor  # (B, S) int64, class indices

    def each(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Every tensor through `function`, those of a window inside too; what is no tensor stays."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        changed = {name: function(value) for name, value in values.items() if isinstance(value, Tensor)}
        changed |= {name: value.each(function) for name, value in values.items() if isinstance(value, Window)}
        return replace(self, obs={key: function(value) for key, value in self.obs.items()}, **changed)

    def to(self, device: torch.device | str) -> Self:
        """On a GPU from pinned memory, so that the host does not wait for the copy."""
        if torch.device(device).type == "cuda":
            return self.each(lambda value: _pinned(value).to(device, non_blocking=True))
        return self.each(lambda value: value.to(device))

    def __getitem__(self, piece: slice | Tensor) -> Self:
        """Some of the windows; piece: which, or their places (n,)."""
        return self.each(lambda value: value[piece])


@dataclass(frozen=True)
class Address:
    """Where a batch came from; stays in main memory. Row numbers are never used twice, so an overwritten one is known."""

    stream: Tensor  # (B,) int64
    row: Tensor  # (B, T) int64
    step: Tensor  # (B, T) int64, the rows' numbers in their streams
    is_heldout: bool = False


@dataclass(frozen=True)
class Batch(Window):
    """Windows of a stream, to train the dynamics model on."""

    is_last: Tensor  # (B, T) bool
    is_terminal: Tensor  # (B, T) bool
    address: Address
    reward: Tensor | None = None  # (B, T) float32, coupled mode only
    reward_weight: Tensor | None = None  # (B, T) float32, 0 where the answer is not there


@dataclass(frozen=True)
class Side(Window):
    """The right clips of pairs: each is the last `rows` of the T = burn_in + R rows of its window."""

    rows: Tensor  # (B,) int64, from 1 to R
    fold: Tensor  # (B,) int64, as in LabelBatch


@dataclass(frozen=True)
class LabelBatch(Window):
    """Answers about the last rows of windows of T = burn_in + R rows, R being the most rows that an answer is about."""

    value: Tensor  # (B,) float32, the answer, less what is known of its tier's bias
    weight: Tensor  # (B,) float32, the largest of all is the part of a step to take; 0 where there is no label at all
    fold: (
        Tensor  # (B,) int64, one number for an episode; modulo the members it deals folds. Negative: all learn from it
    )
    length: int = 1  # R
    reach: float = math.inf  # reward units: an answer about a clip moves no row further at once
    rows: Tensor | None = None  # (B,) int64, how many rows each is about; None: the last alone
    marks: Tensor | None = None  # (B, R) float32, the rewards of the rows, where moments were marked
    right: Side | None = None  # of pairs; a copy of the left ones where an answer is about one clip
    is_pair: Tensor | None = None  # (B,) bool; None: none is
    judgement: Tensor | None = None  # (B, 2) float32, of each pair's rater: sensitivity (1 / reward) and lapse rate

    @property
    def sides(self) -> int:
        """Windows of each answer."""
        return 1 if self.right is None else 2


def _pinned(value: Tensor) -> Tensor:
    return value if value.is_cuda else value.pin_memory()
