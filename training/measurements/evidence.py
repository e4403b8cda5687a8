"""What an allocator is told: what is held, what the last phase measured, and what the configuration says."""

from dataclasses import dataclass

from ...budget.offers import LabelOffer
from ...budget.plan import Evidence
from ...envs.labelers.base import LabelerConfig
from ..phase_record import PhaseRecord
from . import raters


@dataclass(frozen=True)
class Terms:
    """What an allocator is told in every phase alike."""

    transition_lot: int  # environments in lockstep
    episode_length: int  # agent steps, 0 where it is not known
    min_transitions: int  # what training needs to start
    labeler: LabelerConfig
    seed: int
    label_micro: int = 0  # micro-coins that a label costs, as it is stated
    label_money: int | None = None  # micro-coins for labels in the whole run, about
    can_collect: bool = True  # whether transitions are bought


@dataclass(frozen=True)
class Stock:
    """What is held or on its way."""

    transitions: int = 0
    labels: int = 0  # bought or asked
    rows_asked: int | None = None  # rows that the labels are about; None: as many as the labels
    pending: int = 0  # of the labels, not answered yet
    label_price_micro: int | None = None  # that the default tier's last ones cost on average; None: too few to say
    transitions_micro: int | None = None  # spent on transitions; None: their price for each


def evidence(terms: Terms, phase: int, phases: int, stock: Stock, last: PhaseRecord | None) -> Evidence:
    """For the plan of `phase`; last: the record of the one before, None before the first."""
    clean_labels = last.clean_labels if last else float(stock.labels)
    return Evidence(
        phase=phase,
        phases=phases,
        transitions=stock.transitions,
        labels=stock.labels,
        transition_lot=terms.transition_lot,
        episode_length=terms.episode_length,
        min_transitions=terms.min_transitions,
        measured=last.measured if last else None,
        weights_before=last.plan.weights if last else None,
        share_before=last.plan.label_spend_share if last and last.plan.facts else None,
        rows_asked=stock.rows_asked,
        pending=stock.pending,
        clean_labels=clean_labels if terms.labeler.tiers else None,
        label_price_micro=stock.label_price_micro,
        labels_per_phase=(terms.labeler.per_phase[0], terms.labeler.per_phase[1]) if terms.labeler.per_phase else None,
        offers=_offers(terms, stock, last),
        seed=terms.seed,
        can_collect=terms.can_collect,
        transitions_micro=stock.transitions_micro,
    )


def _offers(terms: Terms, stock: Stock, last: PhaseRecord | None) -> tuple[LabelOffer, ...]:
    if terms.labeler.asks_people:
        return (raters.people_offer(stock.label_price_micro or terms.label_micro),)
    return (last.offers if last else ()) or raters.offers(terms.labeler, None, None, terms.label_money)
