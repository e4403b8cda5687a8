"""How does the time of an update grow with the model, with the batch, and with the processes that share it?

    python benchmarks/scaling [--sizes nano,small,12m] [--batches 4,8,16,32] [--updates 3]

Updates of `benchmarks/speed.py` from vectors, decoupled, one torch thread. Sizes at 16 x 64 rows; batches at `small`; one and two
processes at `small` and `12m`, started by torchrun, each with half of the batch. Shares are of the update: the reward model's own
learning, of its parts; the allocator's, of the seconds that a run of the quickstart spends on measuring and planning. Writes
benchmarks/results/scaling.md, scaling.json and scaling.png. Time it on an idle machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import drawing
from cells import MACHINE
from speed import time_updates
from tandem.watch import shares

RESULTS = Path(__file__).parents[1] / "results"
ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="nano,small,1m,12m,25m")
    parser.add_argument("--batches", default="2,4,8,16,32")
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    found: dict = {"machine": MACHINE, "sizes": [], "batches": [], "processes": {}}
    for size in options.sizes.split(","):
        found["sizes"].append(measured(size, (), options.updates))
    for batch in options.batches.split(","):
        found["batches"].append({"batch": int(batch)} | measured("small", (f"train.batch={batch}",), options.updates))
    for size in ("small", "12m"):
        found["processes"][size] = {str(number): milliseconds_of(size, number) for number in (1, 2)}
    found["run"] = shares_of_a_run()
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "scaling.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.results / "scaling.md").write_text(report(found))
    drawing.save(figure(found), options.results / "scaling.png")


def measured(size: str, settings: tuple[str, ...], updates: int) -> dict:
    """A row of speed.py, in a process of its own."""
    with get_context("spawn").Pool(1) as process:
        row = process.apply(time_updates, (size, "vector", "decoupled", 1, settings, "eager", updates))
    print(f"{size} {' '.join(settings)}: {row['ms_median']:.1f} ms", flush=True)
    return {name: row[name] for name in ("size", "parameters", "ms_median", "ms_min", "gflop", "ms_by_part")}


def milliseconds_of(size: str, processes: int) -> float:
    """Milliseconds of an update in a run on `toy_lq` that torchrun starts; the first ones are left out."""
    updates = 60 if size == "small" else 12
    settings = [
        f"size_{size}", "task=toy_lq", "budget.total=6000", "allocator.phases=1", f"train.updates={updates}", "threads=1",
        "evaluate.episodes=0", "log.figures=false", "log.every_updates=2",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        rows = rows_of_run(folder, launch, settings)
    counted = [(row["train/updates"], row["time/update_seconds"]) for row in rows if "time/update_seconds" in row]
    each = [1e3 * seconds / (done - before) for (before, _), (done, seconds) in pairwise(counted) if done > before]
    milliseconds = float(np.median(each[1:]))
    print(f"{size}, {processes} processes: {milliseconds:.1f} ms", flush=True)
    return milliseconds


def shares_of_a_run() -> dict[str, float]:
    """Of the wall time of a short quickstart, by part, as its watch says."""
    settings = ["budget.total=6000", "train.updates=1000", "allocator.phases=4"]
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_of_run(folder, [], settings)
    seconds: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            if name.startswith("time/") and name.endswith("_seconds"):
                part = name.removeprefix("time/").removesuffix("_seconds")
                seconds[part] = seconds.get(part, 0.0) + value
    return shares(seconds)


def rows_of_run(folder: str, launch: list[str], settings: list[str]) -> list[dict]:
    command = [sys.executable, *launch, str(ROOT / "train.py"), *settings, f"run.dir={folder}/run"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True, timeout=1800)
    return [json.loads(line) for line in (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()]


def report(found: dict) -> str:
    lines = [
        f"Made by `python benchmarks/scaling` ({found['machine']}). Decoupled, three members, 24 numbers, horizon 15, eager.",
        "",
        "| size | parameters | batch | ms (median) | GFLOP | reward model's learning |",
        "|---|---|---|---|---|---|",
    ]
    rows = [{"batch": 16} | row for row in found["sizes"]] + found["batches"]
    for row in rows:
        part = row["ms_by_part"]["reward"] / sum(row["ms_by_part"].values())
        million = row["parameters"] / 1e6
        lines.append(
            f"| {row['size']} | {million:.2f} M | {row['batch']} x 64 | {row['ms_median']:.0f} | {row['gflop']:.0f} | {part:.1%} |"
        )
    lines += ["", "| processes on one machine | " + " | ".join(found["processes"]) + " |", "|---|---|---|"]
    for number in ("1", "2"):
        each = (f"{times[number]:.0f} ms" for times in found["processes"].values())
        lines.append(f"| {number} | {' | '.join(each)} |")
    told = ", ".join(f"{part} {share:.1%}" for part, share in sorted(found["run"].items(), key=lambda one: -one[1]))
    return "\n".join([*lines, "", f"Where the wall time of a short quickstart goes: {told}.", ""])


def figure(found: dict) -> Figure:
    picture = Figure(figsize=(9, 3.8), layout="constrained")
    by_size, by_batch = picture.subplots(1, 2)
    for axes, rows, name, label in (
        (by_size, found["sizes"], "parameters", "parameters, batch 16 x 64"),
        (by_batch, found["batches"], "batch", "sequences of 64 rows, size small"),
    ):
        rows = sorted(rows, key=lambda row: row[name])
        axes.loglog([row[name] for row in rows], [row["ms_median"] for row in rows], "o-")
        axes.set_xlabel(label)
        axes.set_ylabel("milliseconds an update")
        axes.grid(alpha=0.3)
        for axis in (axes.xaxis, axes.yaxis):
            drawing.decade_log(axis)
    return picture
