"""Steps of the collection, as the replay and the journal receive them: one tick, or many in a block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ...envs.records import Transition


@dataclass(frozen=True)
class Tick:
    """The rows that N streams arrived at, and what the agent made of them."""

    transition: Transition
    action: np.ndarray  # (N, A) float32, chosen at these rows; zero where an episode ended
    deter: np.ndarray  # (N, D) float32, latent of these rows
    stoch: np.ndarray  # (N, S) uint8, class indices

    @classmethod
    def of(cls, transition: Transition, action: np.ndarray, deter: Tensor, stoch: Tensor) -> Self:
        """From an agent's tensors: deter (N, D), stoch (N, S) class indices, on any device and of any type."""
        chosen = np.where(transition.is_last[:, None], np.float32(0), np.asarray(action, np.float32))
        return cls(transition, chosen, as_stored(deter, torch.float32), as_stored(stoch, torch.uint8))


@dataclass(frozen=True)
class Ticks:
    """K ticks of N streams."""

    obs: dict[str, np.ndarray]  # key -> (K, N, *shape)
    is_first: np.ndarray  # (K, N) bool
    is_last: np.ndarray  # (K, N) bool
    is_terminal: np.ndarray  # (K, N) bool
    step: np.ndarray  # (K, N) int64
    is_heldout: np.ndarray  # (K, N) bool
    action: np.ndarray  # (K, N, A) float32
    deter: np.ndarray  # (K, N, D) float32
    stoch: np.ndarray  # (K, N, S) uint8

    @classmethod
    def of(cls, ticks: Sequence[Tick]) -> Self:
        rows = [tick.transition for tick in ticks]
        obs = {key: np.stack([row.obs[key] for row in rows]) for key in rows[0].obs}
        flags = {name: np.stack([getattr(row, name) for row in rows]) for name in FLAGS}
        return cls(obs, **flags, **{name: np.stack([getattr(tick, name) for tick in ticks]) for name in LATENTS})

    @classmethod
    def joined(cls, blocks: Sequence[Self]) -> Self:
        """One block of them all, in their order."""
        obs = {key: np.concatenate([block.obs[key] for block in blocks]) for key in blocks[0].obs}
        return cls(obs, **{name: np.concatenate([getattr(one, name) for one in blocks]) for name in FLAGS + LATENTS})

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, part: slice) -> Self:
        columns = {one.name: getattr(self, one.name)[part] for one in fields(self) if one.name != "obs"}
        return type(self)({key: values[part] for key, values in self.obs.items()}, **columns)

    def __iter__(self) -> Iterator[Tick]:
        for i in range(len(self)):
            obs = {key: values[i] for key, values in self.obs.items()}
            transition = Transition(obs, **{name: getattr(self, name)[i] for name in FLAGS})
            yield Tick(transition, **{name: getattr(self, name)[i] for name in LATENTS})

    @property
    def num_bought(self) -> int:
        return int((~self.is_first).sum())


FLAGS = ("is_first", "is_last", "is_terminal", "step", "is_heldout")
LATENTS = ("action", "deter", "stoch")


def as_stored(values: Tensor | np.ndarray, dtype: torch.dtype) -> np.ndarray:
    return torch.as_tensor(values).detach().to("cpu", dtype).numpy()
