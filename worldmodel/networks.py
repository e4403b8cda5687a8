"""Layers of a DreamerV3: linear, block-linear, RMS norm, MLP, and a head on top of one."""

import itertools

import torch
from torch import Tensor, nn

from .fused.elementwise import norm_silu, rms_norm


def init_weight(weight: Tensor, fan_in: int, outscale: float = 1.0) -> None:
    """Truncated normal at two standard deviations, scaled so that the variance is outscale^2 / fan_in."""
    if outscale == 0.0:
        nn.init.zeros_(weight)
        return
    std = outscale * 1.1368 * fan_in**-0.5
    nn.init.trunc_normal_(weight, 0.0, std, -2 * std, 2 * std)


class Linear(nn.Linear):
    """nn.Linear with DreamerV3's initialisation: truncated normal weights, zero biases."""

    def __init__(self, inputs: int, outputs: int, outscale: float = 1.0):
        self.outscale = outscale
        super().__init__(inputs, outputs)

    def reset_parameters(self) -> None:
        init_weight(self.weight, self.in_features, self.outscale)
        nn.init.zeros_(self.bias)


class BlockLinear(nn.Module):
    """A linear map in g blocks: (..., in) -> (..., out), block k of the input feeds block k of the output alone.

    The weight is (g, in/g, out/g), so that the whole map is one bmm. Its fan-in counts all blocks, as published.
    """

    def __init__(self, inputs: int, outputs: int, blocks: int):
        super().__init__()
        if inputs % blocks or outputs % blocks:
            raise ValueError(f"blocks: {blocks} must divide {inputs} inputs and {outputs} outputs")
        self.blocks = blocks
        self.weight = nn.Parameter(torch.empty(blocks, inputs // blocks, outputs // blocks))
        self.bias = nn.Parameter(torch.zeros(outputs))
        init_weight(self.weight, inputs)

    def forward(self, x: Tensor) -> Tensor:
        lead = x.shape[:-1]
        x = x.reshape(-1, self.blocks, self.weight.shape[1]).transpose(0, 1)  # (g, N, in/g)
        y = torch.bmm(x, self.weight).transpose(0, 1)  # (N, g, out/g)
        return y.reshape(*lead, -1) + self.bias


class RMSNorm(nn.Module):
    """x * scale / sqrt(mean(x^2) + 1e-4) over the last axis, in float32; no shift."""

    def __init__(self, size: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.scale)


class NormSilu(RMSNorm):
    """The same, and SiLU."""

    def forward(self, x: Tensor) -> Tensor:
        return norm_silu(x, self.scale)


CACHED_ROWS = 1024  # of features: what a layer makes of so many stays in a core's cache until the next one takes it


def pieces(stack: Tensor) -> tuple[Tensor, ...]:
    """(T, N, F) along T: about CACHED_ROWS rows each on a CPU, and all at once elsewhere."""
    steps = max(1, CACHED_ROWS // stack.shape[1]) if stack.device.type == "cpu" else len(stack)
    return stack.split(steps)


def joined(parts: list[Tensor]) -> Tensor:
    """Along the last axis; a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


class MLP(nn.Module):
    """`layers` times linear, RMS norm, SiLU: (..., inputs) -> (..., units)."""

    def __init__(self, inputs: int, units: int, layers: int):
        super().__init__()
        sizes = [inputs] + [units] * layers
        self.linears = nn.ModuleList(Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.norms = nn.ModuleList(NormSilu(units) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = norm(linear(x))
        return x


class Head(nn.Module):
    """An MLP and one linear output: (..., inputs) -> (..., outputs)."""

    def __init__(self, inputs: int, units: int, layers: int, outputs: int, outscale: float = 1.0):
        super().__init__()
        self.mlp = MLP(inputs, units, layers)
        self.out = Linear(units, outputs, outscale)

    def forward(self, feat: Tensor) -> Tensor:
        return self.out(self.mlp(feat))
