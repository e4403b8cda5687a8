"""Label tiers: who answers at which price and how well, and the cheapest way to a clean label.

The reward model is fixed while the agent dreams, so label noise becomes a fixed error of that model: more dreams never
remove it, more labels do. A label with noise sigma is worth 1 / (1 + sigma^2 / s0^2) of a perfect one, s0^2 being the
squared residual that a perfect rater would leave. Bias is removed by no number of labels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from .money import MICRO
from .raters import GOLD_TO_TRUST, BiasEstimate, NoiseEstimate

MOST_REPLICATION = 8
LEAST_RESIDUAL = 1e-12  # of s0^2: rewards that are all the same leave an error of exactly 0
CHECKED_SHARE, TRUSTED_SHARE = 0.10, 0.05  # of the items, answered again: until a rater is known, and ever after


@dataclass(frozen=True)
class LabelOffer:
    """One way to buy labels: distinct items, each answered `replication` times by `tier`.

    A part of the items is answered once more by the same tier (so that its noise can be estimated) and a part by other
    tiers: the best tier, as gold (so that the bias can); where `tier` itself is the best, by those that are little known.
    """

    tier: str
    price_micro: int  # of an item on average: its answers, its share of duplicates and of gold, showing it
    replication: int = 1  # answers an item
    clean: float = 1.0  # labels of a perfect rater that an item is worth
    bias: float = 0.0  # upper bound of the reward error that no number of labels removes, in reward units
    duplicate_share: float = 0.0  # of the items
    gold_share: float = 0.0  # of the items
    checks: tuple[str, ...] = ()  # who answers that last part too
    check_answers: int = 1  # how often each

    @property
    def answers(self) -> float:
        """Of an item, on average."""
        return self.replication + self.duplicate_share + self.gold_share * len(self.checks) * self.check_answers

    @property
    def price_per_clean(self) -> float:
        """Micro-coins for what one label of a perfect rater would bring."""
        return self.price_micro / self.clean


@dataclass(frozen=True)
class TierEstimate:
    """What the answers bought so far say about a tier."""

    noise: NoiseEstimate
    bias: BiasEstimate


def clean_worth(noise_variances: Sequence[float], s0_squared: float) -> float:
    """Perfect labels that ONE item with these independent answers is worth, at most 1: answers share the item's residual.

    ValueError for an s0_squared that is not positive: nothing would be worth anything then.
    """
    check_residual(s0_squared)
    if min(noise_variances) == 0:
        return 1.0
    return s0_squared / (s0_squared + 1 / sum(1 / variance for variance in noise_variances))


def clean_labels(item: np.ndarray, noise_variance: np.ndarray, s0_squared: float) -> float:
    """What these answers are worth in perfect labels. item, noise_variance: (n,) what each is about (whole numbers), and
    its rater's noise."""
    check_residual(s0_squared)
    _, index = np.unique(item, return_inverse=True)
    precision = np.bincount(index, 1 / np.maximum(noise_variance, 1e-12)) if len(item) else np.zeros(0)
    return float((s0_squared / (s0_squared + 1 / precision)).sum())


def price_per_clean(price: float, noise_variance: float, s0_squared: float, replication: int = 1, item: float = 0.0):
    """(c_item + m c_tier) (s0^2 + sigma^2 / m) / s0^2: what one perfect label's worth costs. Any unit of money."""
    return (item + replication * price) / clean_worth([noise_variance] * replication, s0_squared)


def clean_per_coin(clean: float | None, labels: float, spent_micro: float) -> float | None:
    """Perfect labels that a coin has bought: each of the `labels` is worth `clean`. None: that is not known, or nothing was
    paid and there is no such price."""
    return None if clean is None or not (labels and spent_micro) else clean * labels / (spent_micro / MICRO)


def best_replication(
    price: float, noise_variance: float, s0_squared: float, item: float, most: int = MOST_REPLICATION
) -> int:
    """The whole m from 1 to `most` of least price per clean label; unrounded m* = sqrt(sigma^2 c_item / (s0^2 c_tier))."""
    check_residual(s0_squared)
    wanted = math.sqrt(noise_variance * item / (s0_squared * price))
    near = {min(max(1, count), most) for count in (math.floor(wanted), math.floor(wanted) + 1)}
    return min(sorted(near), key=lambda m: price_per_clean(price, noise_variance, s0_squared, m, item))


def offers(
    prices: Mapping[str, int],
    estimates: Mapping[str, TierEstimate],
    s0_squared: float,
    gold: str,
    item_micro: int = 0,
) -> tuple[LabelOffer, ...]:
    """One offer a tier, its replication chosen, duplicates and gold bought along.

    Args:
        prices: micro-coins an answer, by tier.
        estimates: of the same tiers; ValueError "estimates: ..." names one that has none.
        s0_squared: mean squared residual that a perfect rater would leave, reward units squared; positive.
        gold: the tier that the others are held against.
        item_micro: cost of showing a distinct item.
    """
    if missing := sorted(prices.keys() - estimates.keys()):
        raise ValueError(f"estimates: must know the noise of every tier, got none of {', '.join(missing)}")
    return tuple(_offer(tier, prices, estimates, s0_squared, gold, item_micro) for tier in prices)


def _offer(tier: str, prices, estimates, s0_squared: float, gold: str, item_micro: int) -> LabelOffer:
    known = estimates[tier]
    checks, check_answers, gold_share = _checks(tier, estimates, gold)
    check_cost = gold_share * check_answers * sum(prices[name] for name in checks)
    noise = known.noise.variance
    replication = best_replication(prices[tier], noise, s0_squared, item_micro + check_cost)
    # Two answers an item are a pair already.
    duplicate_share = _share(known.noise.pairs) if replication == 1 else 0.0
    check_noises = [estimates[name].noise.variance for name in checks for _ in range(check_answers)]
    price = item_micro + (replication + duplicate_share) * prices[tier] + check_cost
    return LabelOffer(
        tier=tier,
        price_micro=math.ceil(price),
        replication=replication,
        clean=_mean_worth(noise, replication, duplicate_share, check_noises, gold_share, s0_squared),
        bias=0.0 if tier == gold else math.sqrt(known.bias.bound),
        duplicate_share=duplicate_share,
        gold_share=gold_share,
        checks=checks,
        check_answers=check_answers,
    )


def _checks(tier: str, estimates: Mapping[str, TierEstimate], gold: str) -> tuple[tuple[str, ...], int, float]:
    """Who else answers some of the items, how often, and how many of them: gold once; for gold itself the others twice,
    which tells their noise and bias at once, until they are known."""
    if tier != gold:
        return (gold,), 1, _share(estimates[tier].bias.pairs)
    others = tuple(name for name in estimates if name != gold and estimates[name].bias.pairs < GOLD_TO_TRUST)
    return others, 2, TRUSTED_SHARE if others else 0.0


def _share(pairs: int) -> float:
    return CHECKED_SHARE if pairs < GOLD_TO_TRUST else TRUSTED_SHARE


def _mean_worth(
    noise: float, replication: int, duplicate_share: float, checks: list[float], gold_share: float, s0_squared: float
) -> float:
    """Of an item: it may be one of the duplicates, one of those that are checked, both or neither."""
    worth = 0.0
    for is_duplicate, is_checked in product((False, True), repeat=2):
        part = duplicate_share if is_duplicate else 1 - duplicate_share
        part *= gold_share if is_checked else 1 - gold_share
        worth += part * clean_worth([noise] * (replication + is_duplicate) + checks * is_checked, s0_squared)
    return worth


def pilot_offer(prices: Mapping[str, int], gold: str, item_micro: int = 0) -> LabelOffer:
    """While nothing is known: gold labels, half of whose items the other tiers answer too, twice each, and a quarter gold
    once more. So a few labels tell something of every tier's noise and bias."""
    others = tuple(name for name in prices if name != gold)
    offer = LabelOffer(gold, 0, duplicate_share=0.25, gold_share=0.5 if others else 0.0, checks=others, check_answers=2)
    own = (1 + offer.duplicate_share) * prices[gold]
    checks = offer.gold_share * offer.check_answers * sum(prices[name] for name in others)
    return replace(offer, price_micro=math.ceil(item_micro + own + checks))


def residual_squared(squared_error: float, noise_variance: float) -> float:
    """s0^2: the mean squared error against noisy labels, less their noise; at least a twentieth of it, because a
    difference of two estimates may come out at nothing, and then no noisy label would be worth anything."""
    return max(squared_error - noise_variance, squared_error / 20, LEAST_RESIDUAL)


def check_residual(s0_squared: float) -> None:
    if not (math.isfinite(s0_squared) and s0_squared > 0):
        raise ValueError(f"s0_squared: must be positive and finite, got {s0_squared}")
