"""What a reward model is trained to lower: pure functions from its logits and the answers that were bought.

All kinds of answers come down to one loss. An answer about several rows says for each row where its prediction should move,
and the rows learn that as answers about single steps are learned: by the two-hot loss, whose least mean is the mean of what
it is shown, so that an answer's noise moves no prediction on average; of scores with a reach, noise that is within it or alike
on both sides. A gradient through the two-hot mean itself would be as steep as the outermost bin is far (1e8): it does not
learn.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .distributions import twohot_loss


def step_loss(logits: Tensor, value: Tensor, weight: Tensor, bins: Tensor) -> Tensor:
    """Score each member on answers about single steps: the weighted mean of its two-hot losses, 0 where all weigh 0.

    logits (M, ..., K), value (...) raw rewards, weight (M, ...), how much each answer counts for each member, bins (K,)
    -> (M,). Weights that add up to less than 1 are not scaled up to it.
    """
    loss = twohot_loss(logits, value.expand(logits.shape[:-1]), bins)  # (M, ...)
    return (loss * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1.0)


def is_scored(rows: Tensor, length: int) -> Tensor:
    """Which of the last `length` rows of each window an answer is about: rows (B,) -> (B, length) bool, the last ones."""
    place = torch.arange(length, device=rows.device)
    return place >= length - rows.unsqueeze(-1)


def clip_sum(mean: Tensor, scored: Tensor) -> Tensor:
    """The predicted rewards (..., B, R) of the scored rows (B, R), added up: (..., B)."""
    return (mean * scored).sum(-1)


def clip_targets(mean: Tensor, value: Tensor, scored: Tensor, reach: float = math.inf) -> Tensor:
    """Where the rows of a clip should move, so that their sum comes to the answer: what is missing, in equal parts.

    A step of descent on the squared error of the sum (least-squares reward redistribution), or on Huber's where no row
    moves further than `reach`, in reward units: then an answer that was pressed at random pulls no harder than one that is
    off by so much a row. mean (..., B, R) predicted, value (B,) of the sum, scored (B, R) -> (..., B, R). A clip of one row
    is a step: its target is the answer, within reach.
    """
    missing = value - clip_sum(mean, scored)
    each = (missing / scored.sum(-1).clamp(min=1)).clamp(-reach, reach)
    return mean + each.unsqueeze(-1)


def preference_log_likelihood(difference: Tensor, preference: Tensor, sensitivity: Tensor, lapse: Tensor) -> Tensor:
    """log P of how a pair was judged, P(left is better) = lapse / 2 + (1 - lapse) sigmoid(sensitivity * difference).

    Bradley and Terry's model of the sums of rewards, as arXiv 1706.03741 has it, with a rate at which a rater presses
    anything. difference (...): sum of the left clip less that of the right one; preference 1, .5 or 0 -> (...), at most 0.
    """
    log_lapse, log_rest = (lapse / 2).log(), torch.log1p(-lapse)
    left, right = (
        torch.logaddexp(log_lapse, log_rest + F.logsigmoid(sign * sensitivity * difference)) for sign in (1, -1)
    )
    return preference * left + (1 - preference) * right


def pair_step(difference: Tensor, preference: Tensor, sensitivity: Tensor, lapse: Tensor) -> Tensor:
    """How far the difference of two sums should move: the gradient of the log-likelihood over the largest curvature that it
    has without lapses, sensitivity^2 / 4. Never too far, since the likelihood lies above the parabola of that curvature.

    Shapes as in `preference_log_likelihood`.
    """
    left = torch.sigmoid(sensitivity * difference)
    chance = lapse / 2 + (1 - lapse) * left
    slope = (1 - lapse) * left * (1 - left) * (preference / chance - (1 - preference) / (1 - chance))
    return 4 * slope / sensitivity


def pair_targets(means: Tensor, scored: Tensor, step: Tensor) -> Tensor:
    """Where the rows of two clips should move: half of the step up on the left, half of it down on the right.

    means (..., 2, B, R) predicted, left and right; scored (2, B, R); step (..., B) -> (..., 2, B, R).
    """
    halves = torch.stack([step, -step], -2) / 2  # (..., 2, B)
    return means + (halves / scored.sum(-1).clamp(min=1)).unsqueeze(-1)
