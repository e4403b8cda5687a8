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
_LARGE, _PIECE = 1 << 22, 1 << 18  # numbers: of what is cut, and of the pieces that it is cut into
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
    """SiLU of the RMS norm over the last axis: (..., n) -> (..., n). scale: (n,), or with axes before it that x has too."""
    if not is_plain_cpu(x, scale):
        return F.silu(rms_norm(x, scale))
    if torch.is_grad_enabled() and (x.requires_grad or scale.requires_grad):
        return _NormSilu.apply(x, scale)  # type: ignore[return-value]
    return _norm_silu(x, scale)[0]


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


def _norm_silu(x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """SiLU of h * scale; h, which is x over the root of its mean square; and one over that root (..., 1)."""
    made = torch.empty_like(x), torch.empty_like(x), torch.empty_like(x[..., :1])
    for piece, y, normed, inverse in _in_pieces(x, *made):
        torch.linalg.vector_norm(piece, dim=-1, keepdim=True, out=inverse)
        inverse.mul_(inverse).div_(x.shape[-1]).add_(EPSILON).rsqrt_()
        torch.mul(piece, inverse, out=normed)
        F.silu(torch.mul(normed, scale, out=y), inplace=True)
    return made


def _in_pieces(*rows: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Tensors of as many rows each, cut into pieces that stay in a core's cache from one pass to the next; what is smaller than
    many such pieces is not cut."""
    numbers, count = rows[0].numel(), len(rows[0])
    if numbers < _LARGE:
        return (rows,)
    each = max(1, _PIECE * count // numbers)
    return zip(*(one.split(each) for one in rows), strict=True)


class _NormSilu(torch.autograd.Function):
    """With s the scale, h the normalised x, y = h s, and d the gradient to y: that to x is (d s - h mean(d s h)) / root."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        y, normed, inverse = _norm_silu(x, scale)
        ctx.save_for_backward(normed, inverse, scale)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        normed, inverse, scale = ctx.saved_tensors
        to_x, to_scale = torch.empty_like(normed), torch.zeros_like(scale)
        for out, piece, h, over_root in _in_pieces(to_x, grad, normed, inverse):
            torch.ops.aten.silu_backward.grad_input(piece, h * scale, grad_input=out)
            along = out * h
            to_scale += along.reshape(-1, *scale.shape).sum(0)
            # A scale for each member of an ensemble is no vector to multiply with.
            total = (along @ scale).unsqueeze(-1) if scale.dim() == 1 else along.mul_(scale).sum(-1, keepdim=True)
            out.mul_(scale).addcmul_(h, total, value=-1.0 / h.shape[-1]).mul_(over_root)
        return to_x, to_scale
