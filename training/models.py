"""The three models as one thing to measure and to look at: the learner's own, or those of an earlier phase."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ..agents.actor_critic import ActorCritic
from ..worldmodel.dynamics import DynamicsModel
from ..worldmodel.reward import RewardModel
from .learner import Learner


@dataclass(frozen=True)
class Models:
    dynamics: DynamicsModel
    reward: RewardModel
    actor_critic: ActorCritic

    @classmethod
    def of(cls, learner: Learner) -> Self:
        return cls(learner.dynamics, learner.reward, learner.actor_critic)

    def value(self, feat: Tensor) -> Tensor:
        """The critic's value of features, (..., F) -> (...)."""
        return self.actor_critic.value(feat)

    @property
    def device(self) -> torch.device:
        return self.dynamics.rssm.in_deter.weight.device

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """To filter or dream with: uniform in [0, 1), (*shape, S)."""
        return torch.rand((*shape, self.dynamics.rssm.stoch), generator=generator, device=generator.device)
