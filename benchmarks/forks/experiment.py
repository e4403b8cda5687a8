"""Is the next phase's money well spent? Copies of one run go on at several shares, beside what adaptive buying would plan.

    python benchmarks/forks [--seeds 5] [--only gears,hills-2,...] [--runs DIR] [--table]

A run of each task of benchmarks/ends is copied at the ends of some phases. From every copy the next phase's money is spent at
shares of 5 to 95 % on labels, five times each with other random numbers, and the true return after it is compared. That is
the decision itself: all forks of a copy have the same past. The plan that adaptive buying makes from that state, with errors
measured by today's code, counts as its nearest fork. Finished forks are kept in benchmarks/results/forks.json and skipped on
a rerun; plans are made anew, for they are quick and the allocator changes.
"""

import argparse
import contextlib
import shutil
from pathlib import Path

import torch

from cells import keep, load
from ends.settings import Task
from tandem.training.build import build
from tandem.training.settings import load_config, read_config
from tandem.training.storage.folder import SAVED_AS

from .fork import adaptive_plan, copy, fork, go_on, grow
from .report import report
from .settings import AT, EPISODES, FORKED, SEEDS, shares_of, trunk_settings

RESULTS = Path(__file__).resolve().parents[1] / "results"
KEPT = RESULTS / "forks.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of what comes after a fork, so many of each")
    parser.add_argument("--only", default="", help="beginnings of names such as gears-2, with commas; default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark_forks"))
    parser.add_argument("--table", action="store_true", help="run nothing, write the table of what is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [(task, phase) for task in FORKED for phase in AT if is_chosen(f"{task.name}-{phase}", options.only)]
    for task, phase in [] if options.table else chosen:
        state = grown(task, phase, options.runs)
        plan_from(state, f"{task.name}-{phase}", options.runs)
        for seed in range(options.seeds):
            for share in shares_of(task):
                fork_off(state, f"{task.name}-{phase}", share, seed)
    text = report(load(KEPT))
    (RESULTS / "forks.md").write_text(text)
    print(text)


def is_chosen(name: str, only: str) -> bool:
    return name.startswith(tuple(only.split(",")))


def grown(task: Task, phase: int, runs: Path) -> Path:
    """The copy that was made at the end of a phase of the task's run, which is trained where there is none yet: on from the
    copy before."""
    trunk = runs / task.name
    state, folder = trunk / f"phase_{phase}", trunk / "run"
    if state.exists():
        return state
    earlier = [grown(task, one, runs) for one in AT if one < phase][-1:]
    shutil.rmtree(folder, ignore_errors=True)
    trunk.mkdir(parents=True, exist_ok=True)
    with quietly(trunk / "log"):
        if earlier:
            copy(earlier[0], folder)
            run = go_on(read_config(folder / SAVED_AS), folder)
        else:
            config = load_config([*trunk_settings(task, seed=0), f"run.dir={folder}"])
            run = build(config, is_resumed=False)
        grow(run, phase)
    copy(folder, state)
    return state


def plan_from(state: Path, name: str, runs: Path) -> None:
    with quietly(state.parent / "log"):
        plan = adaptive_plan(state, runs / "plan")
    shutil.rmtree(runs / "plan")
    keep(KEPT, name, "plan", {"share": plan.label_spend_share, "note": plan.note})
    print(f"{name}: adaptive plans {plan.label_spend_share:.0%} on labels ({plan.note})", flush=True)


def fork_off(state: Path, name: str, share: int, seed: int) -> None:
    cell, settings = f"share_{share:02d}-s{seed}", f"{EPISODES} episodes"
    if load(KEPT).get(name, {}).get(cell, {}).get("settings") == settings:
        return
    to = state.parent / "fork"
    with quietly(state.parent / "log"):
        found = fork(state, to, share / 100, seed, EPISODES)
    shutil.rmtree(to)
    keep(KEPT, name, cell, {"settings": settings, "share": share, "seed": seed, **found})
    print(f"{name} at {share} %, seed {seed}: {found['return']:.1f}", flush=True)


@contextlib.contextmanager
def quietly(log: Path):
    with open(log, "a") as file, contextlib.redirect_stdout(file):
        yield
