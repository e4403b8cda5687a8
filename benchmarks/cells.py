"""Cells of a benchmark: `train.py` processes on one thread each, whose results are kept in a JSON file and not made twice."""

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import yaml

from tandem.training.settings import load_config, to_yaml

MACHINE = (
    f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, one thread a run"
)
_writing = threading.Lock()


@dataclass(frozen=True)
class Cell:
    """A preset with settings, to be run with some seeds."""

    name: str
    arguments: tuple[str, ...]
    seeds: tuple[int, ...]


def run_cells(cells: list[Cell], jobs: int, runs: Path, kept: Path) -> dict[str, dict[str, dict]]:
    """Run what `kept` (JSON) does not hold yet, `jobs` processes at a time, seed by seed. -> cell -> seed -> result.

    A result is what `read_run` gives, with the minutes taken, the command, and the commit of this checkout. Results of
    another command under the same name are made again.
    """
    work = [(cell, seed) for seed in _in_order(cells) for cell in cells if seed in cell.seeds]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda one: _run(*one, runs, kept), work))
    return load(kept)


def load(kept: Path) -> dict[str, dict[str, dict]]:
    return json.loads(kept.read_text())["cells"] if kept.exists() else {}


@cache
def commit() -> str:
    """Of this checkout, with a + where files were changed since; "unknown" where git does not say."""
    asked = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    folder = Path(__file__).parent
    try:
        return subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _in_order(cells: list[Cell]) -> list[int]:
    return sorted({seed for cell in cells for seed in cell.seeds})


def _run(cell: Cell, seed: int, runs: Path, kept: Path) -> None:
    arguments = [*cell.arguments, f"seed={seed}", "threads=1"]
    command = "train.py " + " ".join(arguments)
    if load(kept).get(cell.name, {}).get(str(seed), {}).get("command") == command:
        return
    folder = runs / f"{cell.name}-s{seed}"
    shutil.rmtree(folder, ignore_errors=True)  # what a broken-off run left: minutes and curves must be of whole runs
    runs.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with open(runs / f"{cell.name}-s{seed}.log", "w") as log:
        process = subprocess.run(
            [sys.executable, "train.py", *arguments, f"run.dir={folder}"],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,  # a cell that fails is told below, the others go on
        )
    minutes = (time.monotonic() - start) / 60
    if process.returncode:
        print(f"{cell.name} seed {seed}: FAILED, see {log.name}", flush=True)
        return
    result = read_run(folder) | {"minutes": round(minutes, 2), "command": command, "commit": commit()}
    keep(kept, cell.name, str(seed), result)
    print(f"{cell.name} seed {seed}: {result['return'][-1]:.1f} in {minutes:.1f} min", flush=True)


def keep(kept: Path, name: str, seed: str, result: dict) -> None:
    with _writing:
        cells = load(kept)
        cells.setdefault(name, {})[seed] = result
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(".tmp")
        temporary.write_text(json.dumps({"machine": MACHINE, "cells": cells}) + "\n")
        os.replace(temporary, kept)


# What is kept of each phase's end, where the run has measured it: the name here, and the key in metrics.jsonl.
COLUMNS = {
    "return": "eval/return",
    "return_sampled": "eval/return_sampled",
    "spent": "budget/spent",
    "transitions": "budget/transitions",
    "labels": "budget/labels",
    "updates": "train/updates",
    "gap_dynamics": "gap/dynamics",
    "gap_reward": "gap/reward",
    "explained_variance": "gap/explained_variance",
    "gap_true": "eval/imagined_gap",
    "rho": "smoothness/rho",
    "dynamics_error": "smoothness/dynamics_error",
    "bound_lemma": "bound/lemma",
    "bound_horizon": "bound/horizon",
}


def read_run(folder: Path) -> dict[str, list[float]]:
    """Column -> its value at the end of every phase (the pilot first), None where there is none."""
    phases: list[dict[str, float]] = []
    is_open = False  # between an evaluation and the account of the money that ends its phase
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if "eval/return" in row:
            phases.append({})
            is_open = True
        if is_open:
            phases[-1] |= row
            is_open = "budget/labels" not in row
    return {name: [phase.get(key) for phase in phases] for name, key in COLUMNS.items()}


def kept_runs(results: dict[str, dict[str, dict]]) -> dict:
    """Cells that were kept as `tandem compare` reads runs, once this is a JSON file.

    Their settings are those that today's program makes of their commands; nobody kept when an evaluation was made.
    """
    runs = [_kept_run(f"{name}-s{seed}", run) for name, by_seed in results.items() for seed, run in by_seed.items()]
    return {"runs": runs}


def _kept_run(name: str, run: dict) -> dict:
    _, *arguments, seed, _ = run["command"].split()
    configuration = _configuration(tuple(arguments)) | {"seed": int(seed.removeprefix("seed="))}
    columns = ("spent", "transitions", "labels", "updates", "return", "return_sampled")
    evaluations = [
        {
            "phase": phase,
            "step": transitions * configuration["envs"]["repeat"],
            "spent": spent,
            "transitions": transitions,
            "labels": labels,
            "updates": updates,
            "hours": None,
            "return_mode": mode,
            "return_sampled": sampled,
        }
        for phase, (spent, transitions, labels, updates, mode, sampled) in enumerate(
            zip(*(run[column] for column in columns), strict=True)
        )
    ]
    return {"name": name, "configuration": configuration, "evaluations": evaluations, "is_over": True}


@cache
def _configuration(arguments: tuple[str, ...]) -> dict:
    return yaml.safe_load(to_yaml(load_config(list(arguments))))
