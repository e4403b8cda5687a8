"""How fast is training on this machine? Updates, replays, environments, and all of it together.

    python benchmarks/speed.py                                            # small, 1m and 12m from vectors, both modes
    python benchmarks/speed.py --sizes small --observations pixels,strided --threads 1 --modes coupled
    python benchmarks/speed.py --parts replay,environments,run --json FILE

An update is everything that learns once: world model, reward model, imagination, actor and critic, and all optimiser steps; batch
16 x 64, horizon 15, synthetic data of walker_walk's shapes (24 numbers, 6 actions) or 64x64x3 images (`pixels` with the published
topology, `strided` with the fast one). Two updates go before the measured ones. Each row is a process of its own, so that its peak
of memory is its own, and says what a plain product of matrices reaches in it. Time it on an idle machine: a second busy process
makes two torch threads several times slower.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tandem.envs.make import EnvConfig
from tandem.envs.records import Answer, ObsSpec, Question, Spaces, Transition
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv
from tandem.heap import keep_memory
from tandem.training import learner as learner_module
from tandem.training.build import make_learner, resolve_device, use_bfloat16
from tandem.training.config import Config
from tandem.training.execution.execution import RuntimeConfig, make_execution
from tandem.training.learner import Learner, Noise
from tandem.training.parts.stores import make_labels, make_transitions
from tandem.training.phases import train
from tandem.training.settings import load_config
from tandem.worldmodel.records import Batch, LabelBatch
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay
from tandem.worldmodel.replay.tick import Tick

MODES = {
    "decoupled": (),
    "coupled": ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0.0"),
}
VECTOR = Spaces({"orientations": ObsSpec((14,)), "height": ObsSpec((1,)), "velocity": ObsSpec((9,))}, 6)
IMAGE = Spaces({"image": ObsSpec((64, 64, 3), kind="image")}, 6)
OBSERVATIONS = {
    "vector": (VECTOR, ()),
    "pixels": (IMAGE, ()),
    "strided": (IMAGE, ("dynamics.images.topology=strided",)),
}
ROWS = 2_000  # of each replay, in one stream
Row = dict[str, Any]


def main() -> None:
    options = parsed()
    rows = []
    for measure, arguments in cells(options):
        with multiprocessing.get_context("spawn").Pool(1) as process:
            row = process.apply(measure, arguments)
        rows.append(row)
        print(words(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    several: list[tuple[str, str, str]] = [
        ("--parts", "update", "of update,replay,environments,run"),
        ("--sizes", "small,1m,12m", "of nano,small,1m,12m,25m,50m,100m,200m"),
        ("--observations", "vector", f"of {','.join(OBSERVATIONS)}"),
        ("--modes", ",".join(MODES), "decoupled has three members of the reward model"),
        ("--threads", "2", "of torch, such as 1,2"),
        ("--executions", "auto", "of auto,eager,compile,graph"),
    ]
    for name, default, text in several:
        parser.add_argument(name, default=default, type=lambda value: value.split(","), help=f"{text} ({default})")
    parser.add_argument("--updates", type=int, default=5, help="that are measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="a row for each measurement")
    parser.add_argument("settings", nargs="*", help="further key=value settings")
    return parser.parse_args()


def cells(options: argparse.Namespace) -> Iterator[tuple[Callable[..., Row], tuple]]:
    for threads in map(int, options.threads):
        for part in options.parts:
            if part == "environments":
                yield time_environments, (threads,)
            elif part == "run":
                yield time_run, (threads,)
            else:
                for size in options.sizes:
                    for obs in options.observations:
                        for mode in options.modes:
                            what = (size, obs, mode, threads, tuple(options.settings))
                            if part == "replay":
                                yield time_replays, what
                            else:
                                yield from ((time_updates, (*what, one, options.updates)) for one in options.executions)


def time_updates(size: str, obs: str, mode: str, threads: int, settings: tuple, execution: str, updates: int) -> Row:
    """Milliseconds of an update: of all, and of its parts where these are done one after the other."""
    config, spaces = begun(size, obs, mode, threads, settings)
    device = resolve_device(config)
    torch.manual_seed(0)
    learner = make_learner(config, spaces, device)
    told: list[str] = []
    way = make_execution(RuntimeConfig(execution), learner, device, told.append)  # type: ignore[arg-type]
    given = inputs(config, spaces, device)
    with Operations() as operations:
        learner.update(*given)
    way.update(*given)
    milliseconds, parts = [], dict.fromkeys(("dynamics", "reward", "dream", "behaviour", "losses", "backward"), 0.0)
    with watched(learner, parts) if way is learner and device.type == "cpu" else nothing():
        for _ in range(updates):
            milliseconds.append(timed(lambda: way.update(*given), device))
    median, gflop = float(np.median(milliseconds)), operations.flop / 1e9
    parts["backward"] -= parts.pop("losses")  # which are within it
    parts = {part: total / updates for part, total in parts.items()}
    parts["steps"] = float(np.mean(milliseconds)) - sum(parts.values())
    return {
        "part": "update", "size": size, "observations": obs, "execution": execution, "threads": threads, "mode": mode,
        "device": name_of(device), "precision": "bfloat16" if use_bfloat16(config, device) else "float32",
        "parameters": learner.num_parameters, "ms_median": median, "ms_min": min(milliseconds),
        "ms_by_part": parts if parts["dynamics"] else None, "gflop": gflop, "gflops": 1e3 * gflop / median,
        "matmul_gflops": matmul_gflops(device), "peak_gib": peak_gib(device), "told": told,
    }  # fmt: skip


def time_replays(size: str, obs: str, mode: str, threads: int, settings: tuple) -> Row:
    """Milliseconds of drawing a batch with its write-back, and of drawing labels. See `benchmarks/replay` for large ones."""
    config, spaces = begun(size, obs, mode, threads, settings)
    rng, transitions = np.random.default_rng(0), filled(config, spaces)
    latent = torch.zeros(config.train.batch, config.train.length, config.dynamics.deter)
    stoch = torch.zeros(config.train.batch, config.train.length, config.dynamics.stoch, dtype=torch.uint8)

    def turn() -> None:
        transitions.write_back(transitions.sample(config.train.batch, rng).address, latent, stoch)

    per_turn, per_draw = float(np.median([timed(turn) for _ in range(200)])), None
    labels = make_labels(config, spaces)
    if isinstance(labels, LabelReplay):
        answer(labels, transitions, rng)
        per_draw = float(np.median([timed(lambda: labels.sample(config.train.label_batch, rng)) for _ in range(200)]))
    return {
        "part": "replay", "size": size, "observations": obs, "mode": mode, "threads": threads, "ms_batch": per_turn,
        "batches_per_second": 1e3 / per_turn, "ms_labels": per_draw, "peak_gib": peak_gib(torch.device("cpu")),
    }  # fmt: skip


def time_environments(threads: int) -> Row:
    """Environment steps a second of four walkers in this process, random actions."""
    torch.set_num_threads(threads)
    env, rng, ticks = VectorEnv("dmc_walker_walk", EnvConfig(num=4), 0, RewardVault()), np.random.default_rng(0), 500
    seconds = timed(lambda: [env.step(rng.uniform(-1, 1, (4, 6)).astype(np.float32)) for _ in range(ticks)]) / 1e3
    env.close()
    return {
        "part": "environments",
        "threads": threads,
        "task": "dmc_walker_walk",
        "steps_per_second": 4 * ticks / seconds,
    }


def time_run(threads: int) -> Row:
    """Transitions a second of a whole run with the quickstart's models and pace, pilot and evaluations included."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ["budget.total=3000", "train.updates=500", "allocator.phases=2", f"threads={threads}"]
        seconds = timed(lambda: train(load_config([*settings, f"run.dir={folder}/run"]))) / 1e3
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
    last = {key: value for line in lines for key, value in json.loads(line).items()}
    bought = last["budget/transitions"]
    return {
        "part": "run", "threads": threads, "transitions": bought, "seconds": seconds,
        "transitions_per_second": bought / seconds, "peak_gib": peak_gib(torch.device("cpu")),
    }  # fmt: skip


def begun(size: str, obs: str, mode: str, threads: int, settings: tuple) -> tuple[Config, Spaces]:
    torch.set_num_threads(threads)
    keep_memory()
    spaces, more = OBSERVATIONS[obs]
    return load_config([f"size_{size}", *MODES[mode], *more, *settings]), spaces


def inputs(config: Config, spaces: Spaces, device: torch.device) -> tuple[Batch, LabelBatch | None, Noise]:
    """As a run draws them, of noise."""
    rng, transitions, labels = np.random.default_rng(0), filled(config, spaces), make_labels(config, spaces)
    if isinstance(labels, LabelReplay):
        answer(labels, transitions, rng)
    else:
        for step in range(ROWS):
            labels.put(0, step, float(rng.normal()))  # type: ignore[attr-defined]  coupled mode's column
    batch, drawn = labels.draw(transitions.sample(config.train.batch, rng), config.train.label_batch, rng)
    rows = (0, 1) if drawn is None else drawn.is_first.shape
    noise = Noise.draw(torch.Generator(device).manual_seed(0), config.train, config.dynamics.stoch, spaces, *rows)
    return batch.to(device), None if drawn is None else drawn.to(device), noise


def filled(config: Config, spaces: Spaces):
    """A replay of one stream of noise, in episodes of 100 rows."""
    rng, replay = np.random.default_rng(0), make_transitions(config, spaces)
    num, no = config.envs.num, np.zeros(config.envs.num, bool)
    latent = torch.zeros(num, config.dynamics.deter), torch.zeros(num, config.dynamics.stoch)
    for step in range(ROWS // num):
        obs = {
            key: rng.integers(0, 256, (num, *spec.shape), np.uint8)
            if spec.kind == "image"
            else rng.standard_normal((num, *spec.shape), np.float32)
            for key, spec in spaces.obs.items()
        }
        first, last = np.full(num, step % 100 == 0), np.full(num, step % 100 == 99)
        row = Transition(obs, first, last, no, np.full(num, step), no)
        replay.add(Tick.of(row, rng.normal(size=(num, spaces.action_size)), *latent))
    return replay


def answer(labels: LabelReplay, transitions, rng: np.random.Generator) -> None:
    """Labels about an eighth of the rows."""
    clips = transitions.open.draw(ROWS // 8, rng)
    for clip, copy in zip(clips, labels.copies(transitions, clips), strict=True):
        key = f"{clip.env}-{clip.step}"
        labels.ask(Asked(Question(key, clip), copy, is_uniform=True))
        labels.answer(Answer(key, float(rng.normal())))


class Operations(TorchDispatchMode):
    """Counts those of products and convolutions meanwhile."""

    flop = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.flop += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


@contextmanager
def watched(learner: Learner, milliseconds: dict[str, float]) -> Iterator[None]:
    """Add up what the parts of an update take meanwhile."""
    owners = {
        "dynamics": (learner.dynamics, "forward"), "reward": (learner, "reward_loss"), "dream": (learner_module, "dream"),
        "behaviour": (learner.actor_critic, "forward"), "losses": (learner, "_losses"), "backward": (learner, "backward"),
    }  # fmt: skip
    before = {part: getattr(owner, name) for part, (owner, name) in owners.items()}

    def timing(part: str) -> Callable:
        def call(*arguments: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            result = before[part](*arguments, **keywords)
            milliseconds[part] += 1e3 * (time.perf_counter() - start)
            return result

        return call

    for part, (owner, name) in owners.items():
        setattr(owner, name, timing(part))
    try:
        yield
    finally:
        for part, (owner, name) in owners.items():
            setattr(owner, name, before[part])


@contextmanager
def nothing() -> Iterator[None]:
    yield


def timed(call: Callable[[], Any], device: torch.device | None = None) -> float:
    """Milliseconds until the device has done it."""
    finish(device)
    start = time.perf_counter()
    call()
    finish(device)
    return 1e3 * (time.perf_counter() - start)


def finish(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize()


def matmul_gflops(device: torch.device) -> float:
    """What a product of square matrices reaches in the type that updates compute in, at best of ten."""
    side, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    one: Tensor = torch.randn(side, side, device=device, dtype=dtype)
    return 2 * side**3 / min(timed(lambda: one @ one, device) for _ in range(10)) / 1e6


def peak_gib(device: torch.device) -> float:
    """Of this process, or of the GPU's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {os.cpu_count()} cores"


def words(row: Row) -> str:
    if row["part"] == "update":
        share = row["gflops"] / row["matmul_gflops"]
        parts = "".join(f", {name} {ms:.0f}" for name, ms in (row["ms_by_part"] or {}).items())
        return (
            f"{row['size']} {row['observations']} {row['mode']} {row['execution']}, {row['threads']} threads, "
            f"{row['device']}, {row['precision']}: min {row['ms_min']:.1f} ms, median {row['ms_median']:.1f} ms{parts}; "
            f"{row['gflop']:.0f} GFLOP, {share:.0%} of the {row['matmul_gflops']:.0f} GFLOP/s of a product; "
            f"{row['parameters'] / 1e6:.2f} M parameters, peak {row['peak_gib']:.2f} GiB"
            + "".join(f"; {one}" for one in row["told"])
        )
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
    )


if __name__ == "__main__":
    main()
