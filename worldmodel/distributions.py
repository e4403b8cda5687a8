"""Distributions as pure functions of logits: two-hot, categorical with uniform mix, binary, bounded normal.

No distribution objects: inside a scan they cost more than the arithmetic. Behaviour follows danijar/dreamerv3 (e3f0224).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FEW_CLASSES = 16  # less than the lanes of a vector unit


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|), any shape."""
    return torch.sign(x) * torch.log1p(torch.abs(x))


def symexp(x: Tensor) -> Tensor:
    """The inverse of symlog."""
    return torch.sign(x) * torch.expm1(torch.abs(x))


def twohot_bins(num: int = 255) -> Tensor:
    """(num,) bin centres, symexp-spaced from -e^20 to e^20, exactly antisymmetric with 0 in the middle. `num` is odd."""
    if num % 2 == 0 or not 3 <= num < 100_000:
        raise ValueError(f"bins: must be an odd number of at least 3, and below 100_000, got {num}")
    half = symexp(torch.linspace(-20, 0, (num + 1) // 2))
    return torch.cat([half, -half[:-1].flip(0)])


def twohot_loss(logits: Tensor, target: Tensor, bins: Tensor) -> Tensor:
    """Cross-entropy to the two-hot code of `target`. logits (..., K), target (...), bins (K,) -> (...)."""
    return twohot_losses(torch.log_softmax(logits, -1), target.unsqueeze(-1), bins).squeeze(-1)


def twohot_losses(log_probs: Tensor, target: Tensor, bins: Tensor) -> Tensor:
    """The same for M targets at once. log_probs (..., K), target (..., M), bins (K,) -> (..., M).

    One gather instead of dense targets. No gradient reaches a target; beyond the end bins all weight is on the end.
    """
    target = target.detach()
    above = torch.searchsorted(bins, target.contiguous(), right=True)  # number of bins <= target
    low = (above - 1).clamp(min=0)
    high = above.clamp(max=len(bins) - 1)
    gap = bins[high] - bins[low]
    weight_high = torch.where(gap > 0, (target - bins[low]) / gap.clamp(min=1e-30), torch.zeros_like(target))
    log_low, log_high = torch.gather(log_probs, -1, torch.cat([low, high], -1)).chunk(2, -1)
    return -torch.lerp(log_low, log_high, weight_high)


def twohot_mean(logits: Tensor, bins: Tensor) -> Tensor:
    """Mean in raw space, (..., K) -> (...). Mirror bins are paired first, so that uniform logits give exactly 0."""
    return probs_mean(torch.softmax(logits, -1), bins)


def probs_mean(probs: Tensor, bins: Tensor) -> Tensor:
    """The same of probabilities (..., K)."""
    middle = len(bins) // 2
    excess = probs[..., middle + 1 :] - probs[..., :middle].flip(-1)
    return (excess * bins[middle + 1 :]).sum(-1)  # not a product of matrices: autocast would round it to bfloat16


def categorical_probs(logits: Tensor, unimix: float) -> Tensor:
    """(1 - unimix) softmax(logits) + unimix / K over the last axis."""
    probs = softmax(logits)
    return probs if unimix == 0.0 else torch.add(unimix / logits.shape[-1], probs, alpha=1 - unimix)


def categorical_log_probs(logits: Tensor, unimix: float) -> Tensor:
    """The logarithm of that."""
    return torch.log_softmax(logits, -1) if unimix == 0.0 else categorical_probs(logits, unimix).log()


def softmax(logits: Tensor) -> Tensor:
    """Over the last axis. A CPU takes ten times as long for four classes side by side as for four rows of them."""
    if logits.device.type != "cpu" or logits.shape[-1] >= FEW_CLASSES or logits.dim() < 2:
        return torch.softmax(logits, -1)
    return logits.transpose(-1, -2).contiguous().softmax(-2).transpose(-1, -2)


def categorical_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) per group, (..., K) -> (...)."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def categorical_entropy(log_p: Tensor) -> Tensor:
    """(..., K) -> (...)."""
    return -(log_p.exp() * log_p).sum(-1)


def categorical_sample(probs: Tensor, uniform: Tensor) -> Tensor:
    """One-hot draw by inverse CDF: probs (..., K), one uniform in [0, 1) a group (...) -> (..., K), no gradient."""
    probs = probs.detach()  # the draw itself carries no gradient; straight_through adds it
    cdf = probs.cumsum(-1)
    index = (cdf < uniform.unsqueeze(-1) * cdf[..., -1:]).sum(-1, keepdim=True)
    index = index.clamp(max=probs.shape[-1] - 1)
    return torch.zeros_like(probs).scatter_(-1, index, 1.0)


def straight_through(one_hot: Tensor, probs: Tensor) -> Tensor:
    """Forward value of `one_hot`, gradient of `probs`; no number where these are none, whatever was drawn."""
    return one_hot + (probs - probs.detach())


def binary_loss(logit: Tensor, target: Tensor) -> Tensor:
    """-[y log sigmoid(l) + (1 - y) log sigmoid(-l)] for a soft target y, (...) -> (...)."""
    return F.binary_cross_entropy_with_logits(logit, target, reduction="none")


def normal_params(
    mean_raw: Tensor, std_raw: Tensor, min_std: float = 0.1, max_std: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Bounded normal: mean tanh(m), std (max - min) sigmoid(s + 2) + min."""
    return torch.tanh(mean_raw), (max_std - min_std) * torch.sigmoid(std_raw + 2.0) + min_std


def normal_log_prob(action: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Plain Gaussian log density per dimension; the action is neither squashed nor clipped."""
    return -0.5 * ((action - mean) / std) ** 2 - torch.log(std) - 0.5 * math.log(2 * math.pi)


def normal_entropy(std: Tensor) -> Tensor:
    """Per dimension."""
    return torch.log(std) + 0.5 * math.log(2 * math.pi * math.e)
