"""The page's curves and bars: returns by what they cost, what was bought, shares, errors with their laws, gaps."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..phase_record import PhaseRecord
from ..reading.run_files import Evaluated
from ..reports.figures_evidence import ErrorCurve
from ..reports.pictures import Coins, column, spends
from .markup import Markup
from .numbers import coins_told, count, digits, returned
from .plot import Plot, Point, legend

STACK = ("transitions", "labels", "third", "fourth", "fifth", "sixth")  # colours, in the order of what was bought
GAPS = {  # in a phase's record -> its colour, what it is, and what that means
    "dynamics": (
        "transitions",
        "measured, of the dynamics",
        "What the model's dreams cost, on data that trained nothing.",
    ),
    "reward": ("labels", "measured, of the reward", "The same for what the reward model says of them."),
    "horizon": (
        "third",
        "estimate by horizon weights",
        "What theory makes of the mean errors, where dreams begin anew every few rows: often a hundred times too large.",
    ),
    "lemma": (
        "fourth",
        "bound by Lemma 1",
        "What theory makes of the largest errors; where that is infinite, nothing is drawn.",
    ),
}


def phase_name(phase: int) -> str:
    return "the pilot" if phase == 0 else f"phase {phase}"


def returns_by(evaluations: Sequence[Evaluated], counted: Callable[[Evaluated], float], counts: str) -> Markup:
    """Mean true returns against what was spent: coins, or labels. counts: which."""
    sides = {"truth": "return_mode", "labels dashed": "return_sampled"}
    points = {color: [(counted(one), getattr(one, name)) for one in evaluations] for color, name in sides.items()}
    around = [point for line in points.values() for point in line]
    plot = Plot.of(around, counts, f"mean true return by {counts}", zeros=(True, False))
    marks = []
    for color, line in points.items():
        name, *dashed = color.split()
        told = [
            f"{phase_name(one.phase)}: {returned(value)} for {coins_told(one.spent)} coins"
            for one, (_, value) in zip(evaluations, line, strict=True)
        ]
        marks += [plot.line(line, name, bool(dashed)), plot.dots(line, name, told)]
    return plot.figure(*marks, key=legend(truth="most likely actions", labels_dashed="drawn actions"))


def bought_by_phase(history: Sequence[PhaseRecord], coins: Coins) -> Markup:
    """Coins that each phase paid, what they bought one above the other."""
    paid = {name: np.diff(np.concatenate([[0.0], total])) for name, total in spends([*history], coins).items()}
    phases = [record.phase for record in history]
    sums = np.sum(list(paid.values()), axis=0)
    plot = Plot.by_phase(phases, sums.tolist(), "coins paid in the phase")
    marks, below = [], np.zeros(len(phases))
    for (name, each), color in zip(paid.items(), STACK, strict=False):
        for place, phase in enumerate(phases):
            told = f"{phase_name(phase)}: {coins_told(each[place])} coins for {name}"
            ends = (below[place], below[place] + max(each[place], 0.0))
            marks.append(plot.bar((phase - 0.38, phase + 0.38), ends, color, told))
        below = below + np.maximum(each, 0.0)
    names = {f"{color}_area": name for name, color in zip(paid, STACK, strict=False)}
    return plot.figure(*marks, key=legend(**names))


def shares_by_phase(history: Sequence[PhaseRecord], coins: Coins) -> Markup:
    """The labels' part of what each phase planned and of all spend, and where the best part was believed to be; in percent."""
    transitions, *labels = spends([*history], coins).values()
    so_far = 100 * np.sum(labels, axis=0) / np.maximum(transitions + np.sum(labels, axis=0), 1e-9)
    phases = [record.phase for record in history]
    plot = Plot.by_phase(phases, [100.0], "labels' part of the spend, %")
    believed = [(record.phase, *ends) for record in history if (ends := _believed(record))]
    marks = [
        plot.bar((phase - 0.38, phase + 0.38), (low, high), "third", f"{phase_name(phase)}: {low:.0f} to {high:.0f} %")
        for phase, low, high in believed
    ]
    spent = list(zip(phases, so_far.tolist(), strict=True))
    planned = [(record.phase, 100 * record.plan.label_spend_share) for record in history]
    marks += [plot.line(spent, "truth"), plot.dots(spent, "truth", _shares(spent, "of all spend so far"))]
    marks.append(plot.dots(planned, "labels", _shares(planned, "of the plan")))
    keys = {"truth": "of all spend so far", "labels_dot": "of the phase's plan"}
    return plot.figure(
        *marks, key=legend(**keys | ({"third_area_pale": "where the best is, 90 %"} if believed else {}))
    )


def _shares(points: Sequence[Point], what: str) -> list[str]:
    return [f"{phase_name(int(phase))}: {share:.0f} % {what}" for phase, share in points]


def _believed(record: PhaseRecord) -> Point | None:
    """Ends of where the plan believed the best share to be, in percent."""
    facts = record.plan.facts
    if facts is None or facts.best_share_low is None or facts.best_share_high is None:
        return None
    return 100 * facts.best_share_low, 100 * facts.best_share_high


def error_by_count(curve: ErrorCurve, color: str, counts: str, measures: str) -> Markup:
    """Measured errors and the law that they follow, on log axes."""
    measured = list(zip(curve.counts.tolist(), curve.errors.tolist(), strict=True))
    ends = [(curve.today, math.nan), (curve.planned, math.nan)]
    edges = [point for edge in (curve.low, curve.mean) for point in zip(curve.law_counts, edge, strict=True)]
    plot = Plot.of([*measured, *ends, *edges], counts, measures, logs=(True, True))
    told = [f"{digits(error)} at {count(number)}" for number, error in measured]
    heaviest = max(curve.weights.max(initial=0.0), 1e-9)
    marks = [
        plot.band(curve.law_counts, curve.low, curve.high, color),
        plot.line(zip(curve.law_counts, curve.mean, strict=True), color),
        plot.upright(curve.today, "limit"),
        plot.upright(curve.planned, "limit", is_dashed=True),
        plot.dots(measured, "truth", told, (curve.weights / heaviest).tolist()),
    ]
    names = {"truth_dot": "measured (darker: newer)", color: "its law", f"{color}_area_pale": "90 %"}
    names = names if len(curve.law_counts) else {"truth_dot": "measured"}
    return plot.figure(*marks, key=legend(**names, limit="held now", limit_dashed="planned in the end"))


def gaps_by_phase(history: Sequence[PhaseRecord]) -> Markup | None:
    """None where no gap was measured that a log axis can show."""
    phases = [record.phase for record in history]
    lines = {name: list(zip(phases, column([*history], name).tolist(), strict=True)) for name in GAPS}
    lines = {name: [point for point in line if 0 < point[1] < math.inf] for name, line in lines.items()}
    lines = {name: line for name, line in lines.items() if line}
    if not lines:
        return None
    gaps = [gap for line in lines.values() for _, gap in line]
    plot = Plot.by_phase(phases, gaps, "gap of the return", is_log=True)
    marks = []
    for name, line in lines.items():
        color, words, _ = GAPS[name]
        marks += [
            plot.line(line, color),
            plot.dots(line, color, [f"{phase_name(phase)}, {words}: {digits(gap)}" for phase, gap in line]),
        ]
    return plot.figure(*marks, key=legend(**{GAPS[name][0]: GAPS[name][1] for name in lines}))
