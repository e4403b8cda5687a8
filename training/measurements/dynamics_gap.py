"""How wrong the dynamics model is, in return units: what its errors do to imagined returns (allocation.md, section 4).

The identity behind it: with Vhat the value of the policy in the model, the difference of the return in the model and in
truth is a discounted sum over real steps of (rhat - r) + [Qhat(predicted next state) - Qhat(real next state)], where
Qhat(z) = rhat(z) + cont(z) Vhat(z) for a reward that is paid on arrival. The first bracket is the reward model's error,
the second the dynamics model's. Over H rows the bracket has H rewards in place of one, and may have them alone: they need a
reward model, which takes tens of labels, where a value needs a critic, which takes thousands of updates. B windows, T rows,
K latent samples, H rows rolled open loop.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...budget.plan import LEAST_EXPLAINED
from ...worldmodel.distributions import categorical_sample
from ...worldmodel.records import Batch
from ...worldmodel.rssm import Latent
from ..models import Models
from .block import Block
from .errors_in_time import log_spread

LEAST_DEVIATION = 1e-8  # of what is promised: below, there is nothing to foresee, or nothing learned yet
LEAST_RUNS = 8  # over which a mean is taken, where that takes shorter ones


@dataclass(frozen=True)
class DynamicsGap:
    """Means over the block, in return units: an error at every step, summed over the discounted future."""

    one_step: float  # absolute
    one_step_signed: float  # positive: the model promises too much
    value_deviation: float  # standard deviation of the critic's values on the block
    rolled: "Rolled"

    @property
    def many_steps(self) -> float:
        """Over the horizon, through the critic; NaN where no window is long enough."""
        return self.rolled.absolute(1.0)

    @property
    def many_steps_signed(self) -> float:
        return self.rolled.signed(1.0)


@dataclass(frozen=True)
class Rolled:
    """W runs of H rows rolled blindly along the recorded actions, against the filtered path: (W,) each, in return units, an
    error in every H rows summed over the discounted future. `trust` is the part of the critic's value that counts, 0 .. 1:
    without it an error is one of rewards alone."""

    rewards: Tensor  # error of the discounted rewards
    value: Tensor  # error of the discounted value after them
    promised_rewards: Tensor  # of the filtered path
    promised_value: Tensor
    episode: Tensor  # int64, which one a run is from

    def error(self, trust: float) -> Tensor:
        return self.rewards + trust * self.value

    def absolute(self, trust: float) -> float:
        return _mean(self.error(trust).abs())

    def signed(self, trust: float) -> float:
        return _mean(self.error(trust))

    def share(self, trust: float) -> float:
        """The absolute error as a part of what there is to foresee, the deviation of what the filtered path promises: a unit
        in which models of different phases can be compared. NaN where there is nothing."""
        deviation = self.deviation(trust)
        return self.absolute(trust) / deviation if deviation > LEAST_DEVIATION else math.nan

    def deviation(self, trust: float) -> float:
        """Of what the filtered path promises."""
        promised = self.promised_rewards + trust * self.promised_value
        return float(promised.std(correction=0)) if len(promised) else 0.0


@dataclass(frozen=True)
class Footing:
    """Over how many rows errors of both sides are summed: with the critic's values after them few do, without as many as the
    discount looks ahead, or what goes wrong late would not count on one side only."""

    near: int  # the horizon of a dream
    far: int
    trust: float  # in the critic, 0 .. 1

    def blend(self, near: float, far: float) -> float:
        return self.trust * near + (1 - self.trust) * far


@dataclass(frozen=True)
class Dreamed:
    """How the dynamics model errs now."""

    near: Rolled
    far: Rolled
    footing: Footing
    foreseeable: float  # what there is to foresee of rewards, by the answers of all episodes; NaN where none are known
    explained: float  # of the variance of answers, by the reward model

    @property
    def level(self) -> float:
        """Return units. Either of two things would make a poor dynamics model look good, as far as rewards go: a reward model
        that knows little, which promises nearly the same everywhere, and a held-out episode in which hardly anything
        happens. The first makes all promises smaller by a known factor. As for the second, one episode tells as much of how
        lively others are as the answers do, n of them n times as much."""
        flat = math.sqrt(max(self.explained, LEAST_EXPLAINED))
        lively = flat * self.foreseeable / max(self.far.deviation(0.0), LEAST_DEVIATION)
        alike = lively ** (1 / (1 + len(self.far.episode.unique()))) if lively > 0 else 1.0
        return self.footing.blend(self.near.absolute(1.0), self.far.absolute(0.0) / flat * alike)

    @property
    def by(self) -> float:
        """The trust in a critic with which models of different phases are compared: none, unless there is no reward."""
        return 0.0 if self.far.share(0.0) > 0 else 1.0

    @property
    def horizon(self) -> int:
        return self.footing.near if self.by else self.footing.far

    @property
    def share(self) -> float:
        return self.near.share(1.0) if self.by else self.far.share(0.0)

    def log_spread(self, seed: int) -> float:
        compared = self.near if self.by else self.far
        return log_spread(compared.error(self.by).abs().cpu().numpy(), compared.episode.cpu().numpy(), seed)


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
    return DynamicsGap(
        one_step=_mean(error.abs()),
        one_step_signed=_mean(error),
        value_deviation=float(values.std(correction=0)) if len(values) else math.nan,
        rolled=_rolled(models, block, latent, posterior, horizon, draws),
    )


@torch.no_grad()
def rolled(models: Models, block: Block, horizon: int, samples: int, generator: torch.Generator) -> Rolled:
    """The runs alone, averaged over `samples` latents on either path."""
    shape = block.is_first.shape
    latent, posterior = models.dynamics.observe(block, models.noise(shape, generator))
    return _rolled(models, block, latent, posterior, horizon, models.noise((samples, *shape), generator))


def horizon_for(block: Block, most: int) -> int:
    """The most rows, up to `most`, that the block has LEAST_RUNS runs of: young agents may play short episodes. At least 1."""
    return next((rows for rows in range(most, 1, -1) if len(block.runs(rows)[0]) >= LEAST_RUNS), 1)


def sampled_features(deter: Tensor, log_probs: Tensor, uniform: Tensor) -> Tensor:
    """deter (..., D), log_probs (..., S, C), uniform (K, ..., S) -> features (K, ..., F)."""
    probs = log_probs.exp().expand(*uniform.shape, log_probs.shape[-1])
    stoch = categorical_sample(probs, uniform).flatten(-2)
    return torch.cat([deter.expand(len(uniform), *deter.shape), stoch], -1)


def _rolled(models: Models, block: Block, latent: Latent, posterior: Tensor, horizon: int, draws: Tensor) -> Rolled:
    """Either path is averaged over latents drawn with the same uniform numbers."""
    window, start = block.runs(horizon)  # (W,) each
    if not len(window):
        return Rolled(*[draws.new_zeros(0)] * 4, episode=block.episode[:0])
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
    factor = 1 / (1 - dynamics.config.discount**horizon)
    dreamed, found = (
        [factor * part.view(samples, -1).mean(0) for part in _promised(models, torch.stack(path, 1))]
        for path in (blind, seen)
    )  # rewards and value, (W,) each
    return Rolled(dreamed[0] - found[0], dreamed[1] - found[1], found[0], found[1], block.episode[window])


def _promised(models: Models, feat: Tensor) -> tuple[Tensor, Tensor]:
    """Discounted rewards of arriving in feat (N, H, F) one after the other, and the discounted value of the last: (N,) each."""
    weight = models.dynamics.cont(feat).cumprod(1)  # what is still to come after each arrival
    before = torch.cat([torch.ones_like(weight[:, :1]), weight[:, :-1]], 1)
    return (before * models.reward.predict(feat)).sum(1), weight[:, -1] * models.value(feat[:, -1])


def rollout_return(models: Models, feat: Tensor) -> Tensor:
    """Of arriving in feat (N, H, F) one after the other, and what is to come after that: (N,)."""
    return sum(_promised(models, feat), feat.new_zeros(()))


def adjoint_gap(models: Models, block: Block, horizon: int, samples: int, generator: torch.Generator) -> float:
    """The one-step error again, linearised: the gradient of an imagined return with respect to where the dream starts
    (the adjoint), projected on the actual error of the predicted start. Return units; NaN where no window is long enough.

    Gradients pass through the sampled categoricals straight through and are averaged over `samples` dreams. Where this is
    near `one_step`, imagined returns are smooth over the size of the model's errors; where it is far from it, they are not.
    """
    window, start = block.runs(horizon)
    if not len(window):
        return math.nan
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
    return float(values.mean()) if values.numel() else math.nan
