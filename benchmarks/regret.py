"""How much worse than the best possible split does each allocator end? 100 random worlds whose errors are known exactly.

    python benchmarks/regret.py [--worlds 100] [--seed 0] [--json FILE]

A world is a pair of prices, a budget and two error curves; some curves have a floor, some follow no power law. Every
method plans a pilot and twelve phases with the code that plans a training, from errors measured with noise. Regret is the
true gap in the end over the least gap that the same spend could have bought, minus 1. Results of the standard 100 worlds
are kept in benchmarks/results/regret.json and shown in regret.md, seed by seed.
"""

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tandem.budget.adaptive import divide_phase, item_market, nearer, smoothed, sureness
from tandem.budget.allocator import make_allocator
from tandem.budget.market import Market
from tandem.budget.money import MICRO, to_micro
from tandem.budget.offers import LabelOffer
from tandem.budget.phase import phase_money
from tandem.budget.plan import Allocator, AllocatorConfig, Evidence, Measured, Plan, Purse
from tandem.budget.scaling import USUAL_EXPONENT, Curve, ErrorLaw, PowerLaw, fit_help, fit_least_squares

RESULTS = Path(__file__).parent / "results"
STANDARD_WORLDS = 100
MACHINE = f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}, one thread"
# median, mean, 90th percentile and worst regret and the median of the budget wasted, all in percent: the reference
REFERENCE = {
    "coupled": (25.6, 135, 220, 3257, 44),
    "labels_80": (6.7, 24.1, 59, 266, 14.5),
    "labels_20": (11.7, 26.6, 70, 233, 29.6),
    "fifty_fifty": (3.0, 8.6, 24, 62, 7.5),
    "least_squares": (0.29, 2.4, 1.8, 96, 0),
    "adaptive": (0.24, 0.48, 1.1, 3.7, 0),
}
ABOUT = f"""
Regret in percent over {STANDARD_WORLDS} random worlds: the true gap in the end over the least gap at the same spend, minus 1. In
brackets are the figures of the specification, from other draws of the same kinds of worlds. `least_squares` has all that
`adaptive` has but the posterior: the least share of each side, the smoothing of weights, and the usual exponent (0.3)
while there is one point only. `least_squares` takes its laws at their word, `adaptive` leaves half of the spend each only as
far as it is sure, told that errors are measured to 10 and 12 %, as they are. In these worlds transitions do nothing for the
reward's error; whether they do is measured too, to 6 %."""
FIGURES = ("median", "mean", "p90", "worst", "wasted_median")


@dataclass(frozen=True)
class TrueCurve:
    """level [floor + (1 - floor) x ** -alpha], x = N / n_ref; where it is broken the slope changes around n_break."""

    n_ref: float
    level: float
    floor: float
    alpha: float
    n_break: float
    alpha_change: float  # 0: not broken

    def error(self, count):
        falls = self.floor + (1 - self.floor) * (count / self.n_ref) ** -self.alpha
        bend = (1 + count / self.n_break) / (1 + self.n_ref / self.n_break)
        return self.level * falls * bend**-self.alpha_change


@dataclass(frozen=True)
class World:
    """Prices of a transition (1 coin) and of a label, a budget, and both errors with their weights."""

    label_price: float
    total: float
    curves: tuple[TrueCurve, TrueCurve]  # dynamics, reward
    weights: tuple[float, float]
    measured_weights: tuple[float, float]  # in the end
    seed: tuple[int, int]  # of the noise of measurements, the same for every method
    help: float = 0.0  # exponent by which the reward's error falls with transitions too
    growth: float = 1.0  # how many times the weight of the dynamics grows from the pilot to the end

    def gap(self, transitions, labels):
        errors = (self.error(side, transitions, labels) for side in (0, 1))
        return sum(weight * error for weight, error in zip(self.weights, errors, strict=True))

    def error(self, side: int, transitions, labels):
        if side == 0:
            return self.curves[0].error(transitions)
        return self.curves[1].error(labels) * (transitions / self.curves[0].n_ref) ** -self.help

    def weights_seen(self, part: float) -> tuple[float, float]:
        """part: of the phases that have passed, 0 .. 1."""
        return self.measured_weights[0] * self.growth ** (part - 1), self.measured_weights[1]

    def least_gap(self, spend: float) -> float:
        """Over all ways to divide the spend, counts taken as continuous: a grid, and a finer one around its best."""
        low, high = -16.0, 16.0  # log of the spend on transitions over that on labels
        for _ in range(3):
            u = np.linspace(low, high, 400)
            gaps = self.gap(spend / (1 + np.exp(-u)), spend / (1 + np.exp(u)) / self.label_price)
            best = u[gaps.argmin()]
            low, high = best - (u[1] - u[0]), best + (u[1] - u[0])
        return float(gaps.min())


def draw_world(seed: int, index: int) -> World:
    rng = np.random.default_rng([seed, index])
    label_price = math.exp(rng.uniform(math.log(0.3), math.log(300)))
    total = math.exp(rng.uniform(math.log(2e4), math.log(1e6))) * max(1, math.sqrt(label_price))
    curves = tuple(draw_curve(rng, total / (2 * price)) for price in (1, label_price))
    weights = math.exp(rng.normal(0, 0.7)), 1.0
    measured = tuple(
        weight * math.exp(rng.normal(0, spread)) for weight, spread in zip(weights, (0.3, 0.1), strict=True)
    )
    return World(label_price, total, curves, weights, measured, (seed, index))


def draw_curve(rng: np.random.Generator, n_ref: float) -> TrueCurve:
    alpha = float(np.clip(math.exp(rng.normal(math.log(0.35), 0.7)), 0.05, 1.2))
    level = math.exp(rng.normal(0, 1))
    floor = rng.uniform(0, 0.6) if rng.random() < 0.5 else 0.0
    is_broken, n_break = rng.random() < 0.4, n_ref * math.exp(rng.uniform(-3, -0.5))
    change = alpha * rng.uniform(-0.6, 0.8)
    return TrueCurve(n_ref, level, floor, alpha, n_break, change if is_broken else 0.0)


@dataclass
class MemoryPurse:
    """A till without a file."""

    total: int
    remaining: int
    prices: dict[str, int]


class Gauge:
    """Measures a world as training does: old models on today's data, and refits of the reward on parts of the labels."""

    NOISE = (0.10, 0.12)  # of the log errors
    READ_NOISE = 0.06  # of those of refits with the same labels; in two real runs .05 and .06 around a power law
    RECENCY = 0.9

    def __init__(
        self, world: World, log_spreads: tuple[float, float] = NOISE, phases: int = 12, sees_help: bool = True
    ):
        """log_spreads: how unsure of its errors the allocator is told to be; a real run has 1 / sqrt(episodes) at least."""
        self.world, self.log_spreads, self.phases, self.sees_help = world, log_spreads, phases, sees_help
        self.rng, self.help_rng = (np.random.default_rng([*world.seed, stream]) for stream in (1, 2))
        self.dynamics: list[tuple[float, float]] = []

    def look(self, transitions: int, labels: int) -> Measured:
        weights = self.world.weights_seen(len(self.dynamics) / self.phases)
        self.dynamics.append((transitions, self._error(0, transitions, labels)))
        counts, errors = zip(*self.dynamics, strict=True)
        recency = tuple(self.RECENCY**age for age in reversed(range(len(counts))))
        parts = tuple(labels * part for part in (1 / 8, 1 / 4, 1 / 2, 1))
        refits = tuple(self._error(1, transitions, count) for count in parts)
        reward, dynamics = Curve(parts, refits, (1.0,) * len(parts)), Curve(counts, errors, recency)
        measured = Measured(dynamics, reward, weights, explained_variance=1.0, log_spreads=self.log_spreads)
        return replace(measured, latents=self._latents(counts, labels, recency)) if self.sees_help else measured

    def _latents(self, counts: tuple[float, ...], labels: int, recency: tuple[float, ...]) -> Curve:
        """All labels read off the latents of the first phase, of one half way from it, and of today."""
        half = next(i for i, count in enumerate(counts) if count >= math.sqrt(counts[0] * counts[-1]))
        read = sorted({0, half, len(counts) - 1})
        noise = np.exp(self.help_rng.normal(0, self.READ_NOISE, len(read)))
        errors = [self.world.error(1, counts[i], labels) * factor for i, factor in zip(read, noise, strict=True)]
        return Curve.of([(counts[i], error, recency[i]) for i, error in zip(read, errors, strict=True)])

    def _error(self, side: int, transitions: int, labels: float) -> float:
        return self.world.error(side, transitions, labels) * math.exp(self.rng.normal(0, self.NOISE[side]))


@dataclass(frozen=True)
class ByLaws:
    """All that the adaptive allocator does, with a law for each side that `law` makes of its curve.

    Without a memory the phase's money is split as if nothing were held. One that is sure takes its laws at their word;
    another leaves half of the spend each as far as the adaptive one does.
    """

    config: AllocatorConfig
    law: Callable[[Curve, np.random.Generator], ErrorLaw]
    has_memory: bool = True
    is_sure: bool = False

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan:
        if evidence.phase == 0:
            return make_allocator(self.config).plan(evidence, ledger)
        offer = LabelOffer("default", ledger.prices["label"])
        market = item_market(evidence, ledger, offer, phase_money(evidence, ledger))
        if not self.has_memory:
            market = Market(market.money, market.prices)
        rng = np.random.default_rng(evidence.phase)
        laws = [self.law(curve, rng) for curve in (evidence.measured.dynamics, evidence.measured.reward)]
        weights = smoothed(evidence.weights_before, evidence.measured.weights)
        believed = weights if self.is_sure else nearer(weights, evidence.measured)
        sure = 1.0 if self.is_sure else sureness(evidence, ledger)
        held = divide_phase(evidence, market, *laws, believed, sure, fit_help(evidence.measured.latents))
        transitions, labels = (now - before for now, before in zip(held, market.stock, strict=True))
        label_cost = labels * market.prices[1]
        cost = transitions * market.prices[0] + label_cost
        return Plan(evidence.phase, transitions, labels, cost, label_cost / max(1, cost), weights=weights)


def least_squares(config: AllocatorConfig) -> ByLaws:
    """The straight line through the log errors taken at its word; all else as the adaptive allocator."""
    return ByLaws(config, lambda curve, _: line(curve), is_sure=True)


def line(curve: Curve) -> PowerLaw:
    """Where there is only one point: the usual exponent through it. An exponent that makes no sense is cut off."""
    fit = fit_least_squares(curve)
    if fit is None:
        return PowerLaw(curve.errors[-1] * curve.counts[-1] ** USUAL_EXPONENT, USUAL_EXPONENT)
    exponent = min(max(fit.exponent, 0.02), 2.0)
    log_count, log_error = np.average(np.log([curve.counts, curve.errors]), axis=1, weights=curve.weights)
    return PowerLaw(math.exp(log_error + exponent * log_count), exponent)


def allocators() -> dict[str, Allocator]:
    shares = {"fifty_fifty": 0.5, "labels_80": 0.8, "labels_20": 0.2}
    fixed = {name: make_allocator(AllocatorConfig(name="fixed", label_share=share)) for name, share in shares.items()}
    return {
        "coupled": make_allocator(AllocatorConfig(name="coupled")),
        **fixed,
        "least_squares": least_squares(AllocatorConfig()),
        "adaptive": make_allocator(AllocatorConfig()),
    }


@dataclass(frozen=True)
class Outcome:
    regret: float
    wasted: float  # part of the spend without which the best split would have the same gap
    seconds: list[float]  # of processor time, for each decision


def play(
    world: World,
    allocator: Allocator,
    phases: int = 12,
    log_spreads: tuple[float, float] = Gauge.NOISE,
    sees_help: bool = True,
) -> Outcome:
    """The pilot and the phases, every plan carried out to the letter. log_spreads, sees_help: as in `Gauge`."""
    total = to_micro(world.total)
    purse = MemoryPurse(total, total, {"transition": MICRO, "label": to_micro(world.label_price)})
    gauge = Gauge(world, log_spreads, phases, sees_help)
    transitions, labels, seconds = 0, 0, []
    evidence = Evidence(0, phases, 0, 0, 1, episode_length=0, min_transitions=1, labels_per_transition=math.inf)
    for phase in range(phases + 1):
        start = time.thread_time()  # waiting for a busy machine is not thinking
        plan = allocator.plan(evidence, purse)
        seconds.append(time.thread_time() - start)
        purse.remaining -= plan.money_micro
        transitions, labels = transitions + plan.transitions, labels + plan.labels
        evidence = Evidence(
            *(phase + 1, phases, transitions, labels, 1, 0, 1, math.inf),
            measured=gauge.look(transitions, labels),
            weights_before=plan.weights,
            share_before=plan.label_spend_share if phase else None,  # nothing was decided in the pilot
        )
    spend, gap = (total - purse.remaining) / MICRO, world.gap(transitions, labels)
    return Outcome(gap / world.least_gap(spend) - 1, wasted(world, spend, gap), seconds)


def wasted(world: World, spend: float, gap: float) -> float:
    """By bisection on the log of the part of the spend that would have done."""
    low, high = -20.0, 0.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if world.least_gap(spend * math.exp(middle)) <= gap else (middle, high)
    return 1 - math.exp(high)


def summary(outcomes: list[Outcome]) -> dict[str, float]:
    """In percent."""
    regrets = 100 * np.array([one.regret for one in outcomes])
    figures = {
        "median": np.median(regrets),
        "mean": regrets.mean(),
        "p90": np.quantile(regrets, 0.9),
        "worst": regrets.max(),
        "wasted_median": 100 * np.median([one.wasted for one in outcomes]),
    }
    return {name: round(float(value), 3) for name, value in figures.items()}


def decision_times(outcomes: list[Outcome]) -> dict[str, float]:
    """Of the decisions after the pilot, in milliseconds."""
    times = 1000 * np.array([seconds for one in outcomes for seconds in one.seconds[1:]])
    return {"median": round(float(np.median(times)), 2), "worst": round(float(times.max()), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=STANDARD_WORLDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="method -> its figures")
    options = parser.parse_args()
    start = time.monotonic()
    worlds = [draw_world(options.seed, index) for index in range(options.worlds)]
    outcomes = {name: [play(world, allocator) for world in worlds] for name, allocator in allocators().items()}
    methods = {name: summary(played) for name, played in outcomes.items()}
    times = decision_times(outcomes["adaptive"])
    print(table(methods))
    print(
        f"{options.worlds} worlds, seed {options.seed}, {time.monotonic() - start:.0f} s; a decision of the adaptive "
        f"allocator: median {times['median']} ms, worst {times['worst']} ms of processor time"
    )
    if options.json:
        options.json.write_text(json.dumps(methods, indent=1) + "\n")
    if options.worlds == STANDARD_WORLDS:
        seeds = keep_seed(RESULTS / "regret.json", options.seed, {"methods": methods, "decision_ms": times})
        (RESULTS / "regret.md").write_text(report(seeds))


def table(methods: dict[str, dict[str, float]]) -> str:
    """Markdown, each figure beside the reference's."""
    rows = ["| method | median % | mean % | 90th % | worst % | budget wasted, median % |", "|--|--|--|--|--|--|"]
    for name, figures in methods.items():
        cells = [f"{figures[key]:.3g} ({reference:g})" for key, reference in zip(FIGURES, REFERENCE[name], strict=True)]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def keep_seed(file: Path, seed: int, result: dict) -> dict[str, dict]:
    """Write it beside the other seeds' results. -> seed -> result, in order."""
    seeds = json.loads(file.read_text())["seeds"] if file.exists() else {}
    seeds = dict(sorted((seeds | {str(seed): result}).items(), key=lambda item: int(item[0])))
    file.write_text(json.dumps({"machine": MACHINE, "worlds": STANDARD_WORLDS, "seeds": seeds}, indent=1) + "\n")
    return seeds


def report(seeds: dict[str, dict]) -> str:
    parts = [f"Made by `python benchmarks/regret.py --seed S`, on {MACHINE}.{ABOUT}"]
    for seed, result in seeds.items():
        times = result["decision_ms"]
        parts.append(
            f"Seed {seed}; a decision takes {times['median']} ms (median; {times['worst']} at most) of processor time."
        )
        parts.append(table(result["methods"]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
