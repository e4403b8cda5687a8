"""How smooth the learned world is where it was measured, and what the theory's bounds make of its errors.

A diagnostic beside the measured gap, never an input to buying: the bounds are often a hundred times too large, or infinite.
"""

from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import Tensor

from ...agents.actor_critic import ActorCritic
from ...worldmodel.rssm import Latent
from ...worldmodel.smoothness import horizon_weights, lemma_bound, smoothness
from ..models import Models
from .block import Block

STATES = 64  # at which local constants are taken


def bounds(
    models: Models, block: Block, reward_error: Tensor, horizon: int, generator: torch.Generator
) -> dict[str, float]:
    """Scalars smoothness/* (local constants) and bound/* (return units). reward_error: (K,) absolute, on held-out labels.

    bound/lemma is lemma 1 with the largest errors seen; bound/horizon the weights of imagination that restarts from real
    states every `horizon` rows, with mean errors. Both may be far above the measured gap; bound/lemma may be infinite.
    """
    dynamics, actor_critic = models.dynamics, models.actor_critic
    with torch.no_grad():
        latent, posterior = dynamics.observe(block, models.noise(block.is_first.shape, generator))
        prior = dynamics.rssm.prior(latent.deter)
        scored = block.is_scored & ~block.is_first
        feature_error = (
            (prior.exp() - posterior.exp())[scored].flatten(1).norm(dim=-1)
        )  # deter is the same on both sides
    rows = torch.randperm(len(feature_error), generator=generator, device=generator.device)[:STATES]
    states = Latent(latent.deter[scored][rows], latent.stoch[scored][rows])
    local = smoothness(dynamics, models.reward, expected_action(actor_critic), actor_critic.value, states, generator)
    scalars = {f"smoothness/{name}": number for name, number in asdict(local).items()}
    scalars["smoothness/dynamics_error"] = float(feature_error.mean())  # eps_d, in feature units
    if not len(reward_error):
        return scalars
    gamma, lam = dynamics.config.discount, actor_critic.config.lam
    # A reward belongs to the row arrived at: its slope along the closed loop is reward * rho, and an error of the step
    # itself is also one of its reward.
    w_d, w_r = horizon_weights(gamma, local.rho, local.reward * local.rho, local.value, horizon, lam)
    w_d += w_r * local.reward
    largest = float(feature_error.max()), float(reward_error.max())
    return scalars | {
        "bound/lemma": lemma_bound(local, *largest, gamma),
        "bound/horizon": w_d * float(feature_error.mean()) + w_r * float(reward_error.mean()),
    }


def expected_action(actor_critic: ActorCritic) -> Callable[[Tensor], Tensor]:
    """Features (..., F) -> the mean action (..., A), differentiable: probabilities where actions are chosen."""
    return lambda feat: actor_critic.actions.expected(actor_critic.actor(feat).float())
