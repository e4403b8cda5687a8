"""How long does one whole learner update take? On synthetic data.

    python benchmarks/update_seconds.py [--sizes size_small,size_12m]

Shapes of walker_walk from state (24 numbers, 6 actions), batch 16 x 64, horizon 15, as in the comparison in
docs/benchmarks.md. Time it on an idle machine.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from tandem.envs.records import ObsSpec, Spaces, Transition
from tandem.training.build import make_learner, resolve_device, use_bfloat16
from tandem.training.learner import Noise
from tandem.training.settings import load_config
from tandem.worldmodel.records import LabelBatch
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import TransitionReplay

MODES = {
    "decoupled": (),
    "coupled": ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0.0"),
}
SPACES = Spaces({"orientations": ObsSpec((14,)), "height": ObsSpec((1,)), "velocity": ObsSpec((9,))}, 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="size_small,size_12m")
    parser.add_argument("--modes", default="coupled,decoupled")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("settings", nargs="*", help="further key=value settings")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads", flush=True)
    for size in options.sizes.split(","):
        for mode in options.modes.split(","):
            config = load_config([size, *MODES[mode], *options.settings])
            seconds, parameters = time_updates(config, options.updates)
            print(
                f"{size} {mode}: {parameters / 1e6:.2f} M parameters, {device_name(config)}: "
                f"min {1000 * min(seconds):.1f} ms, median {1000 * float(np.median(seconds)):.1f} ms",
                flush=True,
            )


def time_updates(config, updates: int) -> tuple[list[float], int]:
    """Seconds of each of `updates` updates after two unmeasured ones, and the number of trained parameters."""
    device = resolve_device(config)
    torch.manual_seed(0)
    learner = make_learner(config, SPACES, device)
    seconds = []
    for _ in range(updates + 2):
        batch, labels, noise = inputs(config, device)
        finish_kernels(device)
        start = time.perf_counter()
        learner.update(batch, labels, noise)
        finish_kernels(device)
        seconds.append(time.perf_counter() - start)
    return seconds[2:], learner.num_parameters


def finish_kernels(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def device_name(config) -> str:
    device = resolve_device(config)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return f"{name}, {'bfloat16' if use_bfloat16(config, device) else 'float32'}"


def inputs(config, device: torch.device):
    train, rng = config.train, np.random.default_rng(0)
    replay = TransitionReplay(config.replay, SPACES, 1, train.length, config.dynamics.deter, config.dynamics.stoch)
    for step in range(train.length * 4):
        obs = {key: rng.normal(size=(1, *spec.shape)).astype(np.float32) for key, spec in SPACES.obs.items()}
        first, last = np.array([step % 100 == 0]), np.array([step % 100 == 99])
        row = Transition(obs, first, last, np.zeros(1, bool), np.array([step]), np.zeros(1, bool))
        latent = torch.zeros(1, config.dynamics.deter), torch.zeros(1, config.dynamics.stoch)
        replay.add(Tick.of(row, rng.normal(size=(1, 6)), *latent))
    batch = replay.sample(train.batch, rng).to(device)
    rows = config.labels.burn_in + 1
    if config.mode == "coupled":
        reward = torch.randn(train.batch, train.length, device=device)
        batch = replace(batch, reward=reward, reward_weight=torch.ones_like(reward))
        labels, shape = None, (0, 1)
    else:
        labels, shape = label_batch(config, rows).to(device), (train.label_batch, rows)
    generator = torch.Generator(device).manual_seed(0)
    return batch, labels, Noise.draw(generator, train, config.dynamics.stoch, SPACES, *shape)


def label_batch(config, rows: int) -> LabelBatch:
    number = config.train.label_batch
    return LabelBatch(
        obs={key: torch.randn(number, rows, *spec.shape) for key, spec in SPACES.obs.items()},
        prev_action=torch.randn(number, rows, 6),
        is_first=torch.zeros(number, rows, dtype=torch.bool),
        start_deter=torch.zeros(number, config.dynamics.deter),
        start_stoch=torch.zeros(number, config.dynamics.stoch, dtype=torch.long),
        value=torch.randn(number),
        weight=torch.ones(number),
        fold=torch.arange(number),
    )


if __name__ == "__main__":
    main()
