"""The reward model: an ensemble of two-hot heads on latent features, trained on bought labels alone."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .caps import SpectralCap, check_limits
from .distributions import twohot_bins, twohot_mean
from .fused import norm_silu
from .networks import Linear, init_weight
from .objectives import step_loss
from .optimizer import OptimizerConfig


@dataclass(frozen=True)
class RewardConfig:
    members: int = 3  # heads of the ensemble; each leaves one fold of the episodes out
    units: int = 128
    layers: int = 1
    bins: int = 255
    spectral: float | None = None  # largest singular value of each head's last map; null: no cap
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self):
        for name in ("members", "units", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        twohot_bins(self.bins)
        check_limits(self, "spectral")


class RewardModel(nn.Module):
    """All members in one pass: the first layer is one dense product, the others one bmm each."""

    bins: Tensor  # (bins,)

    def __init__(self, config: RewardConfig, feat_size: int):
        super().__init__()
        self.config = config
        members, units = config.members, config.units
        self.first = Linear(feat_size, members * units)
        self.norms = nn.ParameterList(torch.ones(members, units) for _ in range(config.layers))
        self.weights = nn.ParameterList(torch.empty(members, units, units) for _ in range(config.layers - 1))
        self.biases = nn.ParameterList(torch.zeros(members, 1, units) for _ in range(config.layers - 1))
        for weight in self.weights:
            init_weight(weight, units)
        self.out_weight = nn.Parameter(torch.zeros(members, units, config.bins))  # output scale 0: starts at reward 0
        self.out_bias = nn.Parameter(torch.zeros(members, 1, config.bins))
        self.register_buffer("bins", twohot_bins(config.bins), persistent=False)
        self.cap = SpectralCap((members,), units, config.spectral) if config.spectral else None

    def cap_slopes(self, is_live: Tensor | None = None) -> None:
        """Once an update, after the optimiser; nothing moves where `is_live`, a scalar bool, is false.

        The slope of the logits is held; that of their mean follows.
        """
        if self.cap is not None:
            self.cap(self.out_weight.mT, self.norms[-1].unsqueeze(1), is_live)

    def forward(self, feat: Tensor, value: Tensor, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """feat (..., F), value (...) raw rewards, weight (..., M) or (...): how much each label counts for each member.

        -> scalar loss summed over members, each a weighted mean (0 where all weights are 0), and metrics.
        """
        if weight.dim() == value.dim():
            weight = weight.unsqueeze(-1).expand(*weight.shape, self.config.members)
        logits = self.logits(feat)  # (M, ..., bins)
        weight = weight.movedim(-1, 0)
        per_member = step_loss(logits, value, weight, self.bins)
        any_weight = (weight.amax(0) > 0).float()
        with torch.no_grad():
            error = (twohot_mean(logits, self.bins).mean(0) - value).abs() * any_weight
        metrics = {
            "reward/loss": per_member.mean().detach(),
            "reward/train_error": error.sum() / any_weight.sum().clamp(min=1.0),
        }
        return per_member.sum(), metrics

    def logits(self, feat: Tensor) -> Tensor:
        """(..., F) -> (M, ..., bins), float32; no rows give no logits."""
        lead, (members, units) = feat.shape[:-1], self.norms[0].shape
        x = self.first(feat.reshape(-1, feat.shape[-1])).view(-1, members, units)
        x = norm_silu(x, self.norms[0]).transpose(0, 1)  # (M, N, units)
        for weight, bias, scale in zip(self.weights, self.biases, list(self.norms)[1:], strict=True):
            x = torch.baddbmm(bias, x, weight).transpose(0, 1)
            x = norm_silu(x, scale).transpose(0, 1)
        return torch.baddbmm(self.out_bias, x, self.out_weight).float().view(members, *lead, len(self.bins))

    def members(self, feat: Tensor) -> Tensor:
        """(..., F) -> each member's mean reward (M, ...)"""
        return twohot_mean(self.logits(feat), self.bins)

    def predict(self, feat: Tensor) -> Tensor:
        """(..., F) -> the ensemble's mean reward (...)"""
        return self.members(feat).mean(0)

    def disagreement(self, feat: Tensor) -> Tensor:
        """(..., F) -> standard deviation between members (...), 0 for a single member"""
        return self.members(feat).std(0, correction=0)


def fold_weights(fold: Tensor, weight: Tensor, members: int) -> Tensor:
    """Label weights per member, (B,) -> (B, M): member i leaves out every episode whose fold is i modulo M, so that
    each label can be scored by a member that never saw its episode. A single member sees all.

    A negative fold is left out by nobody. While all labels held are of one fold, the label replay draws them so: a member
    without any label would stay at 0 and hold the ensemble's mean a third too small. Once a second fold is there that
    member leaves its own out, but has seen those first labels and forgets them only as it learns from others: until then
    its errors on them are a little too small. No error is measured so. The reward curve's come from fresh models on folds
    that are all there (training/measurements/reward_refit.py), and those of the ensemble in use from held-out episodes.
    """
    weight, fold = weight.unsqueeze(-1), fold.unsqueeze(-1)
    if members == 1:
        return weight
    member = torch.arange(members, device=fold.device)
    return weight * ((fold % members != member) | (fold < 0)).to(weight.dtype)
