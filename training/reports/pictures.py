"""The allocator's pictures of a run: what the money went to, what was planned and believed, and what the errors are."""

import math

import numpy as np
from matplotlib.figure import Figure

from ...budget.adaptive import best_share
from ...budget.money import MICRO
from ...budget.plan import Measured, Plan
from ...budget.scaling import Curve, fit_least_squares, fit_posterior
from ..measurements.evidence import evidence
from ..run import Run
from . import figures
from .figures_evidence import ErrorCurve, bound_against_gap, error_curves

LAW_POINTS = 40  # of a drawn law


def allocation_pictures(run: Run) -> dict[str, Figure]:
    """Name -> figure, from the history of finished phases."""
    history = run.progress.history
    phases = [row["phase"] for row in history]
    pictures = {
        "budget/money": figures.spend_over_time(
            np.array([row["step"] for row in history]), spends(run), run.config.budget.total
        ),
        "plan/shares": shares(run),
    }
    if history[-1]["measured"]:
        counted = "labels held [clean-label equivalents]" if run.config.labeler.tiers else "labels bought"
        pictures["scaling/errors"] = error_curves(*laws(run), counted)
        gaps = {name: column(history, name) for name in ("lemma", "horizon", "dynamics", "reward")}
        pictures["gap/bounds"] = bound_against_gap(phases, **gaps)
    return pictures


def spends(run: Run) -> dict[str, np.ndarray]:
    """What was bought -> coins spent on it at each phase's end, (P,)."""
    history, price = run.progress.history, run.config.price.transition
    tiers = sorted({tier for row in history for tier in row["spent_on_tiers"]})
    names = ["labels"] if len(tiers) < 2 else [f"labels: {tier}" for tier in tiers]
    found = {"transitions": np.array([row["transitions"] * price for row in history])}
    return found | {
        name: np.array([row["spent_on_tiers"].get(tier, 0.0) for row in history]) for name, tier in zip(names, tiers)
    }


def shares(run: Run) -> Figure:
    """The plans in coins; the labels' part of all spend, the interval in which each plan believed the best one to be, and
    where it is by all that is known now."""
    history = run.progress.history
    plans = [row["plan"] for row in history]
    ends = [[plan["facts"].get(f"best_share_{end}", math.nan) for end in ("low", "high")] for plan in plans]
    best = best_share(evidence(run), run.ledger)
    transitions, *labels = spends(run).values()
    on_labels = np.sum(labels, axis=0)
    money = np.array([plan["money_micro"] / MICRO for plan in plans])
    share = np.array([plan["label_spend_share"] for plan in plans])
    return figures.plan_shares(
        [row["phase"] for row in history],
        (1 - share) * money,
        share * money,
        spent=on_labels / np.maximum(transitions + on_labels, 1e-9),
        interval=None if np.isnan(ends).all() else np.array(ends),
        hindsight=best,
    )


def laws(run: Run) -> tuple[ErrorCurve, ErrorCurve]:
    """Both error curves in return units, with the laws that the next plan would be made from."""
    last = run.progress.history[-1]
    measured, final = Measured.from_record(last["measured"]), final_counts(run)
    held = last["transitions"], last["clean_labels"]
    sides = zip((measured.dynamics, measured.reward), measured.weights, held, final)
    dynamics, reward = (_error_curve(*side) for side in sides)
    return dynamics, reward


def final_counts(run: Run) -> tuple[float, float]:
    """Transitions and clean labels once all the money is spent: at the believed share, or as until now where nothing is
    believed."""
    last, total = run.progress.history[-1], run.config.budget.total
    plan = Plan.from_record(last["plan"])
    if plan.facts is None or plan.facts.label_share is None:
        growth = total / max(last["spent"], 1e-9)
        return last["transitions"] * growth, last["clean_labels"] * growth
    share = plan.facts.label_share
    clean_price = plan.offer.price_per_clean / MICRO if plan.offer else run.config.price.label
    return (1 - share) * total / run.config.price.transition, share * total / clean_price


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


def column(history: list[dict], name: str) -> np.ndarray:
    """(P,) of a gap in return units, NaN where it was not measured."""
    return np.array([row["gaps"].get(name, math.nan) for row in history])
