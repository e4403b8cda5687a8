"""Golden numbers of LaProp with adaptive clipping: warm-up, a huge, a tiny and an all-zero gradient."""

import pytest
import torch
from torch import Tensor

from tandem.worldmodel.optimizer import LaProp, OptimizerConfig, clip_adaptively


def names(g: dict[str, Tensor]) -> list[str]:
    return [key.removeprefix("p0/") for key in g if key.startswith("p0/")]


def num_steps(g: dict[str, Tensor]) -> int:
    return max(int(key.split("/")[0][1:]) for key in g if key[0] == "g" and key.split("/")[0][1:].isdigit())


def config_of(g: dict[str, Tensor], run: str) -> OptimizerConfig:
    value = {key.removeprefix(f"{run}/cfg_"): x.item() for key, x in g.items() if key.startswith(f"{run}/cfg_")}
    return OptimizerConfig(**value | {"warmup": int(value["warmup"])})


def start(g: dict[str, Tensor], dtype: torch.dtype) -> dict[str, torch.nn.Parameter]:
    return {name: torch.nn.Parameter(g[f"p0/{name}"].to(dtype, copy=True)) for name in names(g)}


def set_gradients(params: dict[str, torch.nn.Parameter], g: dict[str, Tensor], step: int) -> None:
    for name, p in params.items():
        p.grad = g[f"g{step}/{name}"].to(p.dtype)


@pytest.mark.parametrize("run", ["a", "b"])
def test_golden_clipping_moments_and_parameters(golden, check, run):
    g = golden("optimizer")
    params = start(g, torch.float32)
    optimizer = LaProp(params.values(), config_of(g, run))
    for step in range(1, num_steps(g) + 1):
        set_gradients(params, g, step)
        clipped = clip_adaptively(list(params.values()), [p.grad for p in params.values()], config_of(g, run).agc)
        for name, value in zip(params, clipped, strict=True):
            check(value, g[f"{run}/agc{step}/{name}"], 0, 2e-5, what=f"clipped gradient {step} of {name}")
        optimizer.step()
        for name, p in params.items():
            recorded = g[f"{run}/p{step}/{name}"]
            moved = (recorded - g[f"p0/{name}"]).abs().max().item()
            check(p, recorded, 1e-6 + 2e-5 * moved, 0, what=f"{name} after step {step}")
    for name, p in params.items():
        check(optimizer.state[p]["nu"], g[f"{run}/nu{num_steps(g)}/{name}"], 0, 2e-5, what=f"nu of {name}")
        check(optimizer.state[p]["mu"], g[f"{run}/mu{num_steps(g)}/{name}"], 0, 2e-5, what=f"mu of {name}")


@pytest.mark.parametrize("run", ["a", "b"])
def test_golden_updates(golden, check, run):
    """In float64, where the difference of two parameters that hardly moved is still exact."""
    g = golden("optimizer")
    params = start(g, torch.float64)
    optimizer = LaProp(params.values(), config_of(g, run))
    for step in range(1, num_steps(g) + 1):
        set_gradients(params, g, step)
        before = {name: p.detach().clone() for name, p in params.items()}
        optimizer.step()
        for name, p in params.items():
            check(p - before[name], g[f"{run}/update{step}/{name}"], 0, 2e-5, what=f"update {step} of {name}")
