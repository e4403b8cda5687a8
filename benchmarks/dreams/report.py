"""What a setting costs, and what it dreams, as tables. `results` is cell -> seed -> what experiment.py keeps."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from cells import MACHINE

from .measure import HORIZON
from .settings import BASELINE, SETTINGS, TASKS, Task

Runs = dict[int, dict]  # seed -> result
HEADING = f"""Half of the spend on labels, equal money and updates in all cells of a task. Ratios and differences are to `{BASELINE}`
of the same seed: geometric and arithmetic means over the seeds that both have, with 95 % bootstrap intervals over seeds
(of two or three seeds these say little). A seed that never reaches the level counts as all of its coins, marked >.
`mean return`: of the evaluations after the pilot, the area under the curve. Seeds in order 0, 1, ...; - is not run.

Dreams, means over seeds of the first, second and last third of the phases after the pilot, on episodes of the run's last
policy: KL, entropy of prior and posterior in nats (one step, all groups); errors in return units. G_r: the error of a row's
reward over 1 - discount, as if it never cancelled, so that its size is not to be held against that of the others. G_d, H:
rewards of {HORIZON} rows dreamed along the true actions, against those of filtered rows, no critic (signed: positive is too hopeful); `by chance`: the same on episodes of
random actions, which are the same under every setting; spread: mean absolute deviation of what is to be foreseen. G_d,
critic: one step, read through the critic. Ratio: of G_d, H in the last third to that of `{BASELINE}`, own policy; by chance."""
COIN_COLUMNS = ("setting", "coins to the level", "ratio", "mean return", "last return", "minutes")
DREAM_COLUMNS = (
    *(
        "setting (seeds)",
        "KL",
        "prior",
        "posterior",
        "decoder explains",
        "reward model explains",
        "G_r",
        "G_d, H",
        "signed",
        "by chance",
    ),
    *("spread", "G_d, critic", "critic explains", "ratio; by chance"),
)


def report(results: dict[str, dict[str, dict]]) -> str:
    lines = [line for task in TASKS for line in [*coins_table(task, results), *dreams_table(task, results)]]
    return "\n".join([f"Made by `python benchmarks/dreams` ({MACHINE}).", "", HEADING, *lines, ""])


def found(task: Task, results: dict) -> dict[str, Runs]:
    """Setting -> the runs that are kept, of those that have any."""
    every = {name: results.get(f"{task.name}-{name}", {}) for name in SETTINGS}
    return {name: {int(seed): run for seed, run in sorted(runs.items())} for name, runs in every.items() if runs}


def coins_table(task: Task, results: dict) -> list[str]:
    settings = found(task, results)
    if not settings:
        return ["", f"## {task.name}: nothing run yet"]
    base = settings.get(BASELINE, {})
    return [
        "",
        f"## {task.name}: {' '.join(task.settings)}",
        "",
        f"Level {task.level:.0f}: 90 % of the way from random actions ({task.random_return:g}) to {task.good_return:g}.",
        "",
        *head(COIN_COLUMNS),
        *(row([name, *coin_cells(task, runs, base)]) for name, runs in settings.items()),
        "",
        f"Not run: {', '.join(name for name in SETTINGS if name not in settings) or 'none'}.",
    ]


def coin_cells(task: Task, runs: Runs, base: Runs) -> list[str]:
    pairs = [(runs[seed], base[seed]) for seed in sorted(runs.keys() & base.keys())]
    ratios = [np.log(coins(run, task)[0] / coins(one, task)[0]) for run, one in pairs]
    gains = [mean_return(run) - mean_return(one) for run, one in pairs]
    mean = f"{np.mean([mean_return(run) for run in runs.values()]):.0f}"
    return [
        every_seed(runs, lambda run: told(coins(run, task))),
        "1" if runs is base else interval(ratios, np.exp),
        mean if runs is base else f"{mean}, less that of the baseline {interval(gains)}",
        every_seed(runs, lambda run: f"{run['return'][-1]:.0f}"),
        f"{np.mean([run['minutes'] for run in runs.values()]):.1f}",
    ]


def dreams_table(task: Task, results: dict) -> list[str]:
    settings = found(task, results)
    if not settings:
        return []
    base = settings.get(BASELINE, {})
    rows = (row([f"{name} ({len(runs)})", *dream_cells(runs, base)]) for name, runs in settings.items())
    return ["", *head(DREAM_COLUMNS), *rows]


def dream_cells(runs: Runs, base: Runs) -> list[str]:
    return [
        *(
            thirds(runs, "policy", column)
            for column in ("kl", "prior_entropy", "posterior_entropy", "decoder_explains")
        ),
        *(
            thirds(runs, "policy", column)
            for column in ("reward_explains", "gap_reward", "gap_steps", "gap_steps_signed")
        ),
        thirds(runs, "chance", "gap_steps"),
        "; ".join(thirds(runs, player, "spread").split(", ")[-1] for player in ("policy", "chance")),
        *(thirds(runs, "policy", column) for column in ("gap_one_step", "critic_explains")),
        "1" if runs is base else "; ".join(gap_ratio(runs, base, player) for player in ("policy", "chance")),
    ]


def head(columns: Sequence[str]) -> list[str]:
    return [row(columns), "|---" * len(columns) + "|"]


def row(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |"


def coins(run: dict, task: Task) -> tuple[float, bool]:
    """Spent at the first evaluation that reaches the level, and whether one did: else all that was spent."""
    reached = [spent for spent, value in zip(run["spent"], run["return"], strict=True) if value >= task.level]
    return (reached[0], True) if reached else (run["spent"][-1], False)


def told(spend: tuple[float, bool]) -> str:
    return f"{'' if spend[1] else '> '}{spend[0]:,.0f}"


def mean_return(run: dict) -> float:
    return float(np.mean(run["return"][1:]))


def every_seed(runs: Runs, tell: Callable[[dict], str]) -> str:
    return "; ".join(tell(runs[seed]) if seed in runs else "-" for seed in range(max(runs) + 1))


def third(run: dict, player: str, column: str, number: int) -> float:
    """Mean of the phases of one third, the pilot left out."""
    return float(np.nanmean(np.array_split(np.array(run["dreams"][player][column][1:], float), 3)[number]))


def thirds(runs: Runs, player: str, column: str) -> str:
    return ", ".join(f"{np.mean([third(run, player, column, n) for run in runs.values()]):.2g}" for n in range(3))


def gap_ratio(runs: Runs, base: Runs, player: str) -> str:
    shared = sorted(runs.keys() & base.keys())
    last = [[third(one[seed], player, "gap_steps", 2) for seed in shared] for one in (runs, base)]
    return interval([np.log(ours / theirs) for ours, theirs in zip(*last, strict=True)], np.exp)


def interval(values: list[float], shown: Callable[[float], float] = float) -> str:
    """Mean and, from two values on, the middle 95 % of the means of all resamples of so many values."""
    if not values:
        return "-"
    mean = f"{shown(float(np.mean(values))):.3g}"
    if len(values) == 1:
        return f"{mean} (1 seed)"
    means = [np.mean(chosen) for chosen in product(values, repeat=len(values))]
    low, high = (shown(float(np.quantile(means, q))) for q in (0.025, 0.975))
    return f"{mean} ({low:.3g} .. {high:.3g})"
