"""What a labeler is, and which there are."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from envs.labelers.env_reward import EnvReward
from envs.labelers.noisy import Noisy
from envs.records import Label, Query
from envs.vault import RewardVault


@dataclass(frozen=True)
class LabelerConfig:
    name: Literal["env_reward", "noisy"] = "env_reward"
    sigma: float = 1.0  # standard deviation of the noise, in reward units; noisy only
    delay: int = 0  # answers arrive after this many further calls of collect: to try out late answers

    def __post_init__(self):
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise ValueError(f"sigma: must be at least 0 and finite, got {self.sigma}")
        if self.delay < 0:
            raise ValueError(f"delay: must be at least 0, got {self.delay}")


class Labeler(Protocol):
    """Ask now, hear later. A key submitted again is the same question: it has the same answer."""

    def submit(self, queries: list[Query]) -> None: ...

    def collect(self) -> list[Label]:
        """Whatever has been answered so far, once each."""
        ...


def make_labeler(config: LabelerConfig, vault: RewardVault, seed: int) -> Labeler:
    """The configured labeler over the true rewards in `vault`; `seed` fixes its noise. ValueError: unknown name."""
    if config.name == "env_reward":
        return EnvReward(vault, config.delay)
    if config.name == "noisy":
        return Noisy(EnvReward(vault, config.delay), config.sigma, seed)
    raise ValueError(f"name: must be env_reward or noisy, got {config.name!r}")
