"""The U-curve of each task and the methods beside it, as tables. `results` is cell -> seed -> what cells.py keeps."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cells import MACHINE

from .bootstrap import told, told_difference, wins
from .settings import METHODS, SHARES, TASKS, Task, share_cell, twice_cell

Runs = list[dict]  # of a cell, in the order of seeds
HALF = share_cell(50)
HEADING = """Coins to the level: spent where the true return first comes to 90 % of the way from random actions to where the best fixed
share ends (mean over seeds). Returns are those of the evaluations at the ends of phases, each averaged with the one before, for a
policy may shine or fail once; the line through them is followed. A run that never comes to the level counts as all the money,
marked >, so that means and ratios of such cells are too kind to them. Means of coins are geometric. Last return: the last two
evaluations. Only seeds that all cells of a task have are shown (of those with twice the updates, what they have of them).
Mean return: of the evaluations after the pilot, the area under the curve. In brackets: where 95 % of the means lie if the
seeds are drawn again (of two or three seeds that says little). Shares are the labels' part of all spend."""
COLUMNS = ("cell", "coins, every seed", "mean", "to half each", "last return", "mean return", "bought", "minutes")


def report(results: dict[str, dict[str, dict]]) -> str:
    lines = [line for task in TASKS for line in [*section(task, found(task, results)), *further(task, results)]]
    return "\n".join([f"Made by `python benchmarks/ends` ({MACHINE}).", "", HEADING, *lines, ""])


def found(task: Task, results: dict[str, dict[str, dict]]) -> dict[str, Runs]:
    """Cell, without the task's name -> its runs with the settings of today, of the seeds that all cells have which were run."""
    kept = of_today(task, results)
    compared = [set(runs) for cell, runs in kept.items() if cell not in map(twice_cell, task.doubled)]
    seeds = set.intersection(*compared) if compared else set()
    shown = {cell: [run for seed, run in runs.items() if seed in seeds] for cell, runs in kept.items()}
    return {cell: runs for cell, runs in shown.items() if runs}


def further(task: Task, results: dict[str, dict[str, dict]]) -> list[str]:
    """What cells with more seeds than the others came to, seed by seed: how much of a difference is one of seeds."""
    kept = of_today(task, results)
    several = {cell: runs for cell, runs in kept.items() if len(runs) > 1}
    if not several or len({tuple(runs) for runs in kept.values()}) < 2:
        return []  # all are in the table
    lines = [f"* Last return of every seed, where a cell has several: {by_seed(several, last_return, '.3g')}."]
    cells = found(task, results)
    if any(share_cell(share) in cells for share in task.shares):
        wanted = goal_of(task, cells).wanted
        spent = by_seed(several, lambda run: coins(run, wanted, task.total)[0], ",.0f")
        lines.append(f"* Coins to the level of every seed ({task.total:,.0f}: never reached): {spent}.")
    return lines


def by_seed(cells: dict[str, dict[str, dict]], figure: Callable[[dict], float], form: str) -> str:
    told_cells = (
        f"{cell} {', '.join(f'{figure(run):{form}} ({seed})' for seed, run in runs.items())}"
        for cell, runs in cells.items()
    )
    return "; ".join(told_cells)


def of_today(task: Task, results: dict[str, dict[str, dict]]) -> dict[str, dict[str, dict]]:
    """Cell, without the task's name -> seed -> its run with the settings of today."""
    kept: dict[str, dict[str, dict]] = {}
    for cell in task.cells:
        command = " ".join(("train.py", *task.arguments(cell), "seed="))
        by_seed = results.get(f"{task.name}-{cell}", {})
        runs = {seed: run for seed, run in sorted(by_seed.items()) if run["command"].startswith(command)}
        kept |= {cell: runs} if runs else {}
    return kept


def section(task: Task, cells: dict[str, Runs]) -> list[str]:
    title = f"## {task.name}: a label costs {task.price:g}, {task.total:,.0f} coins, {task.updates:,} updates"
    missing = [cell for cell in task.cells if cell not in cells]
    if not any(share_cell(share) in cells for share in task.shares):
        return ["", title, "", "No fixed share was run yet."]
    goal = goal_of(task, cells)
    rows = [row(cell, runs, cells, goal) for cell, runs in cells.items()]
    return [
        *("", title, "", f"Level: {goal.wanted:.1f} (random actions: {task.random_return:g}).", ""),
        *(f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *rows),
        *("", *optimum(task, cells, goal), *doubled(task, cells, goal), *methods(cells, goal)),
        f"* Not run: {', '.join(missing) or 'none'}. {commits(cells)}",
    ]


def commits(cells: dict[str, Runs]) -> str:
    """Which code made which cells."""
    made: dict[str, list[str]] = {}
    for cell, runs in cells.items():
        for one in sorted({run.get("commit", "unknown") for run in runs}):
            made.setdefault(one, []).append(cell)
    return "Commits: " + "; ".join(f"{one} ({', '.join(names)})" for one, names in made.items()) + "."


@dataclass(frozen=True)
class Goal:
    """What is to be reached, and the money that there is for it."""

    wanted: float  # return
    total: float  # coins

    def coins(self, runs: Runs) -> list[tuple[float, bool]]:
        return [coins(run, self.wanted, self.total) for run in runs]

    def log_coins(self, runs: Runs) -> list[float]:
        return [float(np.log(spent)) for spent, _ in self.coins(runs)]


def goal_of(task: Task, cells: dict[str, Runs]) -> Goal:
    """90 % of the way from random actions to where the best fixed share ends."""
    lasts = [
        float(np.mean([last_return(run) for run in cells[share_cell(share)]]))
        for share in task.shares
        if share_cell(share) in cells
    ]
    return Goal(task.random_return + 0.9 * (max(lasts) - task.random_return), task.total)


def smooth(run: dict) -> np.ndarray:
    """Each evaluation averaged with the one before: the one after was paid for by later coins."""
    values = np.array(run["return"])
    return np.array([values[max(0, one - 1) : one + 1].mean() for one in range(len(values))])


def last_return(run: dict) -> float:
    return float(smooth(run)[-1])


def mean_return(run: dict) -> float:
    return float(np.mean(run["return"][1:]))


def coins(run: dict, wanted: float, total: float) -> tuple[float, bool]:
    """Spent where the line through the smoothed returns first comes to `wanted`, and whether it does: else all the money."""
    points = list(zip(run["spent"], smooth(run).tolist(), strict=True))
    if points[0][1] >= wanted:
        return points[0][0], True
    for (spent, value), (later, higher) in pairwise(points):
        if higher >= wanted:
            return spent + (later - spent) * (wanted - value) / (higher - value), True
    return total, False


def row(cell: str, runs: Runs, cells: dict[str, Runs], goal: Goal) -> str:
    half = cells.get(HALF, [])
    bought = f"{runs[0]['transitions'][-1]:,.0f} : {runs[0]['labels'][-1]:,.0f}"
    parts = (
        cell,
        "; ".join(f"{'' if is_reached else '> '}{spent:,.0f}" for spent, is_reached in goal.coins(runs)),
        told(goal.log_coins(runs), np.exp, ",.0f"),
        "1" if cell == HALF else told_difference(goal.log_coins(runs), goal.log_coins(half), np.exp),
        told([last_return(run) for run in runs]),
        told([mean_return(run) for run in runs]),
        bought,
        f"{np.mean([run['minutes'] for run in runs]):.1f}",
    )
    return f"| {' | '.join(parts)} |"


def shares_of(cells: dict[str, Runs]) -> dict[int, Runs]:
    return {share: cells[share_cell(share)] for share in SHARES if share_cell(share) in cells}


def best_share(cells: dict[str, Runs], goal: Goal) -> int:
    """Of fewest coins to the level; of those that never come to it, the one of the highest mean return."""
    tried = shares_of(cells)
    return min(tried, key=lambda share: (np.mean(goal.log_coins(tried[share])), -mean(tried[share])))


def mean(runs: Runs) -> float:
    return float(np.mean([mean_return(run) for run in runs]))


def optimum(task: Task, cells: dict[str, Runs], goal: Goal) -> list[str]:
    """By coins and by mean return, and how sure that is."""
    tried = shares_of(cells)
    by = {
        "coins": {share: [-one for one in goal.log_coins(runs)] for share, runs in tried.items()},
        "mean return": {share: [mean_return(run) for run in runs] for share, runs in tried.items()},
    }
    told_by = []
    for name, values in by.items():
        best = best_share(cells, goal) if name == "coins" else max(values, key=lambda share: np.mean(values[share]))
        won = [f"{share} %: {part:.2f}" for share, part in wins(values).items() if part >= 0.05]
        sure = f" (of the resamples won: {'; '.join(won)})" if min(map(len, values.values())) > 1 else ""
        told_by.append(f"by {name} {best} %{sure}")
    return [f"* Best fixed share: {', '.join(told_by)}. Expected: {task.expected}."]


def doubled(task: Task, cells: dict[str, Runs], goal: Goal) -> list[str]:
    """What twice the updates change, at the shares where they were tried."""
    lines = []
    for share in task.doubled:
        once, twice = (cells.get(name, []) for name in (share_cell(share), twice_cell(share)))
        if once and twice:
            ratio = told_difference(goal.log_coins(twice), goal.log_coins(once), np.exp)
            gain = told_difference(list(map(last_return, twice)), list(map(last_return, once)))
            lines.append(
                f"* Twice the updates at {share} %: {ratio} times the coins, {gain} more at the end (1 and 0: compute is ample)."
            )
    return lines


def methods(cells: dict[str, Runs], goal: Goal) -> list[str]:
    """Coins of each method as a ratio to those of the best fixed share, which was chosen on the same seeds, and of half each."""
    lines, best = [], best_share(cells, goal)
    for method in METHODS:
        if method in cells:
            ours = goal.log_coins(cells[method])
            to_best = told_difference(ours, goal.log_coins(cells[share_cell(best)]), np.exp)
            half = f", half each {told_difference(goal.log_coins(cells[HALF]), ours, np.exp)} times those of it"
            lines.append(
                f"* {method} needs {to_best} times the coins of the best fixed share ({best} %){half if HALF in cells else ''}."
            )
    return lines
