"""Can a data set whose rewards are withheld be labelled on a budget, and a policy be learned from it alone?

    python benchmarks/offline [--episodes 60] [--labels 300] [--updates 4800] [--seeds 0,1,2] [--told]

A Minari set of Pendulum-v1 is written by Minari's own tools: a third of its episodes is played at random, a third by somebody
who wavers, a third by somebody able. A run takes it as stock at no price, with every reward withheld, buys so many of them as
labels, learns from that alone (data.collect=false), and is evaluated in the environment. With --told a second run is told every reward
(data.labels). The reward model is held against the true rewards of episodes that were held out: this script alone looks at them.
Writes benchmarks/results/offline.json and offline.md; what is kept there is not made again.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tandem
from cells import MACHINE, read_run
from kept import Kept, rounded
from tandem.envs.datasets.minari_set import PREFIX
from tandem.envs.datasets.withheld import Earlier
from tandem.worldmodel.replay.journal.stock import StockJournal

from .behaviour import ID, STEPS, make_set

RESULTS = Path(__file__).parents[1] / "results"
CELLS = {"labels bought": (), "every reward told": (f"data.labels={PREFIX}{ID}",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=60, help=f"of the data set, {STEPS} steps each")
    parser.add_argument("--labels", type=int, default=300, help="to buy, at a coin each")
    parser.add_argument("--updates", type=int, default=4800)
    parser.add_argument("--seeds", default="0,1,2", help="of the runs, such as 0,1; the data set is always the same")
    parser.add_argument("--told", action="store_true", help="also a run each that is told every reward")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        returns = make_set(Path(place) / "sets", options.episodes)
        made_with = f"{options.episodes} episodes, {options.updates} updates, {options.labels} labels"
        kept = Kept(options.results / "offline.json", made_with)
        kept.cell("behaviour", lambda: {name: [rounded(one) for one in each] for name, each in returns.items()})
        for seed in map(int, options.seeds.split(",")):
            for name, settings in CELLS.items() if options.told else list(CELLS.items())[:1]:
                where = Path(place) / f"{name}-{seed}"
                kept.cell(f"{name}, seed {seed}", lambda: run(where, settings, options, seed))  # noqa: B023  called at once
    chosen = {name: cell for name, cell in kept.cells.items() if cell["settings"] == kept.settings}
    (options.results / "offline.md").write_text(report(chosen, options))


def run(folder: Path, settings: tuple[str, ...], options: argparse.Namespace, seed: int) -> dict:
    words = ["quick_pendulum", "envs.repeat=1", "price.label=1", f"budget.total={options.labels}", f"seed={seed}"]
    words += [f"data.transitions={PREFIX}{ID}", "data.collect=false", f"train.updates={options.updates}"]
    words += ["allocator.phases=3", "dynamics.discount_horizon=100", "evaluate.final_episodes=10", "log.figures=false"]
    begun = time.monotonic()
    with open(f"{folder}.log", "w") as log:
        command = [sys.executable, "train.py", *words, *settings, "threads=1", f"run.dir={folder}"]
        subprocess.run(command, stdout=log, stderr=log, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    minutes = rounded((time.monotonic() - begun) / 60)
    ended = {name: values[-1] for name, values in read_run(folder).items() if values[-1] is not None}
    command = " ".join(("train.py", *words, *settings))
    return {"minutes": minutes, "command": command, "end": ended, "heldout": heldout(folder)}


def heldout(folder: Path) -> dict:
    """The reward model on the episodes that trained nothing, against their true rewards."""
    agent, vault = tandem.load(folder), Earlier(folder / "stock" / "rewards")
    said, true = [], []
    for one in StockJournal(folder / "stock" / "transitions").read():
        if one.is_heldout:
            prev_action = np.concatenate([np.zeros_like(one.action[:1]), one.action])
            said.append(agent.reward(one.obs, prev_action).mean[1:])
            true.append(vault.rewards(one.env, one.step + 1, len(one)))
    said, true = np.concatenate(said), np.concatenate(true)
    error = float(np.abs(said - true).mean())
    return {
        "rows": len(true),
        "absolute_error": rounded(error),
        "deviation": rounded(float(true.std())),
        "correlation": rounded(float(np.corrcoef(said, true)[0, 1])),
    }


def report(cells: dict[str, dict], options: argparse.Namespace) -> str:
    played = {name: each for name, each in cells["behaviour"].items() if name != "settings"}
    every = [one for each in played.values() for one in each]
    lines = [
        f"Pendulum-v1, {len(every)} episodes of {STEPS} steps as a Minari set, rewards withheld; {MACHINE}.",
        "",
        "| who | mean return |",
        "|---|---|",
        *(f"| data: {name}, {len(each)} episodes | {statistics.mean(each):.0f} |" for name, each in played.items()),
        f"| data: all of it | {statistics.mean(every):.0f} |",
    ]
    runs = {name: one for name, one in cells.items() if name != "behaviour"}
    lines += [f"| learned, {name} | {one['end']['return']:.0f} |" for name, one in runs.items()]
    lines += [
        "",
        "| run | labels bought | held-out rows | mean absolute error of the reward | its deviation | correlation | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in runs.items():
        held = one["heldout"]
        lines.append(
            f"| {name} | {one['end']['labels']:,.0f} | {held['rows']:,} | {held['absolute_error']:.3g} | "
            f"{held['deviation']:.3g} | {held['correlation']:.3f} | {one['minutes']:.0f} |"
        )
    commands = [f"    {one['command']}" for one in runs.values()]
    return "\n".join([*lines, "", *commands, ""])
