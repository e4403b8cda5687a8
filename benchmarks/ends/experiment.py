"""Does adaptive buying find the best split where it lies at one end? Fixed shares first, then the methods beside them.

    python benchmarks/ends [--jobs 1] [--seeds 5] [--only gears,hills-share_05,...] [--table]

Four tasks: `gears` has easy rewards and hard dynamics, `hills` easy dynamics and noisy rewards (worlds.py), `pendulum` and
`swingup` are those of allocators.py. A cell is a task with a fixed share of the spend on labels, with a share and twice the
updates (which must not help, or compute is what is short), or with a method. All cells of a task have the same money.
Finished cells are kept in benchmarks/results/ends.json and skipped on a rerun.
"""

import argparse
from pathlib import Path

from cells import Cell, load, run_cells
from drawing import save

from .figure import figure
from .report import report
from .settings import TASKS

RESULTS = Path(__file__).resolve().parents[1] / "results"
KEPT = RESULTS / "ends.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time, one thread each")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ..., so many of each")
    parser.add_argument("--only", default="", help="beginnings of names of cells, with commas; default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark_ends"))
    parser.add_argument("--table", action="store_true", help="run nothing, write the table and figure of what is kept")
    options = parser.parse_args()
    if not options.table:
        chosen = [cell for cell in cells(options.seeds) if cell.name.startswith(tuple(options.only.split(",")))]
        run_cells(chosen, options.jobs, options.runs, KEPT)
    text = report(load(KEPT))
    (RESULTS / "ends.md").write_text(text)
    save(figure(load(KEPT)), RESULTS / "ends.png")
    print(text)


def cells(seeds: int) -> list[Cell]:
    return [
        Cell(f"{task.name}-{name}", task.arguments(name), tuple(range(seeds))) for task in TASKS for name in task.cells
    ]
