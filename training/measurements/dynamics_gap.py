"""How wrong the dynamics model is, in return units: what its errors do to imagined returns (allocation.md, section 4).

The identity behind it: with Vhat the value of the policy in the model, the difference of the return in the model and in
truth is a discounted sum over real steps of (rhat - r) + [Qhat(predicted next state) - Qhat(real next state)], where
Qhat(z) = rhat(z) + cont(z) Vhat(z) for a reward that is paid on arrival. The first bracket is the reward model's error,
the second the dynamics model's. B windows, T rows, K latent samples, H rows rolled open loop.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...worldmodel.distributions import categorical_sample
from ...worldmodel.records import Batch
from ...worldmodel.rssm import Latent
from ..models import Models
from .block import Block


@dataclass(frozen=True)
class DynamicsGap:
    """Means over the block, in return units: an error at every step, summed over the discounted future."""

    one_step: float  # absolute
    one_step_signed: float  # positive: the model promises too much
    many_steps: float  # absolute, rolled open loop over the horizon; NaN where no window is long enough
    many_steps_signed: float
    value_deviation: float  # standard deviation of the critic's values on the block


@torch.no_grad()
def dynamics_gap(models: Models, block: Block, horizon: int, samples: int, generator: torch.Generator) -> DynamicsGap:
    """Prior against posterior on rows that trained nothing. Averages over `samples` latents come before the absolute
    value, so that chance in the latents does not count as an error."""
    dynamics, shape = models.dynamics, block.is_first.shape
    latent, posterior = dynamics.observe(block, models.noise(shape, generator))
    prior = dynamics.rssm.prior(latent.deter)
    draws = models.noise((samples, *shape), generator)

    def promise(log_probs: Tensor) -> Tensor:
        """Qhat of the rows, averaged over latents drawn from these categoricals: (B, T)."""
        feat = sampled_features(latent.deter, log_probs, draws)
        return (models.reward.predict(feat) + dynamics.cont(feat) * models.value(feat)).mean(0)

    scored = block.is_scored & ~block.is_first  # a first row was not predicted from anything
    error = (promise(prior) - promise(posterior))[scored] / (1 - dynamics.config.discount)
    values = models.value(latent.feat)[block.is_scored]
    many = _many_steps(models, block, latent, posterior, horizon, draws)
    return DynamicsGap(
        one_step=_mean(error.abs()),
        one_step_signed=_mean(error),
        many_steps=_mean(many.abs()),
        many_steps_signed=_mean(many),
        value_deviation=float(values.std(correction=0)) if len(values) else float("nan"),
    )


def sampled_features(deter: Tensor, log_probs: Tensor, uniform: Tensor) -> Tensor:
    """deter (..., D), log_probs (..., S, C), uniform (K, ..., S) -> features (K, ..., F)."""
    probs = log_probs.exp().expand(*uniform.shape, log_probs.shape[-1])
    stoch = categorical_sample(probs, uniform).flatten(-2)
    return torch.cat([deter.expand(len(uniform), *deter.shape), stoch], -1)


def _many_steps(models: Models, block: Block, latent: Latent, posterior: Tensor, horizon: int, draws: Tensor) -> Tensor:
    """Q_n of the path rolled blindly along the recorded actions less that of the filtered path: (W,), per window start.

    Either is averaged over latents drawn with the same uniform numbers.
    """
    window, start = block.runs(horizon)  # (W,) each
    if not len(window):
        return draws.new_zeros(0)
    dynamics, samples = models.dynamics, len(draws)
    weights = dynamics.rssm.scan_weights()
    # Both paths leave from the same latent: its chance is no error. From then on chance is averaged over.
    path = Latent(
        latent.deter[window, start].repeat(samples, 1), latent.stoch[window, start].repeat(samples, 1, 1)
    )  # (K*W, ...)
    blind, seen = [], []
    for step in range(1, horizon + 1):
        row = start + step
        action = block.prev_action[window, row].repeat(samples, 1)
        path = dynamics.rssm.imagine_step(path, action, draws[:, window, row].flatten(0, 1), weights)
        blind.append(path.feat)
        seen.append(
            sampled_features(latent.deter[window, row], posterior[window, row], draws[:, window, row]).flatten(0, 1)
        )
    promised = [rollout_return(models, torch.stack(path, 1)) for path in (blind, seen)]  # (K*W,) each
    blind_return, seen_return = (found.view(samples, -1).mean(0) for found in promised)
    return (blind_return - seen_return) / (1 - dynamics.config.discount**horizon)


def rollout_return(models: Models, feat: Tensor) -> Tensor:
    """Discounted reward of arriving in feat (N, H, F) one after the other, and the value of the last: (N,)."""
    weight = models.dynamics.cont(feat).cumprod(1)  # what is still to come after each arrival
    before = torch.cat([torch.ones_like(weight[:, :1]), weight[:, :-1]], 1)
    return (before * models.reward.predict(feat)).sum(1) + weight[:, -1] * models.value(feat[:, -1])


def adjoint_gap(models: Models, block: Block, horizon: int, samples: int, generator: torch.Generator) -> float:
    """The one-step error again, linearised: the gradient of an imagined return with respect to where the dream starts
    (the adjoint), projected on the actual error of the predicted start. Return units; NaN where no window is long enough.

    Gradients pass through the sampled categoricals straight through and are averaged over `samples` dreams. Where this is
    near `one_step`, imagined returns are smooth over the size of the model's errors; where it is far from it, they are not.
    """
    window, start = block.runs(horizon)
    if not len(window):
        return float("nan")
    dynamics = models.dynamics
    with torch.no_grad():
        latent, posterior = dynamics.observe(block, models.noise(block.is_first.shape, generator))
        prior = dynamics.rssm.prior(latent.deter)
    deter = latent.deter[window, start].repeat(samples, 1)  # (K*W, D)
    stoch = latent.stoch[window, start].repeat(samples, 1, 1).requires_grad_(True)
    draws = models.noise((horizon, len(stoch)), generator)
    with torch.enable_grad():
        path, weights, feats = Latent(deter, stoch), dynamics.rssm.scan_weights(), []
        for step in range(1, horizon + 1):
            action = block.prev_action[window, start + step].repeat(samples, 1)
            path = dynamics.rssm.imagine_step(path, action, draws[step - 1], weights)
            feats.append(path.feat)
        first = torch.cat([deter, stoch.flatten(-2)], -1)
        later = rollout_return(models, torch.stack(feats, 1))
        promised = models.reward.predict(first) + dynamics.cont(first) * later
        (sensitivity,) = torch.autograd.grad(promised.sum(), stoch)
    sensitivity = sensitivity.unflatten(0, (samples, -1)).mean(0)  # (W, S, C)
    error = (prior.exp() - posterior.exp())[window, start]  # (W, S, C): deter is the same on both sides
    projected = (sensitivity * error).flatten(1).sum(1)[~block.is_first[window, start]]
    return _mean(projected.abs()) / (1 - dynamics.config.discount)


@torch.no_grad()
def explained_variance(models: Models, episodes: list[Batch], generator: torch.Generator) -> float:
    """How much of the variance of held-out returns the critic explains, at most 1; 0 where they hardly vary.

    The returns are sums of PREDICTED rewards along whole real episodes, bootstrapped only at a truncation: a reward that
    was not bought has no place here. `episodes`: batches of one, from is_first to is_last.
    """
    returns, values = [], []
    for episode in episodes:
        latent, _ = models.dynamics.observe(episode, models.noise(episode.is_first.shape, generator))
        feat = latent.feat[0]  # (T, F)
        value_along, reward_along = models.value(feat), models.reward.predict(feat)
        following = value_along[-1] * (1.0 - episode.is_terminal[0, -1].float())
        found = []
        for arrived in reversed(reward_along[1:].unbind()):
            following = arrived + models.dynamics.config.discount * following
            found.append(following)
        returns.append(torch.stack(found[::-1]))
        values.append(value_along[:-1])
    if not returns:
        return 0.0
    returned, guessed = torch.cat(returns), torch.cat(values)
    variance = returned.var(correction=0)
    return float(1 - (returned - guessed).var(correction=0) / variance) if variance > 1e-8 else 0.0


def _mean(values: Tensor) -> float:
    return float(values.mean()) if values.numel() else float("nan")
