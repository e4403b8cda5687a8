"""How long does a whole learner update take, ours and that of two other DreamerV3s, on the same machine at the same time?

    python benchmarks/peers --torchrl-python VENV/bin/python --r2dreamer DIR [--sizes small,1m,12m] [--observations pixels] [--json FILE]

Each code base waits in a process of its own, and by turns each makes one update, so that noise hits all alike. Batch 16 x 64,
horizon 15, float32, synthetic data of walker_walk's shapes: 24 numbers or 64 x 64 x 3 pixels, 6 actions. With `pixels` ours has the
published convolutions, as r2dreamer has, with `strided` the fast ones, about as torchrl has. The peers are no dependencies of
ours, and one that is not there is skipped. To have them:

    python -m venv VENV && VENV/bin/pip install torchrl==0.14.1 torch==2.13.0 hydra-core omegaconf tensorboard
    the repository NM512/r2dreamer at 546e4fa in DIR; it runs in the same VENV

Time it on an idle machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

PEERS = ("torchrl", "r2dreamer")
PAUSE = 0.1  # seconds between turns, in which the threads of the one before stop spinning
Commands = dict[str, list[str]]
Results = dict[str, dict[str, Any]]  # code base -> what learner.py says of it, and its milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torchrl-python", default="", metavar="PYTHON", help="that has torchrl, for both peers")
    parser.add_argument("--r2dreamer", default="", metavar="DIR", help="with a checkout of r2dreamer")
    parser.add_argument("--sizes", default="small,1m,12m")
    parser.add_argument("--observations", default="vector", choices=["vector", "pixels", "strided"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=15, help="of each that are measured, after three that are not")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    commands = found(options.torchrl_python, options.r2dreamer)
    told = {"machine": machine(), "threads": options.threads, "observations": options.observations, "sizes": {}}
    print(f"{told['machine']}, {options.threads} threads, {options.observations}\n", flush=True)
    for size in options.sizes.split(","):
        results = measured(commands, [size, options.observations, str(options.threads)], options.updates)
        told["sizes"][size] = results
        print("\n".join(table(size, results)) + "\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n")


def found(python: str, folder: str) -> Commands:
    """How to start ours and the peers that are there. What is not there is said."""
    folder = str(Path(folder).resolve()) if folder else ""
    starts = {name: [sys.executable] for name in ("coupled", "decoupled")} | {name: [python] for name in PEERS}
    check = [python, "-c", "import torchrl, hydra, omegaconf, tensorboard"]
    if not (python and Path(python).exists() and subprocess.run(check, check=False).returncode == 0):
        print(f"skipped torchrl and r2dreamer: --torchrl-python {python!r} has not all packages")
        starts = {name: start for name, start in starts.items() if name not in PEERS}
    elif not (folder and (Path(folder) / "dreamer.py").exists()):
        print(f"skipped r2dreamer: no dreamer.py in --r2dreamer {folder!r}")
        del starts["r2dreamer"]
    return {name: [*start, str(Path(__file__).parent), "learner", name, folder] for name, start in starts.items()}


def measured(commands: Commands, what: list[str], updates: int) -> Results:
    """They start one after the other, then take turns."""
    processes: dict[str, subprocess.Popen[str]] = {}
    environment = {**os.environ, "OMP_NUM_THREADS": what[-1], "PYTHONWARNINGS": "ignore"}
    results: Results = {}
    try:
        for name, (*command, folder) in commands.items():
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
            processes[name] = subprocess.Popen([*command, *what, *([folder] if name in PEERS else [])], **pipes)
            results[name] = answer(name, processes[name])
        for _ in range(updates):
            for name, process in processes.items():
                time.sleep(PAUSE)
                print("go", file=process.stdin, flush=True)
                results[name]["milliseconds"].append(answer(name, process))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return results


def answer(name: str, process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{name} ended without an answer, see above")
    return json.loads(line)


def table(size: str, results: Results) -> list[str]:
    """Lines of markdown. A lead is the best peer's time over ours, of the minima and of the medians."""
    times = {name: (min(one["milliseconds"]), median(one["milliseconds"])) for name, one in results.items()}
    peers = [times[name] for name in PEERS if name in times]
    lines = [
        "| size | code base | parameters | min ms | median ms | lead (min / median) |",
        "|---|---|---|---|---|---|",
    ]
    for name, (least, middle) in times.items():
        who, lead = results[name]["version"].partition(",")[0], ""
        if name not in PEERS:
            who += f", {name}"
            best = [min(column) for column in zip(*peers, strict=True)]
            lead = f"{best[0] / least:.2f} / {best[1] / middle:.2f}" if best else "no peer"
        millions = sum(results[name]["parameters"].values()) / 1e6
        lines.append(f"| {size} | {who} | {millions:.2f} M | {least:.0f} | {middle:.0f} | {lead} |")
    still = {name: one["unchanged_tensors"] for name, one in results.items() if one["unchanged_tensors"]}
    return [*lines, *(f"{name} did not change these tensors: {parts}" for name, parts in still.items())]


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
