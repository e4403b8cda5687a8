"""The reward model: an ensemble of two-hot heads on latent features, trained on bought labels alone."""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .caps import SpectralCap, check_limits
from .distributions import probs_mean, twohot_bins, twohot_mean
from .fused.elementwise import LANES, is_plain_cpu, norm_silu
from .networks import Linear, init_weight
from .objectives import clip_sum, clip_targets, is_scored, pair_step, pair_targets, preference_log_likelihood, step_loss
from .optimizer import OptimizerConfig
from .ranks import ALONE, Ranks
from .records import LabelBatch


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

    def forward(
        self, feat: Tensor, value: Tensor, weight: Tensor, ranks: Ranks = ALONE
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """feat (..., F), value (...) raw rewards, weight (..., M) or (...): how much each label counts for each member.

        -> scalar loss summed over members, each a weighted mean (0 where all weights are 0), and metrics. The average of the
        ranks' losses is that over the rows of all. Weights count beside one another; the largest, over all ranks, is the
        metric reward/step, the part of a step that the optimiser should take.
        """
        if weight.dim() == value.dim():
            weight = weight.unsqueeze(-1).expand(*weight.shape, self.config.members)
        logits = self.logits(feat)  # (M, ..., bins)
        weight, everyones, step = _relative(weight.movedim(-1, 0), ranks)
        per_member = step_loss(logits, value, weight, self.bins)
        with torch.no_grad():
            error = (twohot_mean(logits, self.bins).mean(0) - value).abs()
        return self._shared(per_member, error, weight.flatten(1), everyones, step, ranks)

    def judge(
        self, labels: LabelBatch, feat: Tensor, weight: Tensor, ranks: Ranks = ALONE
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The same on answers about the rows of clips. feat (B, R, F), of pairs (2, B, R, F), left and right; weight (B, M).

        The error is that of the sum, in the answer's unit; of a pair it is how unlikely the answer was, 0 to 1.
        """
        assert labels.rows is not None, "answers about single rows go through forward"
        logits = self.logits(feat)  # (M, [2,] B, R, bins)
        with torch.no_grad():  # targets: what they are moved from must not be moved by them
            mean = twohot_mean(logits, self.bins)
            target, scored, error = self._targets(labels, mean)
        own, everyones, step = _relative(weight.mT, ranks)
        counted = own  # (M, B)
        if labels.is_pair is not None:  # (M, 2, B): only a pair has a right side
            counted = counted.unsqueeze(1) * torch.stack([torch.ones_like(labels.is_pair), labels.is_pair])
        each = counted / scored.sum(-1).clamp(min=1)  # of a row of it
        per_member = step_loss(logits, target, each.unsqueeze(-1) * scored, self.bins)
        return self._shared(per_member, error, own, everyones, step, ranks)

    def _targets(self, labels: LabelBatch, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """mean (M, [2,] B, R) -> the rows' targets, which rows are scored ([2,] B, R), and the ensemble's errors (B,)."""
        assert labels.rows is not None
        scored = is_scored(labels.rows, labels.length)
        if labels.is_pair is None or labels.right is None or labels.judgement is None:
            error = (clip_sum(mean, scored).mean(0) - labels.value).abs()
            target = clip_targets(mean, labels.value, scored, labels.reach) if labels.marks is None else labels.marks
            return target, scored, error
        both = torch.stack([scored, is_scored(labels.right.rows, labels.length)])
        left, right = clip_sum(mean, both).unbind(1)  # (M, B) each
        sensitivity, lapse = labels.judgement.unbind(-1)
        step = pair_step(left - right, labels.value, sensitivity, lapse)
        as_clips = clip_targets(mean, labels.value.expand(2, -1), both, labels.reach)
        target = torch.where(labels.is_pair[:, None], pair_targets(mean, both, step), as_clips)
        difference = (left - right).mean(0)
        unlikely = 1 - preference_log_likelihood(difference, labels.value, sensitivity, lapse).exp()
        return target, both, torch.where(labels.is_pair, unlikely, (left.mean(0) - labels.value).abs())

    def _shared(
        self, per_member: Tensor, error: Tensor, own: Tensor, everyones: Tensor, step: Tensor, ranks: Ranks
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss (M,) as this rank's part of that over all ranks' answers, and metrics. own, everyones (M, answers): their
        weights, and those of all ranks."""
        # Its own mean counts by what its labels weigh among those of all ranks: 1 where there is one rank.
        part = own.sum(1).clamp(min=1.0) / (everyones.sum(1).clamp(min=1.0) / ranks.size)
        per_member = part * per_member
        with torch.no_grad():
            num_labels = (everyones.amax(0) > 0).float().sum().clamp(min=1.0) / ranks.size
            error = error.flatten() * (own.amax(0) > 0).float()
        metrics = {
            "reward/loss": per_member.mean().detach(),
            "reward/train_error": error.sum() / num_labels,
            "reward/step": step,
        }
        return per_member.sum(), metrics

    def logits(self, feat: Tensor) -> Tensor:
        """(..., F) -> (M, ..., bins), float32; no rows give no logits."""
        x = self._out(self._hidden(feat))
        return x.view(len(x), *feat.shape[:-1], len(self.bins))

    def _hidden(self, feat: Tensor) -> Tensor:
        """(..., F) -> what the last layer takes, (M, N, units)"""
        x = self.first(feat.reshape(-1, feat.shape[-1])).view(-1, *self.norms[0].shape)
        x = norm_silu(x, self.norms[0]).transpose(0, 1)
        for weight, bias, scale in zip(self.weights, self.biases, list(self.norms)[1:], strict=True):
            x = torch.baddbmm(bias, x, weight).transpose(0, 1)
            x = norm_silu(x, scale).transpose(0, 1)
        return x

    def _out(self, hidden: Tensor) -> Tensor:
        """(M, N, units) -> logits (M, N, bins), float32"""
        return torch.baddbmm(self.out_bias, hidden, self.out_weight).float()

    def members(self, feat: Tensor) -> Tensor:
        """(..., F) -> each member's mean reward (M, ...)"""
        hidden = self._hidden(feat)
        if is_plain_cpu(hidden):
            # A CPU multiplies 256 columns faster than 255, and what one member makes of some rows stays in its cache.
            width = (0, -len(self.bins) % LANES)
            weight, bias = F.pad(self.out_weight, width), F.pad(self.out_bias, width, value=-math.inf)
            each = (torch.softmax(torch.addmm(*one), -1) for one in zip(bias, hidden, weight, strict=True))
            means = torch.stack([probs_mean(probs[:, : len(self.bins)], self.bins) for probs in each])
        else:
            means = twohot_mean(self._out(hidden), self.bins)
        return means.view(len(hidden), *feat.shape[:-1])

    def predict(self, feat: Tensor) -> Tensor:
        """(..., F) -> the ensemble's mean reward (...)"""
        return self.members(feat).mean(0)

    def disagreement(self, feat: Tensor) -> Tensor:
        """(..., F) -> standard deviation between members (...), 0 for a single member"""
        return self.members(feat).std(0, correction=0)


def _relative(weight: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
    """weight (M, ...) -> the same beside the largest of all ranks, those of all ranks (M, answers), and that largest."""
    everyones = ranks.gather(weight.flatten(1).mT).mT
    largest = everyones.amax() if everyones.numel() else weight.new_zeros(())
    beside = largest.clamp(min=torch.finfo(weight.dtype).tiny)
    return weight / beside, everyones / beside, largest


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
