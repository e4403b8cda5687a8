"""Dreaming: roll the prior forward under a policy and score what is met with the learned reward."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .dynamics import DynamicsModel
from .reward import RewardModel
from .rssm import Latent


@dataclass(frozen=True)
class Imagined:
    """A rollout without gradient. N starts, H steps; index 0 is the start, reward and cont are those of arriving."""

    feat: Tensor  # (N, H+1, F)
    action: Tensor  # (N, H, A), the action taken in state t
    reward: Tensor  # (N, H+1), index 0 unused
    cont: Tensor  # (N, H+1), discount included


@torch.no_grad()
def dream(
    dynamics: DynamicsModel,
    reward: RewardModel,
    policy: Callable[[Tensor, Tensor], Tensor],
    start: Latent,
    noise: Tensor,
    action_noise: Tensor,
) -> Imagined:
    """start (N, ...), noise (N, H, S) uniform, action_noise (N, H, *) as the policy wants it; policy(feat, noise) -> (N, A)."""
    weights = dynamics.rssm.scan_weights()
    latent, feats, actions = start, [start.feat], []
    for noise_t, action_noise_t in zip(noise.unbind(1), action_noise.unbind(1), strict=True):
        action = policy(feats[-1], action_noise_t)
        latent = dynamics.rssm.imagine_step(latent, action, noise_t, weights)
        feats.append(latent.feat)
        actions.append(action)
    feat = torch.stack(feats, 1)  # (N, H+1, F)
    return Imagined(feat, torch.stack(actions, 1), reward.predict(feat), dynamics.cont(feat))
