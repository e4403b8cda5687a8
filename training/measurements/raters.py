"""What the bought labels say about their tiers, and what follows: offers for the plan, weights and corrections in training.

Everything is estimated from repeated and gold answers, never read from what a simulated rater is configured to do wrong.
Only answers about training episodes are used: what they say changes what is trained on, and held-out rows must not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ...budget.money import price_in_micro
from ...budget.offers import (
    CHECKED_SHARE,
    LabelOffer,
    TierEstimate,
    clean_labels,
    clean_worth,
    pilot_offer,
    residual_squared,
)
from ...budget.offers import offers as priced_offers
from ...budget.raters import EVIDENCE_GAIN, PRIOR_PAIRS, BiasEstimate, NoiseEstimate, estimate_bias, estimate_noise
from ...envs.labelers.base import LabelerConfig
from ...envs.labelers.question_keys import DEFAULT
from ...worldmodel.records import LabelBatch
from ...worldmodel.replay.labels import Answers, LabelReplay

Predict = Callable[[LabelBatch], np.ndarray]  # the reward model's mean at the labelled rows, (n,)

PIECE = 512  # labels whose corrections are computed at a time
LEAST_VARIANCE = 1e-8  # of answers: below, they are all alike
MOST_OBS = 4  # observed numbers that a bias is regressed on, beside the predicted reward and its square
FEARED_BIAS = 0.1  # of the answers' standard deviation, where nothing is configured


@dataclass(frozen=True)
class TierEstimates:
    """By tier; `mean` and `scale` (k,) standardise the features that their biases were regressed on."""

    tiers: dict[str, TierEstimate]
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def standardised(self, features: np.ndarray) -> np.ndarray:
        return (features - np.array(self.mean)) / np.array(self.scale)


def tier_prices(config: LabelerConfig) -> dict[str, int]:
    """Micro-coins an answer, by named tier."""
    return {name: price_in_micro(tier.price) for name, tier in config.tiers.items()}


def estimate(labels: LabelReplay, config: LabelerConfig, predict: Predict) -> TierEstimates | None:
    """Noise and bias of every tier, the default one included, and of every person who answered; None where nobody has a name,
    or with fewer than two answers.

    A tier without duplicates has the noise that is believed of it (prior_sigma), and without a belief all of the answers'
    variance: more it cannot be. Without gold pairs its bias may be 2.8 times prior_bias, see `estimate_bias`.
    """
    answers = labels.answers()
    if (not config.tiers and len(labels.tiers) < 2) or len(answers.value) < 2:
        return None
    spread = float(answers.value.var())
    gold = config.gold_tier if config.tiers else reference(answers, labels.tiers, config.gold)
    noises = {
        name: _noise(answers, labels.tiers.index(name), _feared_noise(config, name, spread)) for name in labels.tiers
    }
    pairs = {
        name: _gold_pairs(answers, *map(labels.tiers.index, (name, gold))) for name in labels.tiers if name != gold
    }
    features = {name: _features(labels.rows(pair.first), predict) for name, pair in pairs.items()}
    mean, scale = _standard(np.concatenate(list(features.values())))
    found = {gold: TierEstimate(noises[gold], BiasEstimate(0.0))}
    for name, pair in pairs.items():
        known = [
            noises[one].averaged(part)
            for one, part in ((name, pair.noise_left), (gold, pair.gold_noise_left))
            if noises[one].pairs >= PRIOR_PAIRS or _has_belief(config, one)
        ]
        seen = (features[name] - mean) / scale
        found[name] = TierEstimate(
            noises[name], estimate_bias(pair.difference, seen, known, _feared_bias(config, name, spread))
        )
    return TierEstimates({name: found[name] for name in labels.tiers}, tuple(mean.tolist()), tuple(scale.tolist()))


def reference(answers: Answers, tiers: tuple[str, ...], wanted: str = "") -> str:
    """Among people, whom the others are held against: the one that is wanted, or else the one who agrees best with others.

    Agreement is the median distance to others' answers about the same items, over at least 3 of them; while nobody has as
    many, it is who answered most.
    """
    held = [name for place, name in enumerate(tiers) if (answers.tier == place).any()]
    if not held or wanted in held:
        return wanted if wanted in held else tiers[0]
    distances: dict[str, list[float]] = {name: [] for name in held}
    order = np.argsort(answers.item, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(answers.item[order])) + 1):
        for one, other in permutations(group.tolist(), 2):
            if answers.tier[one] != answers.tier[other]:
                distances[tiers[answers.tier[one]]].append(float(abs(answers.value[one] - answers.value[other])))
    known = {name: float(np.median(found)) for name, found in distances.items() if len(found) >= 3}
    most = max(held, key=lambda name: int((answers.tier == tiers.index(name)).sum()))
    return min(known, key=lambda name: known[name]) if known else most


def offers(
    config: LabelerConfig,
    estimates: TierEstimates | None,
    s0_squared: float | None,
    money_micro: int | None = None,
) -> tuple[LabelOffer, ...]:
    """The ways to buy labels for `Evidence.offers`: none without named tiers (the default tier at price.label is left),
    the pilot's while nothing is known, and then one a tier. s0_squared: of `budget.offers.residual_squared`; None or
    without a meaning, here and below: not known. money_micro: for labels in the whole run, as in `budget.offers.offers`."""
    prices, item_micro = tier_prices(config), price_in_micro(config.item_price)
    if not prices:
        return ()
    known = _known(estimates, s0_squared)
    if known is None:
        return (pilot_offer(prices, config.gold_tier, item_micro, money_micro),)
    estimates, s0_squared = known
    priced = {name: estimates.tiers[name] for name in prices}
    return priced_offers(prices, priced, s0_squared, config.gold_tier, item_micro, money_micro)


def people_offer(price_micro: int) -> LabelOffer:
    """One answer an item, and of a tenth of them another one: whoever gives it, it tells something of somebody's noise or
    bias. price_micro: of an answer."""
    price = math.ceil((1 + CHECKED_SHARE) * price_micro)
    return LabelOffer(DEFAULT, price, duplicate_share=CHECKED_SHARE)


def clean_equivalents(labels: LabelReplay, estimates: TierEstimates | None, s0_squared: float | None) -> float:
    """Labels of a perfect rater that all labels held or on their way are worth; while nothing is known, their number."""
    known = _known(estimates, s0_squared)
    if known is None:
        return float(labels.received + len(labels.pending))
    estimates, s0_squared = known
    noise = noise_by_tier(labels, estimates)
    held = (labels.answers(), labels.answers(is_heldout=True))
    worth = sum(clean_labels(answers.item, noise[answers.tier], s0_squared) for answers in held)
    pending = [noise[labels.tiers.index(asked.question.tier)] for asked in labels.pending.values()]
    return float(worth + sum(clean_worth([one], s0_squared) for one in pending))


def held_bias(labels: LabelReplay, estimates: TierEstimates | None, s0_squared: float | None) -> float:
    """What is expected of the bias of the labels that train, each by its worth; 0 while nothing is known."""
    known = _known(estimates, s0_squared)
    tier = labels.answers().tier
    if known is None or not len(tier):
        return 0.0
    estimates, s0_squared = known
    each = [estimates.tiers[name] for name in labels.tiers]
    worth = np.array([clean_worth([one.noise.variance], s0_squared) for one in each])[tier]
    bias = np.array([math.sqrt(one.bias.expected) for one in each])[tier]
    return float((worth * bias).sum() / worth.sum())


def apply(labels: LabelReplay, estimates: TierEstimates | None, s0_squared: float | None, predict: Predict) -> None:
    """From now on labels are drawn with their tier's relative precision, s0^2 / (s0^2 + sigma^2 + b^2), b^2 what is expected of
    the bias that is left, and less what is evident of it; and the reward model moves by the part of a step that is no noise. For
    a phase's end: later labels are corrected at the next."""
    known = _known(estimates, s0_squared)
    if known is None:
        return
    estimates, s0_squared = known
    labels.weigh({name: trained_worth(tier, s0_squared) for name, tier in estimates.tiers.items()})
    labels.step = clean_share(labels, estimates)  # of what trains, so that it is asked once the labels are weighed
    for is_heldout in (False, True):
        given_by = labels.answers(is_heldout).tier
        for name, tier in estimates.tiers.items():
            places = np.flatnonzero(given_by == labels.tiers.index(name))
            for piece in (places[start : start + PIECE] for start in range(0, len(places), PIECE)):
                amount = correction(tier.bias, estimates, labels.rows(piece, is_heldout), predict)
                labels.correct(piece, amount, is_heldout)


def clean_share(labels: LabelReplay, estimates: TierEstimates | None) -> float:
    """Of the variance of the answers that train, the part that is no rater's noise, at least a twentieth; an answer counts by
    what it weighs. Who was hardly asked twice counts as without noise. 1 for clips and pairs, where it was not tried.

    Whole steps learn noisy answers by heart: of 400 whose noise is four times what rewards differ by, they make a model that
    explains -3.0 of the variance of true rewards, and parts of steps one that explains .46 (benchmarks/reward_noise.py).
    """
    answers = labels.answers()
    if estimates is None or labels.form.length > 1 or len(answers.value) < 2:
        return 1.0
    is_known = np.array([estimates.tiers[name].noise.pairs >= PRIOR_PAIRS for name in labels.tiers])
    weight, noise = labels.precision.astype(float), np.where(is_known, noise_by_tier(labels, estimates), 0.0)
    weight, noise = weight[answers.tier], noise[answers.tier]
    if not weight.any():
        return 1.0
    variance = float(np.average((answers.value - np.average(answers.value, weights=weight)) ** 2, weights=weight))
    if variance <= LEAST_VARIANCE:
        return 1.0
    return min(1.0, residual_squared(variance, float(np.average(noise, weights=weight))) / variance)


def trained_worth(tier: TierEstimate, s0_squared: float) -> float:
    """Perfect labels that one of the tier's is worth in training, which is what it weighs there: what is expected of its bias
    counts like noise, though no number of labels takes it away."""
    return clean_worth([tier.noise.variance + tier.bias.expected], s0_squared)


def told(estimates: TierEstimates | None, s0_squared: float | None) -> dict[str, dict[str, float]]:
    """Tier -> "sigma" and "bias", a deviation and a bound in reward units, and "clean", the perfect labels that one of its
    is worth (`trained_worth`); nothing while that is not known."""
    known = _known(estimates, s0_squared)
    if known is None:
        return {}
    return {
        name: {
            "sigma": tier.noise.variance**0.5,
            "bias": tier.bias.bound**0.5,
            "clean": trained_worth(tier, known[1]),
        }
        for name, tier in known[0].tiers.items()
    }


def biased_tiers(estimates: TierEstimates | None) -> dict[str, BiasEstimate]:
    """Those whose bias is evident."""
    tiers = estimates.tiers if estimates else {}
    return {name: known.bias for name, known in tiers.items() if known.bias.gain > EVIDENCE_GAIN}


def biased(estimates: TierEstimates | None) -> list[str]:
    """A line for the log about each of them."""
    return [
        f"tier {name} is biased: log evidence {bias.gain:.1f} above none, from {bias.pairs} gold pairs; its "
        f"labels are corrected, which may leave an error of {bias.bound**0.5:.3g} in each"
        for name, bias in biased_tiers(estimates).items()
    ]


def squared_error(error: np.ndarray, weight: np.ndarray, answers: Answers) -> tuple[float, int]:
    """Mean (rhat - y1)(rhat - y2) over pairs of answers about one row, and the number of such rows: a mean squared error
    into which no rater's noise enters, NaN without any pair. A pair counts by the product of its weights.

    error, weight: (n,), of the answers in their order.
    """
    item = answers.item
    # All pairs of a row at once: (sum of its errors)^2 less the sum of their squares; the same of the weights.
    products = np.bincount(item, weight * error) ** 2 - np.bincount(item, (weight * error) ** 2)
    worth = np.bincount(item, weight) ** 2 - np.bincount(item, weight**2)
    has_pair = np.bincount(item) > 1
    if not has_pair.any():
        return math.nan, 0
    return float(products[has_pair].sum() / worth[has_pair].sum()), int(has_pair.sum())


def noise_by_tier(labels: LabelReplay, estimates: TierEstimates) -> np.ndarray:
    """Variances, in the order of the replay's tiers."""
    return np.array([estimates.tiers[name].noise.variance for name in labels.tiers])


def _known(estimates: TierEstimates | None, s0_squared: float | None) -> tuple[TierEstimates, float] | None:
    """Both of them, or None while either is not known or without a meaning."""
    if estimates is None or s0_squared is None or not math.isfinite(s0_squared) or s0_squared <= 0:
        return None
    return estimates, s0_squared


def _feared_noise(config: LabelerConfig, name: str, spread: float) -> float:
    """A variance: what is configured, or all of the answers' own."""
    believed = config.tiers[name].prior_sigma if name in config.tiers else None
    return spread if believed is None else believed**2


def _feared_bias(config: LabelerConfig, name: str, spread: float) -> float:
    """A mean square: what is configured, or a part of the answers' variance."""
    believed = config.tiers[name].prior_bias if name in config.tiers else None
    return FEARED_BIAS**2 * spread if believed is None else believed**2


def _noise(answers: Answers, tier: int, prior_variance: float) -> NoiseEstimate:
    is_its = answers.tier == tier
    return estimate_noise(answers.item[is_its], answers.value[is_its], prior_variance)


@dataclass(frozen=True)
class _GoldPairs:
    """n rows that a tier and the gold tier have both answered, in the order of the tier's first answers."""

    first: np.ndarray  # (n,) places of those
    difference: np.ndarray  # (n,) of the means of all their answers about the row
    noise_left: float  # part of the tier's variance that is in such a mean, on average
    gold_noise_left: float


def _gold_pairs(answers: Answers, tier: int, gold: int) -> _GoldPairs:
    items, first, mean, number = _by_item(answers, tier)
    gold_items, _, gold_mean, gold_number = _by_item(answers, gold)
    _, here, there = np.intersect1d(items, gold_items, assume_unique=True, return_indices=True)
    order = np.argsort(first[here])
    here, there = here[order], there[order]
    left = [float((1 / count).mean()) if len(count) else 1.0 for count in (number[here], gold_number[there])]
    return _GoldPairs(first[here], mean[here] - gold_mean[there], *left)


def _by_item(answers: Answers, tier: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a tier has answered about: items, the place of its first answer, the mean and the number of its answers."""
    places = np.flatnonzero(answers.tier == tier)
    items, first, index, number = np.unique(
        answers.item[places], return_index=True, return_inverse=True, return_counts=True
    )
    mean = np.bincount(index, answers.value[places], minlength=len(items)) / number
    return items, places[first], mean, number


def _has_belief(config: LabelerConfig, name: str) -> bool:
    return name in config.tiers and config.tiers[name].prior_sigma is not None


def _standard(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the columns, 0 and 1 where there is nothing to tell."""
    if not len(features):
        return np.zeros(features.shape[1]), np.ones(features.shape[1])
    scale = features.std(0)
    return features.mean(0), np.where(scale > 1e-8, scale, 1.0)


def _features(batch: LabelBatch, predict: Predict) -> np.ndarray:
    """(n, k): the first observed numbers of the labelled rows, the predicted reward and its square."""
    obs = [value[:, -1].flatten(1).double().numpy() for value in batch.obs.values() if value.is_floating_point()]
    predicted = (predict(batch) if len(batch.value) else np.zeros(0)).astype(np.float64)
    columns = [*(obs and [np.concatenate(obs, 1)[:, :MOST_OBS]]), predicted[:, None], predicted[:, None] ** 2]
    return np.nan_to_num(np.concatenate(columns, 1), posinf=0.0, neginf=0.0)


def correction(bias: BiasEstimate, estimates: TierEstimates, batch: LabelBatch, predict: Predict) -> np.ndarray:
    """(n,) to be taken off these labels, zero where no bias is evident."""
    if not bias.weights:
        return np.zeros(len(batch.value))
    return bias.correction(estimates.standardised(_features(batch, predict)))
