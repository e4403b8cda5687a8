"""The reward model outside of training: what each row of an episode is worth, and how much its members differ."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Rows:
    """Rows of episodes, filtered in one piece."""

    obs: dict[str, Tensor]  # key -> (B, T, *shape)
    prev_action: Tensor  # (B, T, A)
    is_first: Tensor  # (B, T) bool


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
        given = Rows({key: value[:, piece] for key, value in obs.items()}, prev_action[:, piece], is_first[:, piece])
        one, latent = members_along(dynamics, reward, given, latent, noise, dynamics.rssm.observe)
        members.append(one)
    return over_members(torch.cat(members, -1), is_first)


def members_along(
    dynamics: DynamicsModel,
    reward: RewardModel,
    rows: Rows,
    start: Latent,
    noise: Tensor,
    observe: Callable[[Latent, Tensor, Tensor, Tensor, Tensor], tuple[Latent, Any]],
) -> tuple[Tensor, Latent]:
    """What each member says of rows, (M, B, T), and the latents after them. start, noise: of B * draws streams; observe:
    `RSSM.observe`, or what does the same."""
    batch = len(rows.is_first)
    draws = len(noise) // batch
    given = (rows.prev_action, dynamics.encoder(rows.obs), rows.is_first)
    action, embed, begins = (one.repeat_interleave(draws, 0) for one in given)
    observed, _ = observe(start, action, embed, begins, noise)
    members = reward.members(observed.feat).unflatten(1, (batch, draws)).mean(2)
    return members, Latent(observed.deter[:, -1], observed.stoch[:, -1])


def over_members(members: Tensor, is_first: Tensor) -> tuple[Tensor, Tensor]:
    """(M, B, T) -> mean and standard deviation, (B, T) each; 0 where an episode begins, as nothing led there."""
    every = members.masked_fill(is_first, 0.0)
    return every.mean(0), every.std(0, correction=0)
