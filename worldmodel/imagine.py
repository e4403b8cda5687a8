"""Dreaming: roll the prior forward under a policy and score what is met with the learned reward."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .dynamics import DynamicsModel
from .fused.elementwise import is_plain_cpu
from .networks import pieces
from .reward import RewardModel
from .rssm import Latent


@dataclass(frozen=True)
class Imagined:
    """A rollout, `raw` aside without gradient. N starts, H steps; index 0 is the start, reward and cont are those of arriving."""

    feat: Tensor  # (N, H+1, F), quickest where time is first in memory; never to be written to: `raw` may have kept it
    action: Tensor  # (N, H, A), the action taken in state t
    reward: Tensor  # (N, H+1), index 0 unused
    cont: Tensor  # (N, H+1), discount included
    raw: Tensor | None = None  # (N, H, *), what the policy drew the action from, with its gradient; None: not kept


@torch.no_grad()
def dream(
    dynamics: DynamicsModel,
    reward: RewardModel,
    policy: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    start: Latent,
    noise: Tensor,
    action_noise: Tensor,
) -> Imagined:
    """start (N, ...), noise (N, H, S) uniform, action_noise (N, H, *) as the policy wants it.

    policy(feat, noise) -> action (N, A), and what it was drawn from (N, *), which keeps its gradient.
    """
    weights = dynamics.rssm.scan_weights()
    latent, actions, raws = start, [], []
    feats = Features(start, noise.shape[1])
    for noise_t, action_noise_t in zip(noise.unbind(1), action_noise.unbind(1), strict=True):
        action, raw = policy(feats.last, action_noise_t)
        latent = dynamics.rssm.imagine_step(latent, action, noise_t, weights)
        feats.add(latent)
        actions.append(action)
        raws.append(raw)
    feat = feats.stack()  # (H+1, N, F)
    rewards = torch.cat([reward.predict(one) for one in pieces(feat)])
    conts = torch.cat([dynamics.cont(one) for one in pieces(feat)])
    with torch.enable_grad():
        raw = torch.stack(raws, 1)
    return Imagined(feat.transpose(0, 1), torch.stack(actions, 1), rewards.T, conts.T, raw)


class Features:
    """Those of a rollout. On a CPU each is written where it stays: to stack them in the end is one more pass over all."""

    def __init__(self, start: Latent, steps: int):
        self.parts: list[Tensor] = []
        self.rows: Tensor | None = None
        if is_plain_cpu(start.deter, start.stoch):
            num, size = start.deter.shape
            self.rows = start.deter.new_empty(steps + 1, num, size + start.stoch[0].numel())
        self.add(start)

    @property
    def last(self) -> Tensor:
        return self.parts[-1]

    def add(self, latent: Latent) -> None:
        if self.rows is None:
            self.parts.append(latent.feat)
            return
        # `data` counts what is written by itself: what the actor keeps of earlier rows has not changed.
        self.parts.append(latent.feat_in(self.rows.data[len(self.parts)]))

    def stack(self) -> Tensor:
        """(H+1, N, F), of which autograd may have kept rows: it would not notice that they are written to."""
        return torch.stack(self.parts) if self.rows is None else self.rows
