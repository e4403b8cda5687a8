"""Convolutions for images: stacks that make tokens of them, and stacks that make images of features.

Two topologies. `pooled` is DreamerV3's present one: 5x5 convolutions of stride 1, max-pooled on the way in, nearest upsampling
on the way out. `strided` is that of its 2024 commit (2411f7d): one convolution at full size, then strides of 2, transposed on the
way out; a fifth less arithmetic. Images are (..., H, W, C) outside; inside they are (N, C, H, W), channels last in memory.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..fused.elementwise import LANES, norm_silu
from ..networks import BlockLinear, Linear, RMSNorm, init_weight

KERNEL = 5
MOST_IMAGES = 1024  # in the convolutions at once: a batch of 16 x 64
HALVINGS = 4  # a side of 64 becomes one of 4
FEW = LANES // 2  # channels leave half of a vector unit empty, or more
MULTIPLIERS = {"pooled": (2, 3, 4, 4), "strided": (1, 2, 3, 4, 4)}  # of the depth, from the image inwards


@dataclass(frozen=True)
class ImageConfig:
    depth: int = 8  # channels are 1 to 4 times as many
    topology: Literal["pooled", "strided"] = "pooled"  # as published; strided: as in 2024, a fifth less arithmetic

    def __post_init__(self):
        if self.depth < 1:
            raise ValueError(f"depth: must be at least 1, got {self.depth}")
        if self.topology not in MULTIPLIERS:
            raise ValueError(f"topology: must be one of {', '.join(MULTIPLIERS)}, got {self.topology!r}")

    @property
    def channels(self) -> list[int]:
        """Of each convolution, from the image inwards."""
        return [self.depth * one for one in MULTIPLIERS[self.topology]]


def in_portions(function: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """What `function` makes of rows (N, ...), MOST_IMAGES at a time: so many bound the room that it needs meanwhile."""
    portions = zip(*(one.split(MOST_IMAGES) for one in rows), strict=True)
    made = [function(*portion) for portion in portions]
    return made[0] if len(made) == 1 else torch.cat(made)


def inner_size(height: int, width: int) -> tuple[int, int]:
    """Of the innermost map. ValueError for images whose sides are no multiples of 16."""
    if height % 2**HALVINGS or width % 2**HALVINGS:
        raise ValueError(f"images: sides must be multiples of {2**HALVINGS}, got {height} x {width}")
    return height >> HALVINGS, width >> HALVINGS


class ImageEncoder(nn.Module):
    """Images of one size, their channels side by side: (N, C, H, W) from -0.5 to 0.5 -> tokens (N, size)."""

    def __init__(self, height: int, width: int, channels: int, config: ImageConfig):
        super().__init__()
        rows, columns = inner_size(height, width)
        self.size = rows * columns * config.channels[-1]
        sizes = itertools.pairwise([channels, *config.channels])
        is_pooled = config.topology == "pooled"
        self.layers = nn.ModuleList(
            Inwards(*size, is_pooled, is_strided=not is_pooled and place > 0) for place, size in enumerate(sizes)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x.permute(0, 2, 3, 1).flatten(1)


class Inwards(nn.Module):
    """Convolution, pooling where there is any, RMS norm over the channels, SiLU."""

    def __init__(self, inputs: int, outputs: int, is_pooled: bool, is_strided: bool):
        super().__init__()
        self.conv, self.norm = Conv(inputs, outputs), RMSNorm(outputs)
        self.is_pooled, self.stride = is_pooled, 2 if is_strided else 1

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x, self.stride)
        return activated(F.max_pool2d(x, 2) if self.is_pooled else x, self.norm.scale)


class ImageDecoder(nn.Module):
    """Features to images of one size, their channels side by side: -> (N, C, H, W), before the sigmoid."""

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        deter: int,
        stoch: int,
        units: int,
        blocks: int,
        config: ImageConfig,
    ):
        """deter, stoch: widths of the two parts of a feature; blocks: of the map from deter."""
        super().__init__()
        self.is_pooled = config.topology == "pooled"
        *outer, inner = config.channels
        self.inner = (*inner_size(height, width), inner)
        cells = math.prod(self.inner)
        self.blocks = math.gcd(blocks, inner)  # a block has channels of its own
        self.from_deter = BlockLinear(deter, cells, self.blocks)
        self.from_stoch, self.stoch_norm = Linear(stoch, 2 * units), RMSNorm(2 * units)
        self.to_map, self.map_norm = Linear(2 * units, cells), RMSNorm(inner)
        sizes = [inner, *reversed(outer)]
        self.layers = nn.ModuleList(Outwards(*size, self.is_pooled) for size in itertools.pairwise(sizes))
        self.out = Conv(sizes[-1], channels)

    def forward(self, deter: Tensor, stoch: Tensor) -> Tensor:
        """deter (N, D), stoch (N, S*K)"""
        rows, columns, channels = self.inner
        x = self.from_deter(deter).view(-1, self.blocks, rows, columns, channels // self.blocks)
        x = x.permute(0, 2, 3, 1, 4).flatten(3)  # (N, h, w, c), block by block
        hidden = norm_silu(self.from_stoch(stoch), self.stoch_norm.scale)
        x = norm_silu(x + self.to_map(hidden).view(x.shape), self.map_norm.scale).permute(0, 3, 1, 2)
        *inner, outermost = self.layers
        for layer in inner:
            x = layer(x)
        if self.is_pooled:
            return self.out.upsampled(outermost(x))
        return unfolded(self.out.in_cells(outermost(x, is_in_cells=True)))


class Outwards(nn.Module):
    """A convolution that doubles the sides, RMS norm over the channels, SiLU."""

    def __init__(self, inputs: int, outputs: int, is_pooled: bool):
        super().__init__()
        self.conv, self.norm, self.is_pooled = Conv(inputs, outputs), RMSNorm(outputs), is_pooled

    def forward(self, x: Tensor, is_in_cells: bool = False) -> Tensor:
        """is_in_cells: the outcome of a transposed convolution is left as `Conv.in_cells` takes it."""
        if is_in_cells:
            assert not self.is_pooled
            return activated(self.conv.transposed_in_cells(x), self.norm.scale)
        return activated(self.conv.upsampled(x) if self.is_pooled else self.conv.transposed(x), self.norm.scale)


class Conv(nn.Module):
    """A 5x5 convolution (N, C, H, W) -> (N, out, H, W); DreamerV3's initialisation, zero biases."""

    fold: Tensor  # (2, 3, 5)
    turned: Tensor  # (2, 3, 5)
    pairs: Tensor  # (2, 3, 2, 5)

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, KERNEL, KERNEL))
        self.bias = nn.Parameter(torch.zeros(outputs))
        init_weight(self.weight, inputs * KERNEL**2)
        self.register_buffer("fold", folded_rows(), persistent=False)
        self.register_buffer("turned", turned_rows(), persistent=False)
        self.register_buffer("pairs", columns_of_pairs(), persistent=False)

    def forward(self, x: Tensor, stride: int = 1) -> Tensor:
        """stride: 1 or 2; the sides are even."""
        outputs, inputs = self.weight.shape[:2]
        if (outputs if stride == 1 else inputs) <= FEW:
            return self.in_pairs(x, stride)
        return F.conv2d(x, channels_last(self.weight), self.bias, stride, KERNEL // 2)

    def in_pairs(self, x: Tensor, stride: int = 1) -> Tensor:
        """What `forward` gives, two pixels of a row at a time: a 5x3 convolution from twice the channels, with stride 1 to twice
        as many, all of which are views of images. A fifth more arithmetic, in less time where channels are few."""
        outputs, inputs = self.weight.shape[:2]
        pairs = self.pairs[: 2 // stride]
        weight = torch.einsum("qktb,oiab->qotiak", pairs, self.weight).reshape(-1, 2 * inputs, KERNEL, 3)
        x = x.permute(0, 2, 3, 1)
        n, height, width = x.shape[:3]
        assert height % 2 == width % 2 == 0, x.shape
        x = x.reshape(n, height, width // 2, 2 * inputs).permute(0, 3, 1, 2)
        x = F.conv2d(x, channels_last(weight), self.bias.repeat(len(pairs)), (stride, 1), (KERNEL // 2, 1))
        return x.permute(0, 2, 3, 1).reshape(n, height // stride, width // stride, outputs).permute(0, 3, 1, 2)

    def in_cells(self, x: Tensor) -> Tensor:
        """What `forward` gives of images of which each cell of 2x2 pixels is one, (N, 4 C, H, W) -> (N, 4 out, H, W): a 3x3
        convolution. 1.44 times the arithmetic, in half the time where three outputs leave a vector unit empty."""
        outputs, inputs = self.weight.shape[:2]
        weight = torch.einsum("pjsa,qktb,oiab->pqostijk", self.pairs, self.pairs, self.weight)
        return F.conv2d(x, channels_last(weight.reshape(4 * outputs, 4 * inputs, 3, 3)), self.bias.repeat(4), 1, 1)

    def transposed(self, x: Tensor) -> Tensor:
        """The transposed convolution of stride 2: (N, C, H, W) -> (N, out, 2 H, 2 W)."""
        weight = channels_last(self.weight.transpose(0, 1))
        return F.conv_transpose2d(x, weight, self.bias, 2, KERNEL // 2, output_padding=1)

    def transposed_in_cells(self, x: Tensor) -> Tensor:
        """The same with each cell of 2x2 pixels as one, by a 3x3 convolution: (N, C, H, W) -> (N, 4 out, H, W). 1.44 times the
        arithmetic, since some of its weights are zero."""
        return self._to_cells(x, self.turned)

    def upsampled(self, x: Tensor) -> Tensor:
        """The convolution of x upsampled twofold to its nearest neighbours: (N, C, H, W) -> (N, out, 2 H, 2 W).

        Five rows of the upsampled image are three rows of x, two of them twice. So four 3x3 convolutions of x, one for
        each place in a cell of 2x2, give the same in 9/25 of the arithmetic, and nothing is upsampled.
        """
        return unfolded(self._to_cells(x, self.fold))

    def _to_cells(self, x: Tensor, rows: Tensor) -> Tensor:
        """A 3x3 convolution for each place in a cell. rows (2, 3, 5): which of the five weights each of its three has, summed."""
        outputs, inputs = self.weight.shape[:2]
        weight = torch.einsum("pja,qkb,oiab->pqoijk", rows, rows, self.weight).reshape(4 * outputs, inputs, 3, 3)
        return F.conv2d(x, channels_last(weight), self.bias.repeat(4), 1, 1)


def unfolded(x: Tensor) -> Tensor:
    """Channels as cells of 2x2 pixels, row by row: (N, 4 C, H, W) -> (N, C, 2 H, 2 W)."""
    n, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, height, width, 2, 2, channels // 4).transpose(2, 3)
    return x.reshape(n, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


def columns_of_pairs() -> Tensor:
    """(2, 3, 2, 5): which column s of the three pairs around a pair is the b-th of the five columns around its column q."""
    columns = torch.zeros(2, 3, 2, KERNEL)
    for q in range(2):
        for b in range(KERNEL):
            pair, column = divmod(q + b - KERNEL // 2, 2)
            columns[q, pair + 1, column, b] = 1.0
    return columns


def turned_rows() -> Tensor:
    """(2, 3, 5): which of the three rows around row i the a-th weight of a transposed convolution brings to row 2i, and to
    row 2i + 1."""
    turned = torch.zeros(2, 3, KERNEL)
    for place in range(2):
        for row in range(3):
            a = place + KERNEL // 2 - 2 * (row - 1)
            if a < KERNEL:
                turned[place, row, a] = 1.0
    return turned


def folded_rows() -> Tensor:
    """(2, 3, 5): which of the three rows around row i is the a-th of the five around row 2i, and around row 2i + 1, of the
    upsampled image."""
    fold = torch.zeros(2, 3, KERNEL)
    for place in range(2):
        for a in range(KERNEL):
            fold[place, (place + a - KERNEL // 2) // 2 + 1, a] = 1.0
    return fold


def channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def activated(x: Tensor, scale: Tensor) -> Tensor:
    """SiLU of the RMS norm over C, of (N, C, H, W) or, each pixel by itself, of cells (N, 4 C, H, W)."""
    x = x.permute(0, 2, 3, 1)
    return norm_silu(x.unflatten(-1, (-1, len(scale))), scale).reshape(x.shape).permute(0, 3, 1, 2)
