"""The allocator that decides from measured errors: the split of least expected gap, along the expansion path.

Both errors come in return units and at several counts of data. The posterior of either law is sampled, and the mean of
the samples' gaps is minimised, so that doubt about a law is weighed and not only its best guess.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .market import Counts, Market, at_label_share, best_spend, gap, log_help, split
from .money import MICRO
from .offers import LabelOffer, PerItem
from .phase import (
    LABELS_ALONE,
    UNMEASURED_LABEL_SHARE,
    answer_price,
    cap_note,
    caps_of,
    joined,
    money_for_labels,
    phase_money,
    plan_by,
    rows_asked,
)
from .plan import AllocatorConfig, Evidence, Facts, Measured, Plan, Purse
from .scaling import ErrorLaw, LawSamples, MeanLaw, Posterior, PowerLaw, fit_help, fit_posterior, tail

_SAMPLES, _INTERVAL_SAMPLES = 256, 64  # laws a side: for the decision, and for the interval of its share
_INTERVAL = 0.9  # probability
_LEAST_LABELS = 32  # below, measured errors are not trusted
_EARLY_LEAST, _LATE_LEAST = 0.10, 0.03  # of a phase's money on each side: in the first third of the phases, and after
_WEIGHT_STEP, _WEIGHT_MOST = 0.5, 30.0  # of a measured change of the weights, in logs; the most they move in a phase
_EARLY_STEP, _LATE_STEP = 3.0, 2.0  # the most that a coin's odds of going to labels rise or fall in a phase; the same
_APART = 1.0  # standard deviation of the log of one gap over the other that is expected before either is measured
_WORTHWHILE = 0.01  # part of the gap that a phase should cut
_STUCK = 0.5  # probability from which on a person is told that data hardly helps


@dataclass(frozen=True)
class Adaptive:
    """Least posterior mean gap; half of the spend each where the evidence does not carry a decision."""

    config: AllocatorConfig

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan:
        """The random numbers come from phase and seed, so that the same evidence gives the same plan."""
        if evidence.phase == 0:
            divide = partial(at_label_share, label_share=UNMEASURED_LABEL_SHARE)
            return plan_by(self.config, evidence, ledger, divide)
        trouble = _trouble(evidence)
        if trouble:
            return _half_each(self.config, evidence, ledger, trouble)
        belief = _believe(evidence)
        offer = _best_offer(evidence, ledger, belief)
        market = item_market(evidence, ledger, offer, phase_money(evidence, ledger))
        # Else there is nothing to share the money with.
        shares = _share_facts(evidence, ledger, belief, offer) if evidence.can_collect else {}
        sure = shares.get("sureness", 1.0)
        held = divide_phase(evidence, market, *belief.mean_laws(offer), belief.weights, sure, belief.latents)
        known: dict[str, Any] = _gap_facts(belief, offer, market, held) | shares
        facts = Facts(**known)
        alone = "" if evidence.can_collect else LABELS_ALONE
        note = joined(alone, cap_note(held, market), _trust_note(offer), _stuck_note(facts), _stop_note(facts))
        return _plan(evidence, offer, market, held, note, belief.measured_weights, facts)


def best_share(evidence: Evidence, ledger: Purse) -> float | None:
    """The labels' part of all spend that would have been best by all that is known now, in hindsight; None where the
    evidence does not carry a decision, or where labels are all that can be bought."""
    if not evidence.can_collect or _trouble(evidence):
        return None
    belief = _believe(evidence)
    return _share_facts(evidence, ledger, belief, _best_offer(evidence, ledger, belief))["best_share"]


def sureness(evidence: Evidence, ledger: Purse) -> float:
    """How far a plan made now leaves half of the spend each, 0 .. 1: the fact of that name."""
    belief = _believe(evidence)
    return _share_facts(evidence, ledger, belief, _best_offer(evidence, ledger, belief))["sureness"]


@dataclass(frozen=True)
class Belief:
    """What the evidence says of the gap: the laws of both errors, sampled, and the weights that make them one gap."""

    posteriors: tuple[Posterior, Posterior]  # dynamics, reward
    laws: tuple[LawSamples, LawSamples]
    few_laws: tuple[LawSamples, LawSamples]  # paired: a split for each
    weights: tuple[float, float]  # to plan by
    measured_weights: tuple[float, float]  # as smoothed, to be told and remembered
    latents: PowerLaw | None = None  # what transitions make of the reward's error; None: they are not seen to lessen it

    def mean_laws(self, offer: LabelOffer) -> tuple[ErrorLaw, ErrorLaw]:
        dynamics, reward = map(MeanLaw, self.laws)
        return dynamics, PerItem(reward, offer)


def item_market(evidence: Evidence, ledger: Purse, offer: LabelOffer, money: int) -> Market:
    """A market whose labels are items of the offer; what is held of any offer counts as so many of its items."""
    clean = evidence.labels if evidence.clean_labels is None else evidence.clean_labels
    held = int(clean / offer.clean)
    return Market(
        money=money,
        prices=(ledger.prices["transition"], offer.price_micro),
        stock=Counts(evidence.transitions, held),
        labels_per_transition=evidence.labels_per_transition,
        unattached=held - rows_asked(evidence),
        lots=(evidence.transition_lot, 1),
        caps=caps_of(evidence),
    )


def divide_phase(
    evidence: Evidence,
    market: Market,
    dynamics: ErrorLaw,
    reward: ErrorLaw,
    weights: tuple[float, float],
    sureness: float = 1.0,
    latents: ErrorLaw | None = None,
) -> Counts:
    """Half way between the split of least gap now and the one on the way to the least gap in the end, within what a phase may
    do. Alone the first would jump with the noise of what was measured: a phase's money is little beside what is held. Each
    side gets some of the money, or its law would never be known, and the labels' part of it moves by steps.

    sureness: 0 .. 1, how far to leave what brings all spend to half each, which is never far wrong, in the log of the odds."""
    if not evidence.can_collect:
        return market.at_transitions(math.inf)
    least, most = label_shares_allowed(evidence)
    later = replace(market, money=market.money * max(1, evidence.phases - evidence.phase + 1))
    shares = (_share_added(one, split(one, dynamics, reward, weights, latents)) for one in (market, later))
    unsure = _share_added(market, at_label_share(market, UNMEASURED_LABEL_SHARE))
    logits = [math.log(share / (1 - share)) for share in (min(max(one, least), most) for one in (unsure, *shares))]
    share = 1 / (1 + math.exp((sureness - 1) * logits[0] - sureness * sum(logits[1:]) / 2))
    share = min(max(share, least), most)
    labels = market.stock.labels + int(share * market.money / market.prices[1])
    held = replace(market, caps=(market.caps[0], min(market.caps[1], labels))).at_labels(labels)
    # Money is left where labels are at the most that the transitions allow: it goes to transitions after all.
    return replace(market, money=market.money - _cost(market, held), stock=held).at_transitions(math.inf)


def _anew(evidence: Evidence, ledger: Purse, offer: LabelOffer) -> Market:
    """As if all the money could be spent again."""
    market = item_market(evidence, ledger, offer, ledger.total)
    return replace(market, stock=Counts(0, 0), unattached=0)


def label_shares_allowed(evidence: Evidence) -> tuple[float, float]:
    """The least and the most of the phase's money that may go to labels."""
    is_early = 3 * evidence.phase <= evidence.phases
    floor, step = (_EARLY_LEAST, _EARLY_STEP) if is_early else (_LATE_LEAST, _LATE_STEP)
    if evidence.share_before is None:
        return floor, 1 - floor
    before = min(max(evidence.share_before, floor), 1 - floor)
    odds = before / (1 - before)
    low, high = (turned / (1 + turned) for turned in (odds / step, odds * step))
    return max(low, floor), min(high, 1 - floor)


def _share_added(market: Market, held: Counts) -> float:
    """The labels' part of the money that `held` adds to the stock."""
    cost = _cost(market, held)
    return market.prices[1] * (held.labels - market.stock.labels) / cost if cost else UNMEASURED_LABEL_SHARE


def _cost(market: Market, held: Counts) -> int:
    return sum(price * (now - before) for price, now, before in zip(market.prices, held, market.stock, strict=True))


def smoothed(before: tuple[float, float] | None, measured: tuple[float, float]) -> tuple[float, float]:
    """The weights to plan with: part of the way from the last ones to those measured, in logs, and never very far."""
    if before is None:
        return measured
    furthest = math.log(_WEIGHT_MOST)
    steps = [_WEIGHT_STEP * (math.log(new) - math.log(old)) for old, new in zip(before, measured, strict=True)]
    dynamics, reward = (
        old * math.exp(min(max(step, -furthest), furthest)) for old, step in zip(before, steps, strict=True)
    )
    return dynamics, reward


def nearer(weights: tuple[float, float], measured: Measured) -> tuple[float, float]:
    """The weights with which both gaps, weight times newest error, are as far apart as is to be believed: with few episodes
    behind them one may come out many times too small, and half of the spend each is never far wrong where they are alike."""
    dynamics, reward = measured.dynamics.usable()[1, -1], measured.reward.usable()[1, -1]
    apart = math.log(weights[0] * dynamics) - math.log(weights[1] * reward)
    believed = _APART**2 / (_APART**2 + sum(spread**2 for spread in measured.log_spreads))
    half = math.exp((1 - believed) * apart / 2)
    return weights[0] / half, weights[1] * half


def _trouble(evidence: Evidence) -> str:
    """Why the evidence does not carry a decision; "" where it does."""
    measured = evidence.measured
    if measured is None:
        return "nothing is measured"
    if evidence.labels - evidence.pending < _LEAST_LABELS:
        return f"{evidence.labels - evidence.pending} answered labels are fewer than {_LEAST_LABELS}"
    if 2 * evidence.pending > evidence.labels:
        return f"{evidence.pending} of {evidence.labels} labels are not answered"
    if measured.doubt:
        return measured.doubt
    if not all(math.isfinite(weight) and weight > 0 for weight in measured.weights):
        return "the weights {} and {} are of no use".format(*measured.weights)
    for name, curve in (("dynamics", measured.dynamics), ("reward", measured.reward)):
        if curve.usable().shape[1] == 0:
            return f"no usable error of the {name}"
    return ""


def _half_each(config: AllocatorConfig, evidence: Evidence, ledger: Purse, trouble: str) -> Plan:
    """The plan without evidence: that of the pilot, with the reason in its note."""
    plan = plan_by(config, evidence, ledger, partial(at_label_share, label_share=UNMEASURED_LABEL_SHARE))
    if evidence.can_collect:
        note = joined(f"half of the spend each: {trouble}", plan.note)
    else:
        note = joined(plan.note, f"what they cut of the gap is not known: {trouble}")
    return replace(plan, note=note, weights=evidence.weights_before)


def _offers(evidence: Evidence, ledger: Purse) -> tuple[LabelOffer, ...]:
    if not evidence.offers:
        return (LabelOffer(tier="default", price_micro=answer_price(evidence, ledger.prices)),)
    held = evidence.clean_labels or 0.0
    money = money_for_labels(ledger.remaining) if evidence.can_collect else ledger.remaining
    return tuple(offer.joined(held, money / offer.price_per_clean) for offer in evidence.offers)


def _believe(evidence: Evidence) -> Belief:
    measured = evidence.measured
    assert measured is not None, evidence
    rng = np.random.default_rng([evidence.phase, evidence.seed])  # two words of 32 bits: no other pair has this stream
    dynamics, reward = fit_posterior(measured.dynamics), fit_posterior(measured.reward)
    assert dynamics is not None and reward is not None, measured  # `_trouble` has seen usable errors of both
    weights = smoothed(evidence.weights_before, measured.weights)
    return Belief(
        posteriors=(dynamics, reward),
        laws=(dynamics.sample(_SAMPLES, rng), reward.sample(_SAMPLES, rng)),
        few_laws=(
            dynamics.sample(_INTERVAL_SAMPLES, rng).blurred(measured.log_spreads[0], rng),
            reward.sample(_INTERVAL_SAMPLES, rng).blurred(measured.log_spreads[1], rng),
        ),
        weights=nearer(weights, measured),
        measured_weights=weights,
        latents=fit_help(measured.latents),
    )


def _best_offer(evidence: Evidence, ledger: Purse, belief: Belief) -> LabelOffer:
    offers = _offers(evidence, ledger)
    if len(offers) == 1:
        return offers[0]
    return min(offers, key=lambda one: _gap_in_the_end(evidence, ledger, belief, one))


def _gap_in_the_end(evidence: Evidence, ledger: Purse, belief: Belief, offer: LabelOffer) -> float:
    """Expected once all the money is spent, every further label from this offer."""
    market, laws = item_market(evidence, ledger, offer, ledger.remaining), belief.mean_laws(offer)
    return gap(split(market, *laws, belief.weights, belief.latents), *laws, belief.weights, belief.latents)


def _plan(
    evidence: Evidence,
    offer: LabelOffer,
    market: Market,
    held: Counts,
    note: str,
    weights: tuple[float, float] | None,
    facts: Facts,
) -> Plan:
    transitions, items = (now - before for now, before in zip(held, market.stock, strict=True))
    label_cost = items * offer.price_micro
    cost = transitions * market.prices[0] + label_cost
    assert 0 <= cost <= market.money and min(transitions, items) >= 0, (held, market)
    return Plan(
        phase=evidence.phase,
        transitions=transitions,
        labels=int(items * offer.answers),  # rounded down: they never cost more than the items, at their average price
        money_micro=cost,
        label_spend_share=label_cost / cost if cost else 0.0,
        note=note,
        offer=offer if evidence.offers else None,
        weights=weights,
        facts=facts,
    )


def _gap_facts(belief: Belief, offer: LabelOffer, market: Market, held: Counts) -> dict[str, float | bool]:
    """What a person should know of the phase itself, as fields of Facts: finite numbers only."""
    laws = belief.mean_laws(offer)
    now, after = (float(gap(counts, *laws, belief.weights, belief.latents)) for counts in (market.stock, held))
    facts = {"gap_now": now, "gap_after": after}
    sides = zip(
        ("dynamics", "reward"), belief.posteriors, laws, belief.weights, market.prices, market.stock, strict=True
    )
    for side, posterior, law, weight, price, stock in sides:
        low, high = posterior.exponent_interval(_INTERVAL)
        facts |= {
            f"gain_{side}": weight * math.exp(law.log_slope(math.log(max(1, stock)))) / price * MICRO,
            f"floor_dominates_{side}": posterior.probability_floor_dominates,
            f"stuck_{side}": posterior.probability_stuck,
            f"exponent_{side}": posterior.exponent,
            f"exponent_{side}_low": low,
            f"exponent_{side}_high": high,
        }
    if belief.latents:
        transitions, labels = (max(1, count) for count in market.stock)
        helped = belief.weights[1] * math.exp(log_help(transitions, labels, laws[1], belief.latents))
        facts["gain_dynamics"] += helped / market.prices[0] * MICRO
        facts["exponent_latents"] = belief.latents.exponent
    finite = {name: float(value) for name, value in facts.items() if math.isfinite(value)}
    is_buying = held != market.stock
    return finite | {"stop_buying": is_buying and math.isfinite(now) and now - after < _WORTHWHILE * now}


def _share_facts(evidence: Evidence, ledger: Purse, belief: Belief, offer: LabelOffer) -> dict[str, float]:
    """The labels' part of all spend in the end, all labels at the offer's price: what can still be had (`label_share`),
    and what would be best if all the money could be spent anew, with its interval: stock that should not have been bought
    does not hide there."""
    market = item_market(evidence, ledger, offer, ledger.remaining)
    anew = _anew(evidence, ledger, offer)
    dynamics, reward = belief.few_laws
    shares = _label_shares(anew, (dynamics, PerItem(reward, offer)), belief)
    low, high = np.quantile(shares, tail(_INTERVAL))
    least, most = (spend / anew.wealth for spend in anew.spend_range())
    half = 1 - min(max(1 - UNMEASURED_LABEL_SHARE, least), most)
    left_out = 1 - (high - low) / (most - least) if most > least else 1.0
    laws = belief.mean_laws(offer)
    label_share, best = (float(_label_shares(one, laws, belief)) for one in (market, anew))
    return {
        "label_share": label_share,
        "best_share": best,
        "best_share_low": float(low),
        "best_share_high": float(high),
        "sureness": max(0.0, float(left_out), abs(float(np.sign(shares - half).mean()))),
    }


def _label_shares(market: Market, laws: tuple[ErrorLaw, ErrorLaw], belief: Belief):
    """At the best split; K of them where the laws stand for K each."""
    return 1 - best_spend(market, *laws, belief.weights, belief.latents) / market.wealth


def _trust_note(offer: LabelOffer) -> str:
    """Where too little money is there to be sure of whom labels are bought from."""
    if not offer.is_trusted:
        return ""
    return f"labels by {offer.tier} on what is believed of it: to be sure of its bias would cost more than it could win"


def _stuck_note(facts: Facts) -> str:
    """Where more data of a kind hardly helps: the model is the limit then, and not the purse."""
    sides = (("dynamics", "transitions", facts.stuck_dynamics), ("reward", "labels", facts.stuck_reward))
    limit = "not the purse but the model is its limit (its size, {}.* settings, updates)"
    helped = "transitions, which shape the latents that it reads, lessen it"
    return "; ".join(
        f"the {side} model's error hardly falls with {data} any more (probability {stuck:.2f}): "
        + (helped if side == "reward" and facts.exponent_latents else limit.format(side))
        for side, data, stuck in sides
        if stuck is not None and stuck >= _STUCK
    )


def _stop_note(facts: Facts) -> str:
    if not facts.stop_buying:
        return ""
    assert facts.gap_after is not None and facts.gap_now is not None, facts  # compared before this was advised
    cut = 1 - facts.gap_after / facts.gap_now
    return f"advice: stop buying, this phase is expected to cut the gap by {cut:.2%} only"
