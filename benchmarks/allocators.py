"""What does it cost to learn? Return against spend for each way to split the money (experiment C).

    python benchmarks/allocators.py [--jobs 2] [--seeds 3] [--only pendulum_10,...]

Pendulum-v1 at label prices 10 and 100 and cartpole swing-up at price 10, with so little money that data is scarce. Every
method has the same money and, by one rule, the same number of updates ("updates"), by the other the same number of
updates for each transition ("ratio"): coupled buying gets few transitions and replays them more often at equal updates,
which may help or hurt it. Finished cells are kept in benchmarks/results/allocators.json and skipped on a rerun.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from cells import Cell, run_cells

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
    options = parser.parse_args()
    chosen = [cell for cell in cells(options.seeds) if cell.name.startswith(tuple(options.only.split(",")))]
    run_cells(chosen, options.jobs, options.runs, KEPT)


def cells(seeds: int) -> list[Cell]:
    return [
        Cell(f"{task.name}_{method}_{rule}", arguments(task, method, rule), tuple(range(min(seeds, task.seeds))))
        for task in TASKS
        for method in task.methods
        for rule in RULES
        if (method, rule) != ("fifty_fifty", "ratio")  # the two rules are the same there
    ]


def arguments(task: Task, method: str, rule: str) -> tuple[str, ...]:
    total = task.coupled_total if method == "coupled" else task.total
    compute = (f"train.updates={task.updates}",)
    if rule == "ratio":
        compute = ("train.updates=null", f"train.ratio={task.replays}")
    money = (f"price.label={task.price:g}", f"budget.total={total:g}")
    return (*task.settings, *money, *METHODS[method], *compute, *EVALUATE)


if __name__ == "__main__":
    main()
