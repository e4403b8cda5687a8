"""How many training batches of 16 x 64 rows does the replay give and take back in a second, and how many bytes is a row?

    python benchmarks/replay [--seconds 3] [--only vector] [--name now]

A replay of 16 streams is filled with noise: 200,000 rows of 24 numbers, or 50,000 images of 64 x 64 x 3. Then, as in a run, a
tick of all streams is added, a batch is sampled (a fresh window first where there is one), and newer latents are written back
under the rows' addresses. The rate counts sampling and writing back; adding is told beside it. Writes
benchmarks/results/replay.md and replay.json, whose rows of other names it leaves as they are. Time it on an idle machine.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cells import MACHINE
from kept import rounded
from tandem.envs.records import ObsSpec, Spaces, Transition
from tandem.worldmodel.replay.journal.transitions import TransitionJournal
from tandem.worldmodel.replay.tick import Tick, Ticks
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay

RESULTS = Path(__file__).parents[1] / "results"
BATCH, LENGTH, STREAMS, STOCH = 16, 64, 16, 32
BLOCK = 128  # ticks added at once while it is filled
VECTOR = Spaces({"state": ObsSpec((24,))}, 6)
IMAGE = Spaces({"image": ObsSpec((64, 64, 3), kind="image")}, 6)
GOALS = {"vector": 1000, "image": 300}  # batches a second


@dataclass(frozen=True)
class Setup:
    observations: str
    deter: int
    latents: str

    @property
    def spaces(self) -> Spaces:
        return VECTOR if self.observations == "vector" else IMAGE

    @property
    def rows(self) -> int:
        return 200_000 if self.observations == "vector" else 50_000

    @property
    def name(self) -> str:
        return f"{self.observations}, deter {self.deter}, {self.latents}"


SETUPS = [
    Setup(observations, deter, latents)
    for observations in GOALS
    for deter in (512, 2048)
    for latents in ("float32", "bfloat16")
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--only", default="", help="part of the names of the setups")
    parser.add_argument("--name", default="now", help="of the rows in the table, such as before")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--rows", type=int, default=0, help="in the replay, instead of 200,000 and 50,000")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = options.results / "replay.json"
    table = json.loads(file.read_text()) if file.exists() else {"rows": {}}
    for setup in SETUPS:
        if options.only in setup.name:
            figures = measure(setup, options.rows or setup.rows, options.seconds)
            print(f"{setup.name}: {figures}", flush=True)
            table["rows"].setdefault(options.name, {})[setup.name] = figures
    table["machine"] = MACHINE
    options.results.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(table, indent=1) + "\n")
    (options.results / "replay.md").write_text(report(table))


def measure(setup: Setup, rows: int, seconds: float) -> dict[str, float]:
    """Milliseconds a batch (median, and processor time), batches a second, megabytes for a million steps."""
    rng = np.random.default_rng(0)
    replay = TransitionReplay(ReplayConfig(latents=setup.latents), setup.spaces, STREAMS, LENGTH, setup.deter, STOCH)
    disk = fill(replay, setup, rows, rng)
    ticks = iter_ticks(setup, rows // STREAMS, rng)
    latents = torch.randn(BATCH, LENGTH, setup.deter), torch.randint(0, 16, (BATCH, LENGTH, STOCH))
    wall: dict[str, list[float]] = {"add": [], "sample": [], "write": []}
    processor = time.process_time()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        tick = next(ticks)
        timed(wall["add"], lambda tick=tick: replay.add(tick))
        batch = timed(wall["sample"], lambda: replay.sample(BATCH, rng))
        timed(wall["write"], lambda batch=batch: replay.write_back(batch.address, *latents))
    number = len(wall["sample"])
    median = {part: 1000 * float(np.median(values)) for part, values in wall.items()}
    figures = {f"{part}_ms": value for part, value in median.items()}
    figures["batches_per_second"] = 1000 / (median["sample"] + median["write"])
    figures["at_best"] = 1 / float(np.quantile(np.add(wall["sample"], wall["write"]), 0.1))
    figures["processor_ms"] = 1000 * (time.process_time() - processor) / number
    figures["ram_mb_per_million"] = ram(replay)
    figures["disk_mb_per_million"] = disk
    return {name: rounded(value) for name, value in figures.items()}


def timed(into: list[float], call: Callable):
    start = time.perf_counter()
    result = call()
    into.append(time.perf_counter() - start)
    return result


def fill(replay: TransitionReplay, setup: Setup, rows: int, rng: np.random.Generator) -> float:
    """-> megabytes that the journal needs for a million steps, of the first ticks."""
    disk = 0.0
    for start in range(0, rows // STREAMS, BLOCK):
        block = block_of(setup, start, BLOCK, rng)
        if not start:
            with tempfile.TemporaryDirectory() as folder:
                journal = TransitionJournal(Path(folder))
                assert not list(journal.read())
                for tick in block:
                    journal.append(tick)
                journal.write("00000000")
                size = sum(file.stat().st_size for file in Path(folder).iterdir())
                disk = size / (BLOCK * STREAMS)
                journal.log.close()
        replay.extend(block)
    replay.online.queue.clear()  # what a long run has trained on already
    return disk


def block_of(setup: Setup, start: int, number: int, rng: np.random.Generator) -> Ticks:
    """Ticks of episodes of 1,000 rows, none of them held out, as the journal holds them."""
    lead = (number, STREAMS)
    step = np.broadcast_to(start + np.arange(number)[:, None], lead).astype(np.int64)
    if setup.observations == "vector":
        obs = {"state": rng.standard_normal((*lead, 24), np.float32)}
    else:
        obs = {"image": rng.integers(0, 256, (*lead, 64, 64, 3), np.uint8)}
    return Ticks(
        obs=obs,
        is_first=step % 1000 == 0,
        is_last=step % 1000 == 999,
        is_terminal=np.zeros(lead, bool),
        step=step,
        is_heldout=np.zeros(lead, bool),
        action=rng.standard_normal((*lead, 6), np.float32),
        deter=rng.standard_normal((*lead, setup.deter), np.float32),
        stoch=rng.integers(0, 16, (*lead, STOCH), np.uint8),
    )


def iter_ticks(setup: Setup, start: int, rng: np.random.Generator):
    """What comes after the filling, for ever: the same numbers under steps that rise."""
    block = list(block_of(setup, 0, 8, rng))
    start = -(-start // BLOCK) * BLOCK
    while True:
        for tick in block:
            row = tick.transition
            step = np.full(STREAMS, start, np.int64)
            first, last = step % 1000 == 0, step % 1000 == 999
            yield Tick(Transition(row.obs, first, last, row.is_terminal, step, row.is_heldout), *latents_of(tick))
            start += 1


def latents_of(tick: Tick) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tick.action, tick.deter, tick.stoch


def ram(replay: TransitionReplay) -> float:
    """Megabytes for a million rows."""
    return sum(column[:1].nbytes for column in replay.training.columns.values())


def report(table: dict) -> str:
    made = f"Made by `python benchmarks/replay` ({table['machine']}). Batches of {BATCH} x {LENGTH} rows."
    what = "Milliseconds: medians, and the mean of the processor's; `at best`: the fastest tenth; megabytes are of a million rows."
    lines = [
        f"{made} {what}",
        "",
        "| measured | setup | sample | write back | batches/s | at best | goal | add a tick of 16 | processor, all three "
        + "| RAM, MB | disk, MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, setups in table["rows"].items():
        for setup, row in setups.items():
            goal = GOALS[setup.split(",")[0]]
            met = "met" if row["batches_per_second"] >= goal else "missed"
            rates = f"{row['batches_per_second']:,.0f} | {row['at_best']:,.0f} | {goal:,} {met}"
            spent = f"{row['add_ms']:.3f} | {row['processor_ms']:.3f}"
            room = f"{row['ram_mb_per_million']:,.0f} | {row['disk_mb_per_million']:,.0f}"
            lines.append(
                f"| {name} | {setup} | {row['sample_ms']:.3f} | {row['write_ms']:.3f} | {rates} | {spent} | {room} |"
            )
    return "\n".join(lines) + "\n"
