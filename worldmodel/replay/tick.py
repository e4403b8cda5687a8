"""One step of the collection, as the replay and the journal receive it."""

from dataclasses import dataclass
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


def as_stored(values: Tensor | np.ndarray, dtype: torch.dtype) -> np.ndarray:
    return torch.as_tensor(values).detach().to("cpu", dtype).numpy()
