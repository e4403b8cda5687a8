"""Experiment D as a table and as a figure.

`runs` is (coins, method) -> a result for each seed, as experiment.py makes them; `alarms` is the name of an injection -> its
delays, as alarms.py makes them.
"""

from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from cells import MACHINE

from .settings import BLOCK, BUDGETS, INJECTED_AFTER, METHODS, MOST_BLOCKS, PHASES, RATERS


def table(runs: dict[tuple[int, str], list[dict]], alarms: dict[str, dict]) -> str:
    seeds, injections = (
        len(next(iter(cells))) for cells in (runs.values(), [one["delays"] for one in alarms.values()])
    )
    lines = [
        "# Label tiers: a chooser against each tier alone, and a bias injected in mid-run",
        "",
        f"`python benchmarks/raters`; {MACHINE}; seeds 0 to {seeds - 1}, {injections} injections of each kind.",
        "",
        "Error of the reward model against the true reward (root mean square; rewards have standard deviation 3.4) after",
        "a part of the money: mean and standard deviation over seeds.",
    ]
    for money in BUDGETS:
        lines += ["", f"| labels from | a quarter of {money} coins | half | three quarters | all |", "|--|--|--|--|--|"]
        lines += [_error_row(method, runs[money, method]) for method in METHODS]
        for method in ("chooser", "trusting chooser"):
            found = runs[money, method]
            bought = {name: np.mean([one["by_tier"][-1].get(name, 0.0) for one in found]) for name in RATERS}
            coins = ", ".join(f"{name} {spent:.0f}" for name, spent in bought.items())
            phases = "; ".join(_runs_of(found[seed]["tier"]) for seed in range(seeds))
            lines += [
                "",
                f"The {method}'s coins went to {coins} (mean). Bought from, phase by phase, each seed: {phases}.",
            ]
    lines += [
        "",
        f"A bias injected into the cheap tier after {INJECTED_AFTER} labels: further items of the cheap tier until its",
        f"correction is evident (log evidence gain above 3), looked for every {BLOCK} items, {MOST_BLOCKS} times at most.",
        "A false alarm is one at any of the looks before.",
        "",
        "| injected | noticed | median delay, labels | 90th percentile | median delay, gold labels | false alarm before |",
        "|--|--|--|--|--|--|",
    ]
    return "\n".join(lines + [_alarm_row(name, cell["delays"]) for name, cell in alarms.items()]) + "\n"


def _error_row(method: str, found: list[dict]) -> str:
    errors = np.array([one["error"] for one in found])[:, [PHASES // 4, PHASES // 2, 3 * PHASES // 4, PHASES]]
    cells = [f"{mean:.3f} +- {spread:.3f}" for mean, spread in zip(errors.mean(0), errors.std(0), strict=True)]
    return f"| {method} | " + " | ".join(cells) + " |"


def _runs_of(names: list[str]) -> str:
    """expert 1, cheap 8"""
    return ", ".join(f"{name} {len(list(group))}" for name, group in groupby(names))


def _alarm_row(name: str, delays: list[dict]) -> str:
    fair = [one for one in delays if not one["early"]]
    noticed = [one for one in fair if one["labels"] is not None]
    early = f"{len(delays) - len(fair)} of {len(delays)}"
    if not noticed:
        return f"| {name} | 0 of {len(fair)} | - | - | - | {early} |"
    # Those never noticed count as later than all others.
    labels = sorted([one["labels"] for one in noticed]) + [np.inf] * (len(fair) - len(noticed))
    gold = sorted([one["gold"] for one in noticed]) + [np.inf] * (len(fair) - len(noticed))
    at = [_text(quantile(labels, 0.5)), _text(quantile(labels, 0.9)), _text(quantile(gold, 0.5))]
    return f"| {name} | {len(noticed)} of {len(fair)} | " + " | ".join(at) + f" | {early} |"


def quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _text(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else f"> {BLOCK * MOST_BLOCKS}"


def draw(runs: dict[tuple[int, str], list[dict]], alarms: dict[str, dict], path: Path) -> None:
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    *axes, right = figure.subplots(1, 3)
    for axis, money in zip(axes, BUDGETS, strict=True):
        for method in METHODS:
            spent, error = (np.array([one[key] for one in runs[money, method]]) for key in ("spent", "error"))
            axis.plot(spent.mean(0), error.mean(0), label=method)
            axis.fill_between(spent.mean(0), error.min(0), error.max(0), alpha=0.15)
        axis.set(xscale="log", yscale="log", xlabel="coins spent on labels", ylabel="error of the reward model")
        axis.xaxis.set_minor_formatter(NullFormatter())  # its labels would lie on top of each other
        axis.set_title(f"{money} coins, means and ranges of {len(runs[money, 'chooser'])} seeds", fontsize=9)
    axes[0].legend(fontsize=7)
    for name, cell in alarms.items():
        fair = [one["labels"] or np.inf for one in cell["delays"] if not one["early"]]
        looks = BLOCK * np.arange(1, MOST_BLOCKS + 1)
        right.plot(looks, [np.mean(np.array(fair) <= look) for look in looks], label=name, drawstyle="steps-post")
    right.set(xlabel="cheap labels since the injection", ylabel="share noticed", xscale="log", ylim=(-0.02, 1.02))
    right.legend(fontsize=7)
    figure.savefig(path, dpi=70)
