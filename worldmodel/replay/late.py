"""Latents on their way back to their rows: written once the next batch has been drawn, so that nobody waits for a device."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ..records import Address
from .rows.rings import check_keys

KEYS = {"stream", "row", "step", "deter", "stoch"}


@dataclass(frozen=True)
class Late:
    """Newer latents of a training batch, copies in main memory. On a GPU they arrive there while it goes on computing."""

    address: Address
    deter: Tensor  # (B, T, D) float32
    stoch: Tensor  # (B, T, S) uint8, class indices
    arrival: torch.cuda.Event | None = None

    @classmethod
    def of(cls, address: Address, deter: Tensor, stoch: Tensor) -> Self:
        """deter (B, T, D), stoch (B, T, S), on any device and of any type."""
        deter, stoch = deter.detach().to(torch.float32), stoch.detach().to(torch.uint8)
        if not deter.is_cuda:
            return cls(address, deter.clone(), stoch.clone())
        deter, stoch, arrival = _on_its_way(deter), _on_its_way(stoch), torch.cuda.Event()
        arrival.record()
        return cls(address, deter, stoch, arrival)

    def wait(self) -> Self:
        """Until they are here."""
        if self.arrival is not None:
            self.arrival.synchronize()
        return self

    def state_dict(self) -> dict[str, Tensor]:
        self.wait()
        place = {name: getattr(self.address, name) for name in ("stream", "row", "step")}
        return place | {"deter": self.deter, "stoch": self.stoch}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """ValueError where it is not what `state_dict` gives."""
        check_keys(state, KEYS, "replay: latents on their way")
        return cls(Address(state["stream"], state["row"], state["step"]), state["deter"], state["stoch"])


def _on_its_way(value: Tensor) -> Tensor:
    """From a GPU to pinned memory, without waiting for it."""
    return torch.empty(value.shape, dtype=value.dtype, pin_memory=True).copy_(value, non_blocking=True)
