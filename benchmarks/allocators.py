"""What does it cost to learn? Return against spend for each way to split the money (experiment C).

    python benchmarks/allocators.py [--jobs 2] [--seeds 3] [--only pendulum_10,...]
    python benchmarks/allocators.py --compare DIR    # of the kept runs: tables, bands and curves of `tandem compare`

Pendulum-v1 at label prices 10 and 100 and cartpole swing-up at price 10, with so little money that data is scarce. Every
method has the same money and, by one rule, the same number of updates ("updates"), by the other the same number of
updates for each transition ("ratio"): coupled buying gets few transitions and replays them more often at equal updates,
which may help or hurt it. Finished cells are kept in benchmarks/results/allocators.json and skipped on a rerun.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import tandem.cli
from cells import MACHINE, Cell, kept_runs, load, run_cells
from drawing import decade_log, save

RESULTS = Path(__file__).parent / "results"
KEPT = RESULTS / "allocators.json"
METHODS = {
    "adaptive": ("allocator.name=adaptive",),
    "fifty_fifty": ("allocator.name=fixed", "allocator.label_share=0.5"),
    "labels_20": ("allocator.name=fixed", "allocator.label_share=0.2"),
    "labels_80": ("allocator.name=fixed", "allocator.label_share=0.8"),
    "coupled": ("allocator.name=coupled",),
}
RULES = ("updates", "ratio")
COLORS = ("#D55E00", "#0072B2", "#56B4E9", "#009E73", "#000000")  # in the order of METHODS


@dataclass(frozen=True)
class Task:
    """A market: what is for sale, the money for it, and how much is computed."""

    name: str
    settings: tuple[str, ...]
    price: float
    total: float
    updates: int  # at equal updates
    methods: tuple[str, ...]
    seeds: int
    random_return: float  # of uniform actions: the return that no coin buys
    coupled_total: float  # of coupled buying, which could not even begin to learn with `total`: money for 1,090 pairs

    @property
    def replays(self) -> float:
        """Replayed steps for each transition at equal ratio: those of half of the spend on labels at equal updates."""
        return round(self.updates * 16 * 16 / (self.total / 2), 3)


EVALUATE = ("evaluate.episodes=8", "evaluate.envs=8", "train.anneal=false")
TASKS = (
    Task("pendulum_10", ("quick_pendulum",), 10, 4_000, 1_500, tuple(METHODS), 5, -1250, 12_000),
    Task("pendulum_100", ("quick_pendulum",), 100, 8_000, 1_500, tuple(METHODS), 5, -1250, 110_000),
    Task("swingup_10", ("quickstart",), 10, 24_000, 4_000, ("adaptive", "fifty_fifty", "coupled"), 3, 30, 24_000),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, one thread each")
    parser.add_argument("--seeds", type=int, default=5, help="the first so many; default: all")
    parser.add_argument("--only", default="", help="beginnings of names of cells, with commas; default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark_allocators"))
    parser.add_argument("--compare", type=Path, metavar="DIR", help="run nothing: compare the kept runs, write there")
    options = parser.parse_args()
    if options.compare:
        compare_kept(options.compare)
        return
    chosen = [cell for cell in cells(options.seeds) if cell.name.startswith(tuple(options.only.split(",")))]
    results = run_cells(chosen, options.jobs, options.runs, KEPT)
    report = "\n".join(line for task in TASKS for line in table(task, results))
    (RESULTS / "allocators.md").write_text(f"Made by `python benchmarks/allocators.py` ({MACHINE}).\n{report}\n")
    save(figure(results), RESULTS / "allocators.png")
    print(report)


def compare_kept(out: Path) -> None:
    """A folder a task: what `tandem compare` says of its kept runs at the level of the tables."""
    results = load(KEPT)
    out.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        mine = {name: by_seed for name, by_seed in results.items() if name.startswith(f"{task.name}_")}
        runs = out / f"{task.name}.json"
        runs.write_text(json.dumps(kept_runs(mine)))
        wanted = ("--level", repr(float(level(results, task))), "--out", str(out / task.name))
        tandem.cli.main(["compare", str(runs), *wanted])


def cells(seeds: int) -> list[Cell]:
    return [
        Cell(f"{task.name}_{method}_{rule}", arguments(task, method, rule), tuple(range(min(seeds, task.seeds))))
        for task in TASKS
        for method in task.methods
        for rule in RULES
        if (method, rule) != ("fifty_fifty", "ratio")  # what the ratio is taken from
    ]


def arguments(task: Task, method: str, rule: str) -> tuple[str, ...]:
    total = task.coupled_total if method == "coupled" else task.total
    compute = (f"train.updates={task.updates}",)
    if rule == "ratio":
        compute = ("train.updates=null", f"train.ratio={task.replays}")
    money = (f"price.label={task.price:g}", f"budget.total={total:g}")
    return (*task.settings, *money, *METHODS[method], *compute, *EVALUATE)


def by_seed(results: dict, task: Task, method: str, rule: str) -> dict[str, dict]:
    """Results of the seeds that have been run, {"spent": [...], "return": [...], ...} each."""
    return results.get(f"{task.name}_{method}_{'updates' if method == 'fifty_fifty' else rule}", {})


def curves(results: dict, task: Task, method: str, rule: str) -> list[dict]:
    return [run for _, run in sorted(by_seed(results, task, method, rule).items())]


def level(results: dict, task: Task) -> float:
    """90 % of the way from the return of random actions to the best last return, mean over seeds, of any method."""
    lasts = [
        np.mean([run["return"][-1] for run in runs])
        for method in task.methods
        for rule in RULES
        if (runs := curves(results, task, method, rule))
    ]
    return task.random_return + 0.9 * (max(lasts) - task.random_return)


def spend_to_reach(runs: list[dict], wanted: float) -> tuple[float, bool]:
    """Median over seeds of the coins at the first evaluation that reaches `wanted`, and whether that many seeds did.

    A seed that never reaches it counts as infinite; where the median is, the most that was spent stands for it.
    """
    spends = [
        next((s for s, r in zip(run["spent"], run["return"], strict=True) if r >= wanted), np.inf) for run in runs
    ]
    middle = float(np.sort(spends)[len(spends) // 2])  # of an even number the dearer one
    return (middle, True) if np.isfinite(middle) else (max(run["spent"][-1] for run in runs), False)


def table(task: Task, results: dict) -> list[str]:
    if not any(curves(results, task, method, rule) for method in task.methods for rule in RULES):
        return []
    wanted = level(results, task)
    lines = [
        "",
        f"## {task.name}: a label costs {task.price:g}, {task.total:,.0f} coins ({task.coupled_total:,.0f} for coupled)",
        "",
        f"Level: {wanted:.0f}, 90 % of the way from random actions ({task.random_return:g}) to the best method's last return.",
        "",
        "| method | rule | last return, every seed | transitions : labels | updates | coins to the level |",
        "|---|---|---|---|---|---|",
    ]
    for method in task.methods:
        for rule in RULES[: 1 if method == "fifty_fifty" else 2]:
            if runs := curves(results, task, method, rule):
                lines.append(row(method, rule, runs, spend_to_reach(runs, wanted)))
    return [*lines, "", headline(results, task, wanted)]


def row(method: str, rule: str, runs: list[dict], spend: tuple[float, bool]) -> str:
    lasts = ", ".join(f"{run['return'][-1]:.0f}" for run in runs)
    bought = "; ".join(f"{run['transitions'][-1]:,.0f} : {run['labels'][-1]:,.0f}" for run in runs[:3])
    updates = f"{np.mean([run['updates'][-1] for run in runs]):,.0f}"
    return f"| {method} | {rule} | {lasts} | {bought} | {updates} | {amount(spend)} |"


def headline(results: dict, task: Task, wanted: float) -> str:
    """Coins of the allocator as a ratio to coupled and to half of the spend, at equal updates, on the seeds that all have:
    half of the spend has no other rule, and the better of two is too good."""
    runs = {method: by_seed(results, task, method, "updates") for method in ("adaptive", "coupled", "fifty_fifty")}
    seeds = set.intersection(*map(set, runs.values()))
    if not seeds:
        return "No headline: one of its methods was not run yet."
    reached = {method: spend_to_reach([found[seed] for seed in seeds], wanted) for method, found in runs.items()}
    ours, is_ours = reached.pop("adaptive")
    parts = []
    for other, (theirs, is_theirs) in reached.items():
        sign = "" if is_ours and is_theirs else "> " if is_ours else "(adaptive did not reach it) "
        parts.append(f"{other} needs {sign}{theirs / ours:.2f} times the coins of adaptive")
    more = (
        ""
        if task.coupled_total == task.total
        else f"; coupled had {task.coupled_total / task.total:.3g} times the money"
    )
    return f"**Headline** (equal updates, seeds {', '.join(sorted(seeds))}): " + "; ".join(parts) + more + "."


def amount(spend: tuple[float, bool]) -> str:
    return f"{'' if spend[1] else '> '}{spend[0]:,.0f}"


def figure(results: dict) -> Figure:
    """A row a task, a column a rule: mean over seeds and, faint, every seed."""
    shown = [
        task for task in TASKS if any(curves(results, task, method, rule) for method in task.methods for rule in RULES)
    ]
    picture = Figure(figsize=(9.0, 3.1 * len(shown)), layout="constrained")
    grid = picture.subplots(len(shown), len(RULES), squeeze=False, sharey="row")
    for task, line in zip(shown, grid, strict=True):
        for rule, axes in zip(RULES, line, strict=True):
            for method, color in zip(METHODS, COLORS, strict=True):
                draw(axes, curves(results, task, method, rule), method, color)
            axes.axhline(level(results, task), color="#666666", linewidth=0.8, linestyle="--")
            axes.set_xscale("log")
            decade_log(axes.xaxis)
            axes.set_title(f"{task.name}, equal {rule}", fontsize=9)
            axes.tick_params(labelsize=8)
            axes.grid(True, color="#DDDDDD", linewidth=0.6)
        line[0].set_ylabel("true return", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("coins spent", fontsize=9)
    picture.legend(
        *grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8, frameon=False
    )
    return picture


def draw(axes: Axes, runs: list[dict], method: str, color: str) -> None:
    if not runs:
        return
    for run in runs:
        axes.plot(run["spent"], run["return"], color=color, linewidth=0.6, alpha=0.35)
    spent = np.mean([run["spent"] for run in runs], axis=0)
    axes.plot(spent, np.mean([run["return"] for run in runs], axis=0), color=color, linewidth=1.8, label=method)


if __name__ == "__main__":
    main()
