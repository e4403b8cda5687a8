"""A phase's money as a market, the plan that a division of it makes, and how that is fitted to what people can do."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..errors import UserError
from .ledger import BudgetExceeded
from .market import Counts, Market
from .money import MICRO
from .offers import LabelOffer
from .plan import AllocatorConfig, Evidence, Plan, Purse

UNMEASURED_LABEL_SHARE = 0.5  # of spend, before anything is measured: hard to beat then


def money_for_labels(total_micro: int) -> int:
    """Of a whole budget, before anything is measured."""
    return round(UNMEASURED_LABEL_SHARE * total_micro)


def check_budget(config: AllocatorConfig, evidence: Evidence, total_micro: int, prices: dict[str, int]) -> None:
    """Raise UserError("budget.total: ...") with the least sum that would do, if the total cannot pay for the pilot."""
    least = _pilot_least(config, evidence)
    cost = prices["transition"] * least.transitions + answer_price(evidence, prices) * least.labels
    if cost > total_micro:
        raise UserError(
            f"budget.total: must be at least {_coins(cost)} coins for the pilot ({least.transitions} transitions and "
            f"{least.labels} labels), got {_coins(total_micro)}"
        )


def plan_by(config: AllocatorConfig, evidence: Evidence, ledger: Purse, divide: Callable[[Market], Counts]) -> Plan:
    """The phase's money, divided for all that is held in the end; what is held already is then taken off."""
    market = _pilot_market(config, evidence, ledger) if evidence.phase == 0 else _phase_market(evidence, ledger)
    held = divide(market)
    transitions, labels = (now - before for now, before in zip(held, _stock(evidence, ledger), strict=True))
    label_cost = labels * market.prices[1]
    cost = transitions * market.prices[0] + label_cost
    assert 0 <= cost <= ledger.remaining and min(transitions, labels) >= 0, (held, evidence, ledger.remaining)
    return Plan(
        phase=evidence.phase,
        transitions=transitions,
        labels=labels,
        money_micro=cost,
        label_spend_share=label_cost / cost if cost else 0.0,
        note=_note(evidence, held, market),
        offer=usual_offer(evidence.offers) if evidence.offers else None,
    )


def usual_offer(offers: Sequence[LabelOffer]) -> LabelOffer:
    """What is bought where no errors are weighed: the offer of least bias, and of those the cheapest a clean label."""
    return min(offers, key=lambda one: (one.bias, one.price_per_clean))


def answer_price(evidence: Evidence, prices: dict[str, int]) -> int:
    """Micro-coins an answer costs on average: what was paid of late or the default tier's price, or what the usual offer
    comes to."""
    if not evidence.offers:
        return prices["label"] if evidence.label_price_micro is None else evidence.label_price_micro
    offer = usual_offer(evidence.offers)
    return math.ceil(offer.price_micro / offer.answers)


def phase_money(evidence: Evidence, ledger: Purse) -> int:
    """An equal part of what is left, so that what one phase could not spend is the later ones'; the last has it all."""
    return ledger.remaining // max(1, evidence.phases - evidence.phase + 1)


def _phase_market(evidence: Evidence, ledger: Purse) -> Market:
    return _market(evidence, ledger, phase_money(evidence, ledger), _stock(evidence, ledger))


def _pilot_market(config: AllocatorConfig, evidence: Evidence, ledger: Purse) -> Market:
    """The pilot's share of the total, or its least counts where they cost more: those are bought first, as a stock."""
    least = _pilot_least(config, evidence)
    transitions = _up_to_lots(max(0, least.transitions - evidence.transitions), evidence.transition_lot)
    labels = max(0, least.labels - evidence.labels)
    held = _stock(evidence, ledger)
    start = Counts(held.transitions + transitions, held.labels + labels)
    cost = transitions * ledger.prices["transition"] + labels * answer_price(evidence, ledger.prices)
    remaining = ledger.remaining
    if cost > remaining:
        asked, left, total = _coins(cost), _coins(remaining), _coins(ledger.total)
        raise BudgetExceeded(f"the pilot: asked {asked} coins, left {left} of {total}")
    # What was spent already is taken off, so that a pilot that is planned again after an interruption goes on.
    share = round(config.pilot_share * ledger.total) - (ledger.total - remaining)
    return _market(evidence, ledger, min(max(share, cost), remaining) - cost, start)


def _market(evidence: Evidence, ledger: Purse, money: int, stock: Counts) -> Market:
    """Its labels are answers; each row gets as many as the usual offer asks for."""
    answers = usual_offer(evidence.offers).answers if evidence.offers else 1.0
    return Market(
        money=money,
        prices=(ledger.prices["transition"], answer_price(evidence, ledger.prices)),
        stock=stock,
        labels_per_transition=evidence.labels_per_transition * answers,
        unattached=_stock(evidence, ledger).labels - round(answers * rows_asked(evidence)),
        lots=(evidence.transition_lot, 1),
    )


def _stock(evidence: Evidence, ledger: Purse) -> Counts:
    """What is held. With tiers the labels are as many as their money would buy today: raters have different prices."""
    if not evidence.offers:
        return Counts(evidence.transitions, evidence.labels)
    on_labels = ledger.total - ledger.remaining - evidence.transitions * ledger.prices["transition"]
    return Counts(evidence.transitions, round(max(0, on_labels) / answer_price(evidence, ledger.prices)))


def rows_asked(evidence: Evidence) -> int:
    return evidence.labels if evidence.rows_asked is None else evidence.rows_asked


def _pilot_least(config: AllocatorConfig, evidence: Evidence) -> Counts:
    """The counts below which a pilot is of no use, in whole lots of transitions and enough of them for the labels."""
    needed = max(
        config.pilot_episodes * evidence.episode_length,
        evidence.min_transitions,
        -(-config.pilot_labels // evidence.labels_per_transition),
    )
    transitions = _up_to_lots(int(needed), evidence.transition_lot)
    if config.name == "coupled":
        return Counts(transitions, int(transitions * min(1, evidence.labels_per_transition)))
    return Counts(transitions, config.pilot_labels)


def _up_to_lots(count: int, lot: int) -> int:
    return -(-count // lot) * lot


def _note(evidence: Evidence, held: Counts, market: Market) -> str:
    if evidence.phase == 0 and market.money == 0:
        return "the least that a pilot needs"
    return cap_note(held, market)


def cap_note(held: Counts, market: Market) -> str:
    """Says so where no further label could be bought for the transitions held."""
    is_full = held.labels + 1 > market.labels_per_transition * held.transitions + market.unattached
    return "labels at their cap" if is_full else ""


def _coins(micro: int) -> str:
    return f"{micro / MICRO:,.15g}"


def fit_capacity(plan: Plan, evidence: Evidence, ledger: Purse) -> Plan:
    """The plan with its labels between the least and the most of `evidence.labels_per_phase`; itself where they are, or
    where there are no such bounds.

    Money for labels beyond the most stays as far as people can answer for it in later phases, and buys transitions
    beyond that. Labels up to the least are paid with transitions of the phase, then with money of later ones, as far as
    there are money and rows for them; the pilot keeps its transitions, without which no training begins.
    """
    if evidence.labels_per_phase is None:
        return plan
    least, most = evidence.labels_per_phase
    terms = _Terms.of(plan, evidence, ledger)
    if plan.labels > most:
        return _fewer(plan, evidence, terms, most)
    if plan.labels < least:
        return _more(plan, evidence, terms, least)
    return plan


@dataclass(frozen=True)
class _Terms:
    """What a phase's purchases cost and need, in micro-coins."""

    transition: int
    lot: int
    item: int  # a row with all its answers
    answers: float  # of an item
    remaining: int

    @classmethod
    def of(cls, plan: Plan, evidence: Evidence, ledger: Purse) -> "_Terms":
        offer = plan.offer
        item, answers = (offer.price_micro, offer.answers) if offer else (answer_price(evidence, ledger.prices), 1.0)
        return cls(ledger.prices["transition"], evidence.transition_lot, item, answers, ledger.remaining)

    def labels(self, count: int) -> int:
        return count * self.item if self.answers == 1 else math.ceil(count * self.item / self.answers)

    def lots(self, micro: int) -> int:
        """Transitions in whole lots for that money."""
        return micro // (self.transition * self.lot) * self.lot


def _fewer(plan: Plan, evidence: Evidence, terms: _Terms, most: int) -> Plan:
    label_cost = plan.money_micro - plan.transitions * terms.transition
    freed = max(0, label_cost - terms.labels(most))
    later = evidence.phases - evidence.phase
    wanted_later = plan.label_spend_share * (terms.remaining - plan.money_micro)
    room = max(0, math.floor(later * terms.labels(most) - wanted_later))
    more = terms.lots(max(0, freed - room))
    left = freed - more * terms.transition
    note = [f"labels at {most:,}, the most that people answer in a phase, planned were {plan.labels:,}"]
    if more:
        note.append(
            f"{_in_coins(freed - left)} go to {more:,} transitions, as later phases have no room for such labels"
        )
    if left:
        note.append(f"{_in_coins(left)} are kept{' for labels of later phases' if later and room else ''}")
    return _changed(plan, terms, plan.transitions + more, most, note)


def _more(plan: Plan, evidence: Evidence, terms: _Terms, least: int) -> Plan:
    def transitions(labels: int) -> int:
        """Of the plan, those that are still paid for beside so many labels, within the phase's money."""
        if evidence.phase == 0:
            return plan.transitions
        return min(plan.transitions, terms.lots(max(0, plan.money_micro - terms.labels(labels))))

    def is_too_many(labels: int) -> bool:
        rows = evidence.labels_per_transition * (evidence.transitions + transitions(labels)) - rows_asked(evidence)
        cost = terms.labels(labels) + transitions(labels) * terms.transition
        return cost > terms.remaining or labels > rows * terms.answers

    labels = plan.labels + bisect_left(range(plan.labels + 1, least + 1), True, key=is_too_many)
    if labels == plan.labels:
        note = [f"labels stay below {least:,}, the least that people come for: no money or rows for more"]
        return replace(plan, note="; ".join(filter(None, [plan.note, *note])))
    fewer = plan.transitions - transitions(labels)
    why = "the least that people come for" if labels == least else f"as near to {least:,} as money and rows allow"
    note = [f"labels at {labels:,}, {why}, planned were {plan.labels:,}"]
    if fewer:
        note.append(f"{fewer:,} transitions fewer pay for them")
    return _changed(plan, terms, plan.transitions - fewer, labels, note)


def _changed(plan: Plan, terms: _Terms, transitions: int, labels: int, note: list[str]) -> Plan:
    label_cost = terms.labels(labels)
    cost = transitions * terms.transition + label_cost
    assert 0 <= cost <= terms.remaining and min(transitions, labels) >= 0, (plan, terms, transitions, labels)
    return replace(
        plan,
        transitions=transitions,
        labels=labels,
        money_micro=cost,
        label_spend_share=label_cost / cost if cost else 0.0,
        note="; ".join(filter(None, [plan.note, *note])),
        facts=plan.facts and replace(plan.facts, gap_after=None, stop_buying=None),  # they were about the plan before
    )


def _in_coins(micro: int) -> str:
    return f"{micro / MICRO:,.6g} coins"
