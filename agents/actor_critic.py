"""The latent actor-critic: REINFORCE on imagined rollouts, a two-hot critic with a slow copy as regulariser."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..envs.records import Spaces
from ..worldmodel.caps import SpectralCap, check_limits
from ..worldmodel.distributions import probs_mean, twohot_bins, twohot_losses, twohot_mean
from ..worldmodel.imagine import Imagined
from ..worldmodel.networks import Head, pieces
from ..worldmodel.optimizer import OptimizerConfig
from ..worldmodel.ranks import ALONE, Ranks
from .actions import Actions
from .returns import PercentileScale, lambda_return


@dataclass(frozen=True)
class ActorCriticConfig:
    units: int = 128
    actor_layers: int = 3
    critic_layers: int = 3
    bins: int = 255
    lam: float = 0.95  # lambda of the return
    entropy: float = 3e-4  # entropy bonus
    actor_unimix: float = 0.0  # uniform share of a discrete policy (0 at e3f0224, .01 at 2411f7d)
    min_std: float = 0.1  # of a continuous policy
    max_std: float = 1.0
    slow_rate: float = 0.02  # the slow critic moves this share towards the critic at every update
    slow_scale: float = 1.0
    replay_scale: float = 0.3  # weight of the replay-value loss
    spectral_actor: float | None = None  # largest singular value of the actor's last map; null: no cap
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self):
        for name in ("units", "actor_layers", "critic_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        twohot_bins(self.bins)
        for name in ("lam", "actor_unimix", "slow_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: must be in [0, 1], got {getattr(self, name)}")
        for name in ("entropy", "slow_scale", "replay_scale"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be 0 or more, got {getattr(self, name)}")
        check_limits(self, "spectral_actor")
        if not 0 < self.min_std <= self.max_std:
            raise ValueError(f"min_std: must be above 0 and at most max_std ({self.max_std}), got {self.min_std}")


@dataclass(frozen=True)
class Replayed:
    """The replayed steps behind the starts, (B, T). feat has gradient into the dynamics model in coupled mode only."""

    feat: Tensor  # (B, T, F)
    reward: Tensor  # (B, T), predicted (decoupled) or bought (coupled)
    is_last: Tensor
    is_terminal: Tensor


class ActorCritic(nn.Module):
    bins: Tensor  # (bins,)

    def __init__(self, config: ActorCriticConfig, spaces: Spaces, feat_size: int, discount: float):
        super().__init__()
        self.config, self.discount = config, discount
        self.spaces = spaces
        self.actions = Actions(spaces, config.actor_unimix, config.min_std, config.max_std)
        self.actor = Head(feat_size, config.units, config.actor_layers, self.actions.outputs, outscale=0.01)
        self.critic = Head(feat_size, config.units, config.critic_layers, config.bins, outscale=0.0)
        self.slow_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.return_scale = PercentileScale()
        self.register_buffer("bins", twohot_bins(config.bins), persistent=False)
        self.actor_cap = SpectralCap((), config.units, config.spectral_actor) if config.spectral_actor else None

    def trained_parameters(self) -> list[nn.Parameter]:
        return [*self.actor.parameters(), *self.critic.parameters()]

    def forward(self, imagined: Imagined, replayed: Replayed, ranks: Ranks = ALONE) -> tuple[Tensor, dict[str, Tensor]]:
        """N = B*T starts in the order of replayed.feat.flatten(0, 1). -> scalar loss, metrics. The scale is that of all ranks."""
        feat = imagined.feat.transpose(0, 1)  # (H+1, N, F)
        steps = pieces(feat[:-1])
        log_probs = [self._log_probs(one) for one in steps]
        with torch.no_grad():  # the slow critic is a target, never trained; the last value is a bootstrap
            value = _over_time([*(probs_mean(one.exp(), self.bins) for one in log_probs), self.value(feat[-1:])])
            slow_value = _over_time([twohot_mean(self.slow_critic(one).float(), self.bins) for one in steps])
            returns = imagined_returns(imagined.reward, imagined.cont, value, self.config.lam)  # (N, H)
            scale = self.return_scale.update(ranks.gather(returns))
            advantage = (returns - value[:, :-1]) / scale
            weight = imagined.cont.cumprod(1)[:, :-1]
        if imagined.raw is None:
            log_prob, entropy = self.log_prob(imagined.feat[:, :-1], imagined.action)
        else:
            log_prob, entropy = self.actions.log_prob(imagined.raw, imagined.action)
        policy_loss = weighted_policy_loss(weight, log_prob, advantage, entropy, self.config.entropy)
        targets = zip(log_probs, pieces(returns.T), pieces(slow_value.T), strict=True)
        value_loss = weight * _over_time([value_losses(*one, self.bins, self.config.slow_scale) for one in targets])
        replay_loss = self.replay_value_loss(replayed, returns[:, 0], log_probs[0][0], slow_value[:, 0])
        loss = policy_loss.mean() + value_loss.mean() + self.config.replay_scale * replay_loss.mean()
        metrics = {
            "actor/loss": policy_loss.mean(),
            "actor/entropy": entropy.mean(),
            "actor/advantage": advantage.abs().mean(),
            "critic/loss": value_loss.mean(),
            "critic/replay_loss": replay_loss.mean(),
            "critic/value": value.mean(),
            "critic/return": returns.mean(),
            "critic/return_scale": scale,
            "imagined/reward": imagined.reward[:, 1:].mean(),
            "imagined/cont": imagined.cont[:, 1:].mean(),
        }
        return loss, {key: value.detach() for key, value in metrics.items()}

    def replay_value_loss(self, replayed: Replayed, boot: Tensor, log_probs: Tensor, slow_value: Tensor) -> Tensor:
        """Value loss along the replayed steps, (B, T-1); boot, slow_value (N,) and log_probs (N, bins) at the starts."""
        shape = replayed.is_last.shape
        # Coupled: the value shapes the latent, as published. Decoupled: the starts are these very features.
        log_probs = self._log_probs(replayed.feat) if replayed.feat.requires_grad else log_probs.view(*shape, -1)
        last, terminal = replayed.is_last.float(), replayed.is_terminal.float()
        reward = replayed.reward.detach()
        returns = lambda_return(reward, terminal, last, boot.view(shape), self.discount, self.config.lam)
        losses = value_losses(
            log_probs[:, :-1], returns, slow_value.view(shape)[:, :-1], self.bins, self.config.slow_scale
        )
        return (1.0 - last[:, :-1]) * losses

    def explore(self, feat: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As `policy`, and the actor's outputs (..., *), with gradient into the actor also where none is kept otherwise."""
        with torch.enable_grad():
            raw = self.actor(feat).float()
        return self.actions.sample(raw.detach(), noise), raw

    def policy(self, feat: Tensor, noise: Tensor) -> Tensor:
        """Sample actions: feat (..., F), noise as of `action_noise` (..., *) -> (..., A)."""
        return self.actions.sample(self.actor(feat).float(), noise)

    def mode(self, feat: Tensor) -> Tensor:
        """The most likely action, (..., F) -> (..., A)"""
        return self.actions.mode(self.actor(feat).float())

    def log_prob(self, feat: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """-> log-probability and entropy (...), summed over action dimensions, with gradient into the actor."""
        return self.actions.log_prob(self.actor(feat).float(), action)

    def value(self, feat: Tensor) -> Tensor:
        """(..., F) -> (...)"""
        return twohot_mean(self.critic(feat).float(), self.bins)

    def _log_probs(self, feat: Tensor) -> Tensor:
        """Of the critic's bins, (..., F) -> (..., bins), float32"""
        return torch.log_softmax(self.critic(feat).float(), -1)

    def cap_slopes(self, is_live: Tensor | None = None) -> None:
        """Once an update, after the optimiser; nothing moves where `is_live`, a scalar bool, is false."""
        if self.actor_cap is not None:
            self.actor_cap(self.actor.out.weight, self.actor.mlp.norms[-1].scale, is_live)

    @torch.no_grad()
    def update_slow_critic(self, is_live: Tensor | None = None) -> None:
        """Once an update, after the optimiser; nothing moves where `is_live`, a scalar bool, is false."""
        slow: list[Tensor] = list(self.slow_critic.parameters())
        fast: list[Tensor] = list(self.critic.parameters())
        if is_live is not None:
            fast = [torch.where(is_live, now, then) for now, then in zip(fast, slow, strict=True)]
        torch._foreach_lerp_(slow, fast, self.config.slow_rate)


def imagined_returns(reward: Tensor, cont: Tensor, value: Tensor, lam: float) -> Tensor:
    """(N, H+1) each, the discount inside cont -> lambda-returns (N, H)."""
    return lambda_return(reward, 1.0 - cont, torch.zeros_like(cont), value, 1.0, lam)


def weighted_policy_loss(weight: Tensor, log_prob: Tensor, advantage: Tensor, entropy: Tensor, bonus: float) -> Tensor:
    """-weight (log_prob * advantage + bonus * entropy), (N, H); weight and advantage carry no gradient."""
    return -weight.detach() * (log_prob * advantage.detach() + bonus * entropy)


def value_losses(log_probs: Tensor, returns: Tensor, slow_value: Tensor, bins: Tensor, slow_scale: float) -> Tensor:
    """Two-hot loss to the return, plus the same to the slow critic's value: log_probs (..., bins), targets (...) -> (...)."""
    to_return, to_slow = twohot_losses(log_probs, torch.stack([returns, slow_value], -1), bins).unbind(-1)
    return to_return + slow_scale * to_slow


def _over_time(steps: list[Tensor]) -> Tensor:
    """Pieces (k, N) of H steps -> (N, H)"""
    return torch.cat(steps).T
