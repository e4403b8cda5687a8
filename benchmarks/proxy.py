"""Does the measured gap rank the true one? And where does the allocator not see what matters? (experiments F and G)

    python benchmarks/proxy.py [--jobs 2]

F reads the runs that benchmarks/allocators.py has kept: at every phase's end, the measured gap/dynamics + gap/reward, and
the true gap: how far the critic is from the true discounted returns of evaluated episodes (eval/imagined_gap). The true
one reads rewards that were not bought, so it lives here and in the eyes alone, never in an allocator. G makes three runs
that are expected to fail, and prints what the allocator believed. Finished cells are kept and skipped on a rerun.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from cells import MACHINE, Cell, load, run_cells
from drawing import decade_log, save

RESULTS = Path(__file__).parent / "results"
RUNS_OF_ALLOCATORS, KEPT = RESULTS / "allocators.json", RESULTS / "failures.json"
TASKS = ("pendulum_10", "pendulum_100", "swingup_10")
LEAST_EXPLAINED = 0.2  # below, the allocator falls back and does not use what was measured

PENDULUM = ("quick_pendulum", "price.label=10", "train.anneal=false", "evaluate.episodes=8", "evaluate.envs=8")
FAILURES = [
    # The reward is +100 at a goal that random actions do not find, and a cost of acting before: nothing to tell apart.
    Cell("exploration", (*PENDULUM, "task=gym:MountainCarContinuous-v0", "envs.repeat=4", "budget.total=4000"), (0,)),
    # A dynamics model too small for the task: its error is a floor that no transition lowers.
    Cell(
        "capacity",
        (*PENDULUM, "budget.total=4000", "dynamics.deter=8", "dynamics.hidden=4", "dynamics.stoch=2"),
        (0,),
    ),
    Cell("tiny_budget", (*PENDULUM, "budget.total=1000"), (0,)),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark_failures"))
    options = parser.parse_args()
    points = {task: points_of(task, load(RUNS_OF_ALLOCATORS)) for task in TASKS}
    failures = run_cells(FAILURES, options.jobs, options.runs, KEPT)
    report = "\n".join([*rank_table(points), "", *failure_table(failures)])
    (RESULTS / "proxy.md").write_text(f"Made by `python benchmarks/proxy.py` ({MACHINE}).\n\n{report}\n")
    if shown := {task: rows for task, rows in points.items() if len(rows)}:
        save(figure(shown), RESULTS / "proxy.png")
    print(report)


def points_of(task: str, results: dict) -> np.ndarray:
    """(P, 6): run, phase, measured dynamics gap, measured reward gap, explained variance, true gap."""
    runs = [run for name, seeds in sorted(results.items()) if name.startswith(task + "_") for run in seeds.values()]
    rows = [
        (number, phase, *values)
        for number, run in enumerate(runs)
        for phase, values in enumerate(
            zip(run["gap_dynamics"], run["gap_reward"], run["explained_variance"], run["gap_true"], strict=True)
        )
        if None not in values
    ]
    return np.array(rows, float).reshape(-1, 6)


def rank_table(points: dict[str, np.ndarray]) -> list[str]:
    lines = [
        "## F. Rank correlation of the measured with the true gap",
        "",
        "Spearman's rho over checkpoints. `all`: every phase of every run; `trusted`: phases whose critic explains at least",
        f"{LEAST_EXPLAINED:g} of the held-out returns' variance, the only ones that version 0.1 acted on; `within runs`: the",
        "mean over runs of rho along a run's trusted phases; `last`: across runs, last phases only. Points in brackets.",
        "",
        "| task | measured | all | trusted | within runs | last | median measured / true |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, rows in points.items():
        for name, measured in measures(rows).items() if len(rows) else ():
            lines.append(rank_row(task, name, rows, measured))
    return lines


def measures(rows: np.ndarray) -> dict[str, np.ndarray]:
    return {"dynamics + reward": rows[:, 2] + rows[:, 3], "dynamics": rows[:, 2], "reward": rows[:, 3]}


def rank_row(task: str, name: str, rows: np.ndarray, measured: np.ndarray) -> str:
    true, trusted = rows[:, 5], rows[:, 4] >= LEAST_EXPLAINED
    runs = [np.flatnonzero((rows[:, 0] == run) & trusted) for run in np.unique(rows[:, 0])]
    along = [spearmanr(measured[i], true[i]).statistic for i in runs if len(i) >= 4]
    within = f"{np.nanmean(along):.2f} ({len(along)} runs)" if along else "-"
    last = np.array([np.flatnonzero(rows[:, 0] == run)[-1] for run in np.unique(rows[:, 0])])
    ratio = f"{np.median(measured[trusted] / true[trusted]):.1f}" if trusted.any() else "-"
    cells = [rho(measured, true), rho(measured[trusted], true[trusted]), within, rho(measured[last], true[last]), ratio]
    return f"| {task} | {name} | " + " | ".join(cells) + " |"


def rho(measured: np.ndarray, true: np.ndarray) -> str:
    return f"{spearmanr(measured, true).statistic:.2f} ({len(true)})" if len(true) >= 4 else f"- ({len(true)})"


def failure_table(results: dict) -> list[str]:
    lines = [
        "## G. Failures, on purpose",
        "",
        "What adaptive buying believed at the end, and what came of it.",
        "",
        "| run | returns of the first and the last evaluation | transitions : labels | measured gap, dynamics + reward | true gap | explained variance |",
        "|---|---|---|---|---|---|",
    ]
    for cell in FAILURES:
        for run in results.get(cell.name, {}).values():
            bought = f"{run['transitions'][-1]:,.0f} : {run['labels'][-1]:,.0f}"
            gaps = " + ".join(number(run[name][-1]) for name in ("gap_dynamics", "gap_reward"))
            last = f"{number(run['gap_true'][-1])} | {number(run['explained_variance'][-1])}"
            lines.append(
                f"| {cell.name} | {run['return'][0]:.1f}, {run['return'][-1]:.1f} | {bought} | {gaps} | {last} |"
            )
    return lines


def number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g}"


def figure(points: dict[str, np.ndarray]) -> Figure:
    """Measured against true gap, a panel a task, both axes in return units; faint where the critic is not trusted."""
    picture = Figure(figsize=(3.4 * len(points), 3.2), layout="constrained")
    for axes, (task, rows) in zip(picture.subplots(1, len(points), squeeze=False)[0], points.items(), strict=True):
        measured, true, trusted = rows[:, 2] + rows[:, 3], rows[:, 5], rows[:, 4] >= LEAST_EXPLAINED
        for kept, alpha, label in ((~trusted, 0.25, "critic not trusted"), (trusted, 0.8, "trusted")):
            axes.scatter(true[kept], measured[kept], s=10, color="#0072B2", alpha=alpha, linewidth=0, label=label)
        limits = [min(true.min(), measured.min()), max(true.max(), measured.max())]
        axes.plot(limits, limits, color="#666666", linewidth=0.8, linestyle="--", label="equal")
        axes.set(xscale="log", yscale="log", xlabel="true gap", ylabel="measured gap", title=task)
        decade_log(axes.xaxis)
        decade_log(axes.yaxis)
        axes.legend(fontsize=7, frameon=False)
    return picture


if __name__ == "__main__":
    main()
