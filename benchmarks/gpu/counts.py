"""What does one update ask of a GPU? Kernels, operations and bytes, counted without one.

    python benchmarks/gpu/counts.py [--sizes size_1m,size_12m] [--observations vector,pixels]

The update runs on tensors of torch's device "meta": every operation that would start a kernel is counted, and what it reads
and writes. Types are those of float32, so that a run in bfloat16 moves between half of the bytes and all of them.
"""

import argparse
from dataclasses import dataclass

import fake_cuda
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from tandem.envs.records import ObsSpec, Spaces
from tandem.training.settings import load_config

SPACES = {
    "vector": Spaces({"state": ObsSpec((24,))}, 6),
    "pixels": Spaces({"image": ObsSpec((64, 64, 3), kind="image")}, 6),
}
MODES = {"decoupled": (), "coupled": fake_cuda.MODES["coupled"]}
PUBLISHED = ("train.batch=16", "train.length=64", "train.horizon=15")


@dataclass
class Counts(TorchDispatchMode):
    """Of operations that start kernels: views and allocations start none."""

    kernels: int = 0
    bytes: int = 0
    flop: int = 0

    def __post_init__(self):
        super().__init__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        is_view = func.is_view or name in ("_unsafe_view", "detach", "empty", "empty_like", "lift_fresh")
        if func.overloadpacket in flop_registry:
            self.flop += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=result)
        if not is_view:
            self.kernels += 1
            tensors = [one for one in tree_leaves((args, kwargs or {}, result)) if isinstance(one, Tensor)]
            self.bytes += sum(one.numel() * one.element_size() for one in tensors)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="size_1m,size_12m")
    parser.add_argument("--observations", default="vector")
    options = parser.parse_args()
    for size in options.sizes.split(","):
        for obs in options.observations.split(","):
            for mode in MODES:
                counts = counted(size, obs, mode)
                words = f"{counts.kernels:,} kernels, {counts.flop / 1e9:,.0f} GFLOP, {counts.bytes / 1e9:.1f} GB"
                print(f"{size}, {obs}, {mode}: {words}", flush=True)


def counted(size: str, obs: str, mode: str) -> Counts:
    config = load_config([size, *PUBLISHED, *MODES[mode]])
    spaces = SPACES[obs]
    learner = fake_cuda.made(config, spaces)
    inputs = fake_cuda.inputs(config, spaces, "meta")
    with fake_cuda.on("meta"):
        learner.update(*inputs)  # moments are made once
        with Counts() as counts:
            learner.update(*inputs)
    return counts


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
