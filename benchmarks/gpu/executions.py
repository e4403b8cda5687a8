"""How long does an update take on a GPU, eager, compiled and as a graph? And how near is that to the card's own products?

    python benchmarks/gpu/executions.py [--sizes size_1m,size_12m] [--observations vector,pixels] [--json FILE]

Batch 16 x 64, horizon 15, bfloat16, synthetic data. TORCHDYNAMO_DISABLE=1 before it makes graphs of parts that are not compiled.
"""

import argparse
import json
import time
from pathlib import Path

import counts
import fake_cuda
import numpy as np
import torch
from torch import Tensor

from tandem.training.build import make_learner
from tandem.training.execution.execution import RuntimeConfig, make_execution
from tandem.training.execution.records import mapped
from tandem.training.settings import load_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="size_1m,size_12m")
    parser.add_argument("--observations", default="vector")
    parser.add_argument("--modes", default="coupled,decoupled")
    parser.add_argument("--executions", default="eager,compile,graph")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device, rows = torch.device(options.device), []
    peak = matmul_gflops(device)
    print(
        f"torch {torch.__version__}, {name_of(device)}: products at {peak / 1e3:,.0f} TFLOP/s in bfloat16", flush=True
    )
    for size in options.sizes.split(","):
        for obs in options.observations.split(","):
            for mode in options.modes.split(","):
                gflop = counts.counted(size, obs, mode).flop / 1e9
                for execution in options.executions.split(","):
                    row = timed(size, obs, mode, execution, device, options.updates)
                    row |= {"gflop": gflop, "gflops": 1e3 * gflop / row["ms_median"], "matmul_gflops": peak}
                    rows.append(row)
                    print(words(row), flush=True)
                    if options.json:
                        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def timed(size: str, obs: str, mode: str, execution: str, device: torch.device, updates: int) -> dict:
    config = load_config([size, *counts.PUBLISHED, *counts.MODES[mode], "precision=bfloat16"])
    torch.manual_seed(0)
    learner = make_learner(config, counts.SPACES[obs], device)
    told: list[str] = []
    way = make_execution(RuntimeConfig(execution), learner, device, told.append)  # type: ignore[arg-type]
    inputs = mapped(fake_cuda.inputs(config, counts.SPACES[obs], device.type), filled)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    milliseconds = []
    for _ in range(updates + 3):
        finish(device)
        start = time.perf_counter()
        way.update(*inputs)
        finish(device)
        milliseconds.append(1e3 * (time.perf_counter() - start))
    gib = torch.cuda.max_memory_reserved() / 2**30 if device.type == "cuda" else None
    return {
        "size": size,
        "observations": obs,
        "execution": execution,
        "threads": torch.get_num_threads(),
        "mode": mode,
        "ms_median": float(np.median(milliseconds[3:])),
        "ms_min": min(milliseconds[3:]),
        "first_seconds": milliseconds[0] / 1e3,
        "peak_gib": gib,
        "told": told,
    }


def filled(tensor: Tensor) -> Tensor:
    """Uniform numbers: noise, and as good as any for the rest."""
    return torch.rand_like(tensor) if tensor.is_floating_point() else tensor


def matmul_gflops(device: torch.device, side: int = 8192) -> float:
    side = side if device.type == "cuda" else 512
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    seconds = []
    for _ in range(10):
        finish(device)
        start = time.perf_counter()
        a @ a
        finish(device)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds) / 1e9


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "CPU"


def words(row: dict) -> str:
    share = row["gflops"] / row["matmul_gflops"]
    gib = "" if row["peak_gib"] is None else f", {row['peak_gib']:.1f} GiB"
    what = f"{row['size']}, {row['observations']}, {row['mode']}, {row['execution']}"
    time_taken = f"min {row['ms_min']:.2f} ms, median {row['ms_median']:.2f} ms, first {row['first_seconds']:.0f} s"
    return f"{what}: {time_taken}, {share:.1%} of the products' rate{gib}" + "".join(f"; {one}" for one in row["told"])


if __name__ == "__main__":
    main()
