"""Who decides what the next coins buy: a pilot, then phases, each a plan of whole counts that what is left can pay."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

from ..errors import UserError
from .ledger import BudgetExceeded
from .market import Counts, Market, at_label_share, coupled, split
from .money import MICRO
from .offers import LabelOffer
from .scaling import Curve, PowerLaw, check_positive_pair

UNMEASURED_LABEL_SHARE = 0.5  # of spend, before anything is measured: hard to beat then


@dataclass(frozen=True)
class AllocatorConfig:
    name: Literal["fixed", "coupled", "optimum", "adaptive"] = "adaptive"
    label_share: float | None = None  # fixed alone: part of all spend that goes to labels, 0 .. 1; null: half
    phases: int = 12  # after the pilot
    pilot_share: float = 0.06  # of the total, spent before the first phase
    pilot_episodes: int = 2  # the pilot buys at least the transitions of so many, over all environments
    pilot_labels: int = 32  # the pilot buys at least this many
    dynamics: tuple[float, ...] = (0.34, 0.11)  # optimum: coefficient, exponent of error = coefficient * n ** -exponent
    reward: tuple[float, ...] = (90.4, 0.96)  # optimum: the same, n labels
    weights: tuple[float, ...] = (1.0, 1.0)  # optimum: of the two errors in the gap

    def __post_init__(self):
        if self.label_share is not None and not 0 < self.label_share < 1:
            raise ValueError(f"label_share: must be between 0 and 1, both excluded, got {self.label_share}")
        if self.label_share is not None and self.name != "fixed":
            raise ValueError(f"label_share: only allocator.name=fixed has one, got {self.label_share} for {self.name}")
        if self.phases < 1:
            raise ValueError(f"phases: must be 1 or more, got {self.phases}")
        if not 0 <= self.pilot_share <= 1:
            raise ValueError(f"pilot_share: must be from 0 to 1, got {self.pilot_share}")
        for name, count in (("pilot_episodes", self.pilot_episodes), ("pilot_labels", self.pilot_labels)):
            if count < 0:
                raise ValueError(f"{name}: must be 0 or more, got {count}")
        for name, pair in (("dynamics", self.dynamics), ("reward", self.reward), ("weights", self.weights)):
            check_positive_pair(name, pair)


@dataclass(frozen=True)
class Measured:
    """Errors of a phase's end, from data that did not train what is measured. Plain numbers, so that it goes to JSON.

    weight * error is in return units, for either side: only there do the two errors have a common unit.
    """

    dynamics: Curve  # error against transitions bought, a point a phase, all on today's held-out block
    reward: Curve  # error against labels in clean-label equivalents, a point a refit
    weights: tuple[float, float]  # of the two errors, as measured now
    explained_variance: float  # of held-out returns by the critic; below .2 the weights mean nothing


@dataclass(frozen=True)
class Evidence:
    """What an allocator knows when it plans `phase` (0: the pilot; 1 .. phases: the rest)."""

    phase: int
    phases: int
    transitions: int  # bought so far
    labels: int  # bought or asked so far
    transition_lot: int  # transitions come in multiples of this: environments in lockstep
    episode_length: int  # agent steps, 0 where it is not known
    min_transitions: int  # what training needs to start
    labels_per_transition: float = 1.0  # most labels a transition (kappa)
    measured: Measured | None = None  # None where nothing could be measured
    weights_before: tuple[float, float] | None = None  # the smoothed weights of the last plan, None before the first
    rows_asked: int | None = None  # rows of the labels bought or asked so far; None: as many as the labels
    pending: int = 0  # of the labels, not answered yet
    clean_labels: float | None = None  # the labels held in clean-label equivalents; None: as many as the labels
    offers: tuple[LabelOffer, ...] = ()  # the ways to buy labels; none: the ledger's price, one clean answer an item


@dataclass(frozen=True)
class Plan:
    """What to buy in one phase: not totals, but what comes on top of the stock."""

    phase: int
    transitions: int
    labels: int  # answers, repeated and gold ones included
    money_micro: int  # what it costs at the ledger's prices
    label_spend_share: float  # labels' part of that cost, 0 for an empty plan
    note: str = ""
    offer: LabelOffer | None = None  # how the labels are bought; None: the default tier, one answer an item
    weights: tuple[float, float] | None = None  # the smoothed weights that the plan was made with
    facts: dict[str, float] = field(default_factory=dict)  # what a person should know of the decision


class Purse(Protocol):
    """What planning has to know of the money, in micro-coins. The ledger of a run is one."""

    prices: dict[str, int]  # of "transition" and "label", default tier

    @property
    def total(self) -> int: ...
    @property
    def remaining(self) -> int: ...  # neither spent nor reserved


class Allocator(Protocol):
    def plan(self, evidence: Evidence, ledger: Purse) -> Plan: ...


def make_allocator(config: AllocatorConfig) -> Allocator:
    from .adaptive import Adaptive  # which builds on this file

    return {"fixed": Fixed, "coupled": Coupled, "optimum": Optimum, "adaptive": Adaptive}[config.name](config)


@dataclass(frozen=True)
class Fixed:
    """A constant share of all spend on labels. What the pilot's minimum or rounding bent is made up for afterwards."""

    config: AllocatorConfig

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan:
        share = UNMEASURED_LABEL_SHARE if self.config.label_share is None else self.config.label_share
        divide = partial(at_label_share, label_share=share)
        return plan_by(self.config, evidence, ledger, divide)


@dataclass(frozen=True)
class Coupled:
    """A label for every transition."""

    config: AllocatorConfig

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan:
        return plan_by(self.config, evidence, ledger, coupled)


@dataclass(frozen=True)
class Optimum:
    """The split of least gap under power laws given beforehand, along the expansion path."""

    config: AllocatorConfig

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan:
        if evidence.phase == 0:
            return plan_by(self.config, evidence, ledger, partial(at_label_share, label_share=UNMEASURED_LABEL_SHARE))
        laws = {"dynamics": PowerLaw(*self.config.dynamics), "reward": PowerLaw(*self.config.reward)}
        return plan_by(self.config, evidence, ledger, partial(split, **laws, weights=self.config.weights))


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
    transitions, labels = (now - before for now, before in zip(held, _stock(evidence, ledger)))
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
    """Micro-coins an answer costs on average: the default tier's price, or what the usual offer comes to."""
    if not evidence.offers:
        return prices["label"]
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
