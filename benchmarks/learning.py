"""Does it learn, from bought labels, in minutes on one core?

    python benchmarks/learning.py [--jobs 2] [--only NAME,...]

Each cell is one `train.py` process on one torch thread, from start to the end of its last evaluation; finished cells are
kept in the folder of runs and skipped on a rerun. Writes benchmarks/results/learning.json and learning.md. The figure of
a cell is the mean true return of ten episodes with mode actions at the last checkpoint, whatever it is.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

RESULTS = Path(__file__).parent / "results"
HALF = "allocator.name=fixed"  # of the spend on labels
COUPLED = ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0.0")


@dataclass(frozen=True)
class Cell:
    """A preset with settings, to be run with some seeds. `target` is a return, None where none was set beforehand."""

    name: str
    arguments: tuple[str, ...]
    seeds: tuple[int, ...]
    target: float | None = None
    minutes: float | None = None


# The reference cells buy as many transitions, with a label for each, and make as many updates: at price 4 that costs
# 2.5 times as much (total = transitions x (1 + 4)).
CELLS = [
    Cell("cartpole_swingup", ("quickstart", HALF), (0, 1, 2), 700, 20),
    Cell("cartpole_balance", ("quick_balance", HALF), (0, 1, 2), 950, 12),
    Cell("pendulum", ("quick_pendulum", HALF), (0, 1, 2), -200, 6),
    Cell("pendulum_label_30", ("quick_pendulum", HALF, "price.label=30"), (0, 1, 2), -200, 8),
    Cell("cartpole_v1", ("quick_cartpole", HALF), (0,), 400, 12),
    Cell("cartpole_swingup_adaptive", ("quickstart",), (0,), 700, 20),
    Cell("cartpole_swingup_coupled", ("quickstart", *COUPLED, "budget.total=120_000"), (0,)),
    Cell("cartpole_balance_coupled", ("quick_balance", *COUPLED, "budget.total=40_000"), (0,)),
    Cell("pendulum_coupled", ("quick_pendulum", *COUPLED, "budget.total=20_000"), (0,)),
    Cell("cartpole_v1_coupled", ("quick_cartpole", *COUPLED, "budget.total=50_000"), (0,)),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time, one thread each")
    parser.add_argument("--only", default="", help="names of cells, with commas; default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark_learning"))
    options = parser.parse_args()
    chosen = [cell for cell in CELLS if not options.only or cell.name in options.only.split(",")]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda job: run(*job, options.runs), [(cell, seed) for cell in chosen for seed in cell.seeds]))
    write(options.runs)


def run(cell: Cell, seed: int, runs: Path) -> None:
    folder = runs / f"{cell.name}-s{seed}"
    if (folder / "result.json").exists():
        return
    command = [sys.executable, "train.py", *cell.arguments, f"seed={seed}", "threads=1", f"run.dir={folder}"]
    shutil.rmtree(folder, ignore_errors=True)  # what a broken-off run left: the minutes must be of whole runs
    runs.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with open(runs / f"{cell.name}-s{seed}.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
    minutes = (time.monotonic() - start) / 60
    if status:
        raise SystemExit(f"{' '.join(command)} failed, see {log.name}")
    result = last_evaluation(folder) | {
        "minutes": minutes,
        "cpu_minutes": (usage.ru_utime + usage.ru_stime) / 60,
        "command": " ".join(command[1:-1]),
    }
    (folder / "result.json").write_text(json.dumps(result))
    print(f"{cell.name} seed {seed}: {result['return']:.1f} in {minutes:.1f} min", flush=True)


def last_evaluation(folder: Path) -> dict:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    evaluation = [row for row in rows if "eval/return" in row][-1]
    money = [row for row in rows if "budget/labels" in row][-1]
    return {
        "return": evaluation["eval/return"],
        "return_sampled": evaluation["eval/return_sampled"],
        "env_steps": evaluation["step"],
        "transitions": int(money["budget/transitions"]),
        "labels": int(money["budget/labels"]),
        "spent": money["budget/spent"],
        "updates": int(money["train/updates"]),
    }


def write(runs: Path) -> None:
    published = RESULTS / "learning.json"
    results = json.loads(published.read_text())["cells"] if published.exists() else {}
    for cell in CELLS:  # what was run here replaces what was published, the rest of it stays
        files = {seed: runs / f"{cell.name}-s{seed}" / "result.json" for seed in cell.seeds}
        found = {str(seed): json.loads(file.read_text()) for seed, file in files.items() if file.exists()}
        results[cell.name] = results.get(cell.name, {}) | found
    machine = f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread a run"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "learning.json").write_text(json.dumps({"machine": machine, "cells": results}, indent=1) + "\n")
    (RESULTS / "learning.md").write_text(table(results, machine))


def table(results: dict, machine: str) -> str:
    lines = [
        f"Made by `python benchmarks/learning.py --jobs 2` ({machine}). Mean true return of ten mode episodes at the last",
        "checkpoint, every seed shown; minutes are wall time, two runs side by side.",
        "",
        "| cell | returns (seeds in order) | median | target | minutes | limit | transitions | labels | coins | updates |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in CELLS:
        rows = [results[cell.name][str(seed)] for seed in cell.seeds if str(seed) in results[cell.name]]
        if rows:
            lines.append(row_of(cell, rows))
    return "\n".join(lines) + "\n"


def row_of(cell: Cell, rows: list[dict]) -> str:
    middle = median(row["return"] for row in rows)
    slowest = max(row["minutes"] for row in rows)
    if cell.target is None:
        target, limit = "-", "-"
    else:
        target = f"{cell.target:g} {'met' if middle >= cell.target else 'MISSED'}"
        limit = f"{cell.minutes:g} {'met' if slowest <= cell.minutes else 'MISSED'}"
    returns = ", ".join(f"{row['return']:.0f}" for row in rows)
    minutes = ", ".join(f"{row['minutes']:.1f}" for row in rows)
    bought = f"{rows[0]['transitions']:,} | {rows[0]['labels']:,} | {rows[0]['spent']:,.0f} | {rows[0]['updates']:,}"
    return f"| {cell.name} | {returns} | {middle:.0f} | {target} | {minutes} | {limit} | {bought} |"


if __name__ == "__main__":
    main()
