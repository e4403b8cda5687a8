"""What a reward model is trained to lower: pure functions from its logits and the answers that were bought."""

from torch import Tensor

from .distributions import twohot_loss


def step_loss(logits: Tensor, value: Tensor, weight: Tensor, bins: Tensor) -> Tensor:
    """Score each member on answers about single steps: the weighted mean of its two-hot losses, 0 where all weigh 0.

    logits (M, ..., K), value (...) raw rewards, weight (M, ...), how much each answer counts for each member, bins (K,)
    -> (M,). Weights that add up to less than 1 are not scaled up to it.
    """
    loss = twohot_loss(logits, value.expand(logits.shape[:-1]), bins)  # (M, ...)
    return (loss * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1.0)
