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
from .scaling import ErrorLaw

MOST_REPLICATION = 8
LEAST_RESIDUAL = 1e-12  # of s0^2: rewards that are all the same leave an error of exactly 0
CHECKED_SHARE, TRUSTED_SHARE = 0.10, 0.05  # of the items, answered again: until a rater is known, and ever after


ENOUGH_GOLD = 50  # pairs of each tier that a budget pays for, from which on biases are bounded and checked ever after
LEAST_ERROR = 1e-300  # so that a bias can be held against it
FINDING_OUT = 0.12  # of the money there is for labels, the most that finding out who answers how well may cost


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
    is_trusted: bool = False  # the budget does not pay for a bound of its bias: what is expected of it counts
    held_bias: float = 0.0  # where it is trusted: what is expected of the bias of the labels held, on average

    @property
    def answers(self) -> float:
        """Of an item, on average."""
        return self.replication + self.duplicate_share + self.gold_share * len(self.checks) * self.check_answers

    def joined(self, held: float, new: float) -> "LabelOffer":
        """With the bias that labels will have on average once `new` clean ones of it join those held: a tier's bias does not
        go away with the last purchase."""
        if not self.is_trusted or held + new <= 0:
            return self
        return replace(self, bias=(held * self.held_bias + new * self.bias) / (held + new))

    @property
    def price_per_clean(self) -> float:
        """Micro-coins for what one label of a perfect rater would bring."""
        return self.price_micro / self.clean


@dataclass(frozen=True)
class PerItem:
    """An error as it falls with items, each worth `offer.clean` clean labels, together with the offer's bias: the two have
    nothing to do with one another, so their squares add up."""

    law: ErrorLaw
    offer: LabelOffer

    @property
    def bias(self) -> float:
        return self.offer.bias

    def error(self, count: float) -> float:
        return np.hypot(self.law.error(count * self.offer.clean), self.offer.bias)

    def scaled(self, factor: float) -> "PerItem":
        return PerItem(self.law.scaled(factor), self.offer)

    def log_slope(self, log_count: float) -> float:
        log_clean = math.log(self.offer.clean)
        slope = self.law.log_slope(log_count + log_clean) + log_clean
        if not self.offer.bias:
            return slope
        alone = self.law.error(np.exp(log_count + log_clean))
        return slope - np.log(np.hypot(1.0, self.offer.bias / np.maximum(alone, LEAST_ERROR)))


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


def affordable_gold(prices: Mapping[str, int], gold: str, money_micro: int | None) -> int:
    """Gold pairs of each tier that a budget for labels can pay for, up to as many as make a rater known. None: any."""
    if money_micro is None or len(prices) < 2:
        return GOLD_TO_TRUST
    item = prices[gold] + 2 * sum(price for name, price in prices.items() if name != gold)
    return min(GOLD_TO_TRUST, int(FINDING_OUT * money_micro / item))


def offers(
    prices: Mapping[str, int],
    estimates: Mapping[str, TierEstimate],
    s0_squared: float,
    gold: str,
    item_micro: int = 0,
    money_micro: int | None = None,
) -> tuple[LabelOffer, ...]:
    """One offer a tier, its replication chosen, duplicates and gold bought along.

    Where the budget cannot pay for enough gold to bound a bias, it is bought first, as much as pays, on items that every
    tier answers; from then on no more is, and each tier has the bias that is expected of it by its prior and those items.

    Args:
        prices: micro-coins an answer, by tier.
        estimates: of the same tiers; ValueError "estimates: ..." names one that has none.
        s0_squared: mean squared residual that a perfect rater would leave, reward units squared; positive.
        gold: the tier that the others are held against.
        item_micro: cost of showing a distinct item.
        money_micro: for labels in the whole run, about; None: enough for all that is worth knowing.
    """
    if missing := sorted(prices.keys() - estimates.keys()):
        raise ValueError(f"estimates: must know the noise of every tier, got none of {', '.join(missing)}")
    affordable = affordable_gold(prices, gold, money_micro)
    if affordable >= ENOUGH_GOLD:
        return tuple(_offer(tier, prices, estimates, s0_squared, gold, item_micro) for tier in prices)
    if any(estimates[name].bias.pairs < affordable for name in prices if name != gold):
        return (pilot_offer(prices, gold, item_micro, money_micro),)
    return tuple(_trusted_offer(tier, prices, estimates[tier], s0_squared, gold, item_micro) for tier in prices)


def _trusted_offer(
    tier: str, prices: Mapping[str, int], known: TierEstimate, s0_squared: float, gold: str, item_micro: int
) -> LabelOffer:
    replication = best_replication(prices[tier], known.noise.variance, s0_squared, item_micro)
    return LabelOffer(
        tier=tier,
        price_micro=item_micro + replication * prices[tier],
        replication=replication,
        clean=clean_worth([known.noise.variance] * replication, s0_squared),
        bias=0.0 if tier == gold else math.sqrt(known.bias.expected),
        is_trusted=True,
    )


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


def pilot_offer(
    prices: Mapping[str, int], gold: str, item_micro: int = 0, money_micro: int | None = None
) -> LabelOffer:
    """While nothing is known: gold labels, half of whose items the other tiers answer too, twice each, and a quarter gold
    once more. So a few labels tell something of every tier's noise and bias. Where money is short, everybody answers every
    item, and gold none twice."""
    others = tuple(name for name in prices if name != gold)
    is_short = affordable_gold(prices, gold, money_micro) < ENOUGH_GOLD
    duplicates, shared = (0.0, 1.0) if is_short else (0.25, 0.5)
    shared = shared if others else 0.0
    offer = LabelOffer(gold, 0, duplicate_share=duplicates, gold_share=shared, checks=others, check_answers=2)
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
