"""What makes small presets dream badly? Settings of the dynamics model, one at a time, by coins and by their dreams.

    python benchmarks/dreams [--jobs 1] [--threads 1] [--seeds 5] [--only pendulum-free_nats,...] [--table]

A cell is a task with a setting and a seed: a `train.py` that spends half on labels (the allocator is fixed, so that what
is bought is the same) and makes the same number of updates. It is judged by the coins at the first evaluation that
reaches 90 % of a good return, and then by its dreams: the models of every phase are held against ONE block of fresh
episodes that nothing was trained on, played by the policy of the run's end, and against one played by chance, whose
episodes are the same under every setting of a task and seed. Finished cells are kept in benchmarks/results/dreams.json and
skipped on a rerun; one that is trained and not measured yet is only measured.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from cells import Cell, keep, load, read_run

from .measure import measure
from .report import report
from .settings import COMMON, SETTINGS, TASKS

RESULTS = Path(__file__).resolve().parents[1] / "results"
KEPT = RESULTS / "dreams.json"
KEPT_OF_RUN = ("return", "return_sampled", "spent", "transitions", "labels", "updates", "gap_true")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time")
    parser.add_argument("--threads", type=int, default=1, help="of torch in each")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ..., so many of each")
    parser.add_argument("--only", default="", help="beginnings of names of cells, with commas; default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark_dreams"))
    parser.add_argument("--table", action="store_true", help="run nothing, write the table of what is kept")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.table:
        chosen = [cell for cell in cells(options.seeds) if cell.name.startswith(tuple(options.only.split(",")))]
        work = [(cell, seed) for seed in range(options.seeds) for cell in chosen]
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda one: run(*one, options.threads, options.runs), work))
    print(write())


def cells(seeds: int) -> list[Cell]:
    return [
        Cell(f"{task.name}-{name}", (*task.settings, *COMMON, *setting), tuple(range(seeds)))
        for task in TASKS
        for name, setting in SETTINGS.items()
    ]


def run(cell: Cell, seed: int, threads: int, runs: Path) -> None:
    """Train and measure, unless that is kept; a cell that fails is told, the others go on."""
    command = ["train.py", *cell.arguments, f"seed={seed}", f"threads={threads}"]
    if load(KEPT).get(cell.name, {}).get(str(seed), {}).get("command") == " ".join(command):
        return
    folder = runs / f"{cell.name}-s{seed}"
    trained = train(command, folder)
    if trained is None:
        print(f"{cell.name} seed {seed}: FAILED, see {folder}.log", flush=True)
        return
    seen = read_run(folder)
    dreams = {name: rounded(columns) for name, columns in measure(folder).items()}
    keep(KEPT, cell.name, str(seed), rounded({key: seen[key] for key in KEPT_OF_RUN}) | {"dreams": dreams} | trained)
    write()
    print(f"{cell.name} seed {seed}: {seen['return'][-1]:.1f} in {trained['minutes']:.1f} min", flush=True)


def train(command: list[str], folder: Path) -> dict | None:
    """The command and the minutes that it took, from `trained.json` in the folder if it was run before. None: it failed."""
    done, told = folder / "trained.json", " ".join(command)
    if done.exists() and (found := json.loads(done.read_text()))["command"] == told:
        return found
    shutil.rmtree(folder, ignore_errors=True)  # what a broken-off run left: minutes and curves must be of whole runs
    folder.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with open(f"{folder}.log", "w") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": command[-1].partition("=")[2]}
        arguments = [sys.executable, *command, f"run.dir={folder}"]
        process = subprocess.run(arguments, stdout=log, stderr=log, env=environment, check=False)
    if process.returncode:
        print(f"{folder.name}: exit status {process.returncode}", flush=True)
        return None
    found = {"command": told, "minutes": round((time.monotonic() - start) / 60, 2)}
    done.write_text(json.dumps(found))
    return found


def rounded(columns: dict[str, list]) -> dict[str, list]:
    return {key: [None if v is None else float(f"{v:.5g}") for v in values] for key, values in columns.items()}


def write() -> str:
    """The tables of what is kept, into dreams.md."""
    text = report(load(KEPT))
    (RESULTS / "dreams.md").write_text(text)
    return text
