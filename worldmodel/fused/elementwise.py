"""Elementwise work that a CPU does in one pass over memory after another, each in as few passes as there are: norm with SiLU, and
the gates of the recurrent core.

The arithmetic is that of the plain expressions, which are used wherever something else fuses or differentiates them: on a GPU,
under a compiler, in another type than float32, under torch.func.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-4  # of the norm, as published
LANES = 16  # numbers that a CPU's vector unit takes at once
_LARGE, _PIECE = 1 << 22, 1 << 18  # numbers: from how many on a tensor is cut, and a thread's part of a piece
UPDATE_BIAS = 1.0  # is taken off the update gate's bias, so that states change slowly at first; as published

_is_own_order = False  # torch itself does not tell an export from a compiler inside a loop that it takes down


@contextmanager
def own_order() -> Iterator[None]:
    """What is exported meanwhile keeps to the order of operations on a CPU, and so to a run's own numbers, bit for bit."""
    global _is_own_order
    _is_own_order = True
    try:
        yield
    finally:
        _is_own_order = False


def rms_norm(x: Tensor, scale: Tensor) -> Tensor:
    """x * scale / sqrt(mean(x^2) + 1e-4) over the last axis, in float32, of x's type. scale: (..., size of that axis)"""
    normed = F.rms_norm(x.float(), x.shape[-1:], scale if scale.dim() == 1 else None, EPSILON)
    return (normed if scale.dim() == 1 else normed * scale).to(x.dtype)


def norm_silu(x: Tensor, scale: Tensor) -> Tensor:
    """SiLU of the RMS norm over the last axis: (N, ..., n) -> (N, ..., n). scale: (n,), or with axes before it that x has too
    after its first."""
    if not is_plain_cpu(x, scale):
        return F.silu(rms_norm(x, scale))
    if torch.is_grad_enabled() and (x.requires_grad or scale.requires_grad):
        is_large = x.numel() >= _LARGE and scale.dim() == 1
        return (_LargeNormSilu if is_large else _NormSilu).apply(x, scale)  # type: ignore[return-value]
    return F.silu(_normed(x)[0].mul_(scale), inplace=True)


def gated(gates: Tensor, deter: Tensor) -> Tensor:
    """A step of the recurrent state, in float32: gates (g, N, 3 D/g), which may be overwritten, and deter (N, D) -> (N, D).

    The three are reset, candidate and update, whose bias is UPDATE_BIAS lower than it says.
    """
    groups, n = gates.shape[:2]
    gates = gates.float()
    reset, cand, update = gates.chunk(3, -1)  # (g, N, D/g)
    if is_plain_cpu(gates, deter) and not torch.is_grad_enabled():
        # tanh(z) = 2 sigmoid(2 z) - 1: torch's sigmoid takes a sixth of the time of its tanh.
        cand.mul_(reset.sigmoid_()).mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)
        update.sub_(UPDATE_BIAS).sigmoid_()
    else:
        cand = torch.tanh(torch.sigmoid(reset) * cand)
        update = torch.sigmoid(update - UPDATE_BIAS)
    blocks = deter.unflatten(-1, (groups, -1))  # (N, g, D/g)
    return torch.lerp(blocks, cand.transpose(0, 1), update.transpose(0, 1)).reshape(n, -1)


def gated_in_place(gates: Tensor, deter: Tensor) -> Tensor:
    """As `gated` where nothing is learned, in two thirds of the passes; UPDATE_BIAS is taken off the update already, and
    `gates` are overwritten."""
    reset, cand, update = gates.chunk(3, -1)
    # tanh(z) = 2 sigmoid(2 z) - 1
    torch.addcmul(gates.new_zeros(()), cand, reset.sigmoid_(), value=2.0, out=cand).sigmoid_()
    torch.add(gates.new_full((), -1.0), cand, alpha=2.0, out=cand)
    after = torch.empty_like(deter, memory_format=torch.contiguous_format)
    torch.lerp(in_blocks(deter, len(gates)), cand, update.sigmoid_(), out=in_blocks(after, len(gates)))
    return after


def in_blocks(x: Tensor, blocks: int) -> Tensor:
    """(N, D) -> (g, N, D/g), a view"""
    return x.view(len(x), blocks, -1).transpose(0, 1)


def is_plain_cpu(*tensors: Tensor) -> bool:
    """Whether all are float32 on a CPU, where nothing else fuses or differentiates what is done with them."""
    is_traced = (torch.compiler.is_compiling() and not _is_own_order) or torch._C._are_functorch_transforms_active()
    return not is_traced and all(x.dtype == torch.float32 and x.device.type == "cpu" for x in tensors)


def _normed(x: Tensor) -> tuple[Tensor, Tensor]:
    """x over the root of its mean square, a new tensor, and one over that root (..., 1)."""
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    inverse = size.mul_(size).div_(x.shape[-1]).add_(EPSILON).rsqrt_()
    return x * inverse, inverse


class _NormSilu(torch.autograd.Function):
    """With s the scale, h the normalised x, y = h s, and d the gradient to y: that to x is (d s - h mean(d s h)) / root."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        normed, inverse = _normed(x)
        ctx.save_for_backward(normed, inverse, scale)
        return F.silu(normed * scale, inplace=True)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        normed, inverse, scale = ctx.saved_tensors
        to_y = torch.ops.aten.silu_backward(grad, normed * scale)
        along = to_y * normed
        to_scale = along.reshape(-1, *scale.shape).sum(0)
        # A scale for each member of an ensemble is no vector to multiply with.
        total = (along @ scale).unsqueeze(-1) if scale.dim() == 1 else along.mul_(scale).sum(-1, keepdim=True)
        to_x = to_y.mul_(scale).addcmul_(normed, total, value=-1.0 / normed.shape[-1]).mul_(inverse)
        return to_x, to_scale


class _LargeNormSilu(torch.autograd.Function):
    """The same of what is large, scale (n,): it goes through all passes piece by piece, so that a core's cache has it from one
    pass to the next, and what is normalised is made anew on the way back rather than written to memory.

    Rows (n,) too short for a vector unit lie side by side, as in `_beside`. There are products here, which autocast would
    make in bfloat16, so it is off."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        x = x.contiguous()
        n = _beside(x)
        y, inverse = torch.empty_like(x), x.new_empty(x.numel() // (n * len(scale)), n)
        ones, scales = x.new_ones(len(scale)), scale.repeat(n)
        for piece, to, over_root in _pieces(scales, x, y, inverse):
            size = ((piece * piece).view(-1, len(scale)) @ ones).view_as(over_root)
            torch.rsqrt(size.div_(len(scale)).add_(EPSILON), out=over_root)
            torch.ops.aten.silu.out((piece * _spread(over_root, len(scale))).mul_(scales), out=to)
        ctx.save_for_backward(x, inverse, scale)
        return y

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        x, inverse, scale = ctx.saved_tensors
        to_x, to_scale, scales = torch.empty_like(x), torch.zeros_like(scale), scale.repeat(inverse.shape[1])
        for to, d, piece, over_root in _pieces(scales, to_x, grad.contiguous(), x, inverse):
            spread = _spread(over_root, len(scale))
            normed = piece * spread
            to_y = torch.ops.aten.silu_backward(d, normed * scales)
            along = (to_y * normed).view(-1, len(scale))
            to_scale += along.sum(0)
            total = _spread((along @ scale).view_as(over_root), len(scale))
            torch.mul(to_y.mul_(scales).addcmul_(normed, total, value=-1.0 / len(scale)), spread, out=to)
        return to_x, to_scale


def _beside(x: Tensor) -> int:
    """How many rows of the last axis are handled as one: a row that is shorter than a vector unit takes four times as long to
    multiply with a number of its own."""
    n = max(1, LANES // x.shape[-1])
    return n if x.numel() % (n * x.shape[-1]) == 0 else 1


def _spread(numbers: Tensor, width: int) -> Tensor:
    """One number for each row -> for each of a row's `width` numbers: (N, n) -> (N, n * width); of one row (N, 1), which is as
    good. What is not finite spoils the n - 1 rows beside it too."""
    n = numbers.shape[1]
    if n == 1:
        return numbers
    return numbers @ torch.eye(n, dtype=numbers.dtype, device=numbers.device).repeat_interleave(width, 1)


def _pieces(scales: Tensor, *rows: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Of tensors with as many rows each, for every thread some _PIECE numbers at a time: (N, ...) -> (m, len(scales)), the
    last one's (N, n) -> (m, n)."""
    each = max(1, _PIECE * torch.get_num_threads() // len(scales))
    *wide, numbers = rows
    return zip(*(one.view(-1, len(scales)).split(each) for one in wide), numbers.split(each), strict=True)
