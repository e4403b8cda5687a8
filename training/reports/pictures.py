"""The allocator's pictures of a run: what the money went to, what was planned and believed, and what the errors are."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from ...budget.adaptive import best_share
from ...budget.money import MICRO
from ...budget.plan import Evidence, Facts, Purse
from ...budget.scaling import Curve, fit_least_squares, fit_posterior
from ..phase_record import PhaseRecord
from . import figures
from .figures_evidence import ErrorCurve, bound_against_gap, error_curves

LAW_POINTS = 40  # of a drawn law


@dataclass(frozen=True)
class Coins:
    """What the pictures must know of a run: coins there are to spend, coins a transition and a label, and whether labels
    come from named tiers. Of transitions that were there before: how many, and coins each; whether more are collected."""

    total: float
    transition: float
    label: float
    has_tiers: bool
    stock: int = 0
    stock_price: float = 0.0
    can_collect: bool = True

    def on(self, transitions: int) -> float:
        """Coins spent on so many transitions, the stock among them."""
        return (transitions - self.stock) * self.transition + self.stock * self.stock_price


def allocation_pictures(
    history: list[PhaseRecord], coins: Coins, evidence: Evidence, purse: Purse
) -> dict[str, Callable[[], Figure]]:
    """Name -> how to draw it, from the finished phases; evidence and purse: what a plan would be made from now."""
    steps = np.array([record.step for record in history])
    pictures: dict[str, Callable[[], Figure]] = {
        "budget/money": partial(figures.spend_over_time, steps, spends(history, coins), coins.total),
        "plan/shares": partial(shares, history, coins, evidence, purse),
    }
    if history[-1].measured:
        counted = "labels held [clean-label equivalents]" if coins.has_tiers else "labels bought"
        pictures["scaling/errors"] = lambda: error_curves(*laws(history[-1], coins), counted)
        gaps = {name: column(history, name) for name in ("lemma", "horizon", "dynamics", "reward")}
        pictures["gap/bounds"] = partial(bound_against_gap, [record.phase for record in history], **gaps)
    return pictures


def spends(history: list[PhaseRecord], coins: Coins) -> dict[str, np.ndarray]:
    """What was bought -> coins spent on it at each phase's end, (P,)."""
    tiers = sorted({tier for record in history for tier in record.spent_on_tiers})
    names = ["labels"] if len(tiers) < 2 else [f"labels: {tier}" for tier in tiers]
    found = {"transitions": np.array([coins.on(record.transitions) for record in history])}
    return found | {
        name: np.array([record.spent_on_tiers.get(tier, 0.0) for record in history])
        for name, tier in zip(names, tiers, strict=False)
    }


def shares(history: list[PhaseRecord], coins: Coins, evidence: Evidence, purse: Purse) -> Figure:
    """The plans in coins; the labels' part of all spend, the interval in which each plan believed the best one to be, and
    where it is by all that is known now."""
    plans = [record.plan for record in history]
    ends = [_interval(plan.facts) for plan in plans]
    transitions, *labels = spends(history, coins).values()
    on_labels = np.sum(labels, axis=0)
    money = np.array([plan.money_micro / MICRO for plan in plans])
    share = np.array([plan.label_spend_share for plan in plans])
    return figures.plan_shares(
        [record.phase for record in history],
        (1 - share) * money,
        share * money,
        spent=on_labels / np.maximum(transitions + on_labels, 1e-9),
        interval=None if np.isnan(ends).all() else np.array(ends),
        hindsight=best_share(evidence, purse),
    )


def _interval(facts: Facts | None) -> tuple[float, float]:
    """Ends of where a plan believed the best share to be, NaN where it did not know."""
    ends = (facts.best_share_low, facts.best_share_high) if facts else (None, None)
    low, high = (math.nan if end is None else end for end in ends)
    return low, high


def laws(last: PhaseRecord, coins: Coins) -> tuple[ErrorCurve, ErrorCurve]:
    """Both error curves in return units, with the laws that the next plan would be made from."""
    measured, held = last.measured, (last.transitions, last.clean_labels)
    assert measured is not None, "drawn only where something was measured"
    sides = zip((measured.dynamics, measured.reward), measured.weights, held, final_counts(last, coins), strict=True)
    dynamics, reward = (_error_curve(*side) for side in sides)
    return dynamics, reward


def final_counts(last: PhaseRecord, coins: Coins) -> tuple[float, float]:
    """Transitions and clean labels once all the money is spent: at the believed share, or as until now where nothing is
    believed."""
    plan = last.plan
    if not coins.can_collect:
        price = plan.offer.price_per_clean / MICRO if plan.offer else coins.label
        return float(last.transitions), last.clean_labels + (coins.total - last.spent) / price
    if plan.facts is None or plan.facts.label_share is None:
        growth = coins.total / max(last.spent, 1e-9)
        return last.transitions * growth, last.clean_labels * growth
    share = plan.facts.label_share
    clean_price = plan.offer.price_per_clean / MICRO if plan.offer else coins.label
    return (1 - share) * coins.total / coins.transition, share * coins.total / clean_price


def _error_curve(curve: Curve, weight: float, today: float, planned: float) -> ErrorCurve:
    counts, errors, weights = curve.usable()
    posterior = fit_posterior(curve)
    if posterior is None or not len(counts):
        nothing = np.zeros(0)
        return ErrorCurve(counts, errors * weight, weights, nothing, nothing, nothing, nothing, today, planned)
    ends = min(counts.min(), max(today, 1)), max(counts.max(), today, planned)
    at = np.geomspace(*ends, LAW_POINTS)
    mean = np.array([posterior.mean_error(count) for count in at])
    low, high = posterior.band(at)
    line = fit_least_squares(curve)
    return ErrorCurve(
        counts,
        errors * weight,
        weights,
        at,
        mean * weight,
        low * weight,
        high * weight,
        today,
        planned,
        posterior.exponent,
        line.r_squared if line else math.nan,
    )


def column(history: list[PhaseRecord], name: str) -> np.ndarray:
    """(P,) of a gap in return units, NaN where it was not measured."""
    return np.array([record.gaps.get(name, math.nan) for record in history])
