"""The reward model outside of training: what each row of an episode is worth, and how much its members differ."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..worldmodel.dynamics import DynamicsModel
from ..worldmodel.reward import RewardModel
from ..worldmodel.rssm import Latent

PIECE = 256  # rows filtered at a time
SEED = 0  # of the draws: the same rows are always worth the same


@dataclass(frozen=True)
class Rewards:
    """Of every row, for arriving there; 0 where an episode begins, as nothing led there."""

    mean: np.ndarray  # (T,) or (B, T) float32, raw reward units
    disagreement: np.ndarray  # of the same shape: standard deviation between the members; 0 where there is one


@torch.inference_mode()
def rewards_along(
    dynamics: DynamicsModel,
    reward: RewardModel,
    obs: dict[str, Tensor],
    prev_action: Tensor,
    is_first: Tensor,
    draws: int,
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the members, (B, T) each, from the posterior latents of filtered rows.

    obs: key -> (B, T, *shape); prev_action (B, T, A); is_first (B, T) bool, true in the first row. A member's reward is its
    mean over `draws` latents. A row's noise depends on its number alone: neither on the rows after it nor on B.
    """
    batch, rows = is_first.shape
    generator = torch.Generator(is_first.device).manual_seed(SEED)
    latent, members = dynamics.rssm.initial(batch * draws), []
    for start in range(0, rows, PIECE):
        piece = slice(start, min(start + PIECE, rows))
        noise = torch.rand((draws, PIECE, dynamics.rssm.stoch), generator=generator, device=generator.device)
        noise = noise[:, : piece.stop - start].repeat(batch, 1, 1)  # (B * draws, T, S)
        embed = dynamics.encoder({key: value[:, piece] for key, value in obs.items()})
        given = (prev_action[:, piece], embed, is_first[:, piece])
        action, embed, begins = (one.repeat_interleave(draws, 0) for one in given)
        observed, _ = dynamics.rssm.observe(latent, action, embed, begins, noise)
        latent = Latent(observed.deter[:, -1], observed.stoch[:, -1])
        members.append(reward.members(observed.feat).unflatten(1, (batch, draws)).mean(2))  # (M, B, T)
    every = torch.cat(members, -1).masked_fill(is_first, 0.0)
    return every.mean(0), every.std(0, correction=0)
