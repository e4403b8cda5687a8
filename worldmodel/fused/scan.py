"""The RSSM's scan over observations with a backward pass of its own, for a CPU.

A step has few rows (the batch) and many weights. What autograd does after every step costs more than the step: for each weight
a product as large as the weight itself, and one more pass over memory to add it to those before. Here the way back follows the
rows alone, and each weight's gradient is one product over the rows of all steps in the end. Nor does either way keep books of
single operations.

Letters: B rows of a batch, T steps; D numbers of recurrent state in g blocks, h of a hidden layer, S groups of K classes. `to_x` is
the gradient to x. The steps are those of `RSSM.observe_step`: whoever changes these changes both.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..distributions import categorical_sample, softmax
from .elementwise import EPSILON, UPDATE_BIAS, in_blocks


class Rows(NamedTuple):
    """What each step is given."""

    keep: Tensor  # (B, T, 1), 0 where an episode begins, else 1
    action_in: Tensor  # (B, T, D), the actions' share of the core, bias included
    embed_in: Tensor  # (B, T, h), the embeddings' share of the posterior, bias included
    noise: Tensor  # (B, T, S), uniform


class Weights(NamedTuple):
    """Of a step of the core and of the posterior after it."""

    in_deter: Tensor  # (h, D)
    in_deter_bias: Tensor
    in_stoch: Tensor  # (h, S*K)
    in_stoch_bias: Tensor
    in_scale: Tensor  # (2, h), of the norms of both
    hidden: Tensor  # (2 h, D), from both into the core
    own: Tensor  # (g, D/g, D/g), from the state into the core
    core_scale: Tensor  # (D,)
    gates: Tensor  # (g, D/g, 3 D/g)
    gates_bias: Tensor  # (3 D,)
    posterior: Tensor  # (h, D), from the state
    posterior_scale: Tensor  # (h,)
    logit: Tensor  # (S*K, h)
    logit_bias: Tensor


def scan(rows: Rows, deter: Tensor, stoch: Tensor, weights: Weights, unimix: float) -> tuple[Tensor, Tensor, Tensor]:
    """From deter (B, D) and stoch (B, S*K); all in float32. -> deter (B, T, D), stoch (B, T, S*K), one-hot with the gradient
    of the probabilities, and these, (B, T, S, K)."""
    return _Scan.apply(unimix, *rows, deter, stoch, *weights)  # type: ignore[return-value]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, unimix: float, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, (deter, stoch), weights = Rows._make(given[:4]), given[4:6], Weights._make(given[6:])
        way = _Way.empty(rows, weights, unimix)
        stochs, probs = way.go(rows, deter, stoch, weights)
        ctx.save_for_backward(*weights, *way.tensors)
        ctx.unimix = unimix
        return turned(way.deter), torch.stack(stochs, 1), torch.stack(probs, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weights = Weights._make(ctx.saved_tensors[: len(Weights._fields)])
        back = _Back(_Way(ctx.saved_tensors[len(weights) :], ctx.unimix), weights)
        to_start = back.go(*map(turned, grads))
        to_rows = None, back.core.transpose(0, 1), back.posterior.transpose(0, 1), None
        return None, *to_rows, *to_start, *back.to_weights()


class _Norms:
    """A norm with SiLU over the last axis for each step: what it makes of its rows, and what the way back needs."""

    def __init__(self, normed: Tensor, out: Tensor, inverse: Tensor):
        """inverse (..., 1): one over the root of the mean square"""
        self.normed, self.out, self.inverse = normed, out, inverse
        self.epsilon, self.size = normed.new_full((), EPSILON), normed.shape[-1]

    @staticmethod
    def empty(like: Tensor, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
        return like.new_empty(shape), like.new_empty(shape), like.new_empty(*shape[:-1], 1)

    def go(self, t: int, x: Tensor, scale: Tensor) -> Tensor:
        inverse, normed = self.inverse[t], self.normed[t]
        torch.linalg.vector_norm(x, dim=-1, keepdim=True, out=inverse)
        torch.addcmul(self.epsilon, inverse, inverse, value=1 / self.size, out=inverse).rsqrt_()
        torch.mul(x, inverse, out=normed)
        return F.silu(torch.mul(normed, scale, out=self.out[t]), inplace=True)

    def back(self, t: int, grad: Tensor, scale: Tensor, to_y: Tensor, to_x: Tensor) -> None:
        """With s the scale, n the normed x, y = n s and d the gradient to y: that to x is (d s - n mean(d y)) / root."""
        normed = self.normed[t]
        y = normed * scale
        torch.ops.aten.silu_backward.grad_input(grad, y, grad_input=to_y)
        along = y.mul_(to_y).sum(-1, keepdim=True)
        torch.mul(to_y, scale, out=to_x).addcmul_(normed, along, value=-1 / self.size).mul_(self.inverse[t])


class _Way:
    """The steps one after the other, and what the way back needs of them. Tensors are (T, B, ...)."""

    def __init__(self, tensors: Sequence[Tensor], unimix: float):
        self.tensors, self.unimix = tensors, unimix
        self.keep, self.deter_in, self.deter, self.stoch_in, self.gates, self.candidate, self.soft = tensors[:7]
        self.inputs, self.core, self.posterior = (_Norms(*tensors[at : at + 3]) for at in (7, 10, 13))
        self.blocks = self.gates.shape[1]

    @classmethod
    def empty(cls, rows: Rows, weights: Weights, unimix: float) -> "_Way":
        (batch, steps), groups, like = rows.keep.shape[:2], rows.noise.shape[-1], rows.keep
        (hidden, deter), stoch, blocks = weights.in_deter.shape, weights.in_stoch.shape[1], len(weights.own)
        tensors = (
            turned(rows.keep),
            *(like.new_empty(steps, batch, size) for size in (deter, deter, stoch)),
            like.new_empty(steps, blocks, batch, 3 * deter // blocks),  # gates: reset, candidate before it, update
            like.new_empty(steps, blocks, batch, deter // blocks),
            like.new_empty(steps, batch, groups, stoch // groups),
            *_Norms.empty(like, steps, batch, 2, hidden),
            *_Norms.empty(like, steps, batch, deter),
            *_Norms.empty(like, steps, batch, hidden),
        )
        return cls(tensors, unimix)

    def go(self, rows: Rows, deter: Tensor, stoch: Tensor, weights: Weights) -> tuple[list[Tensor], list[Tensor]]:
        """-> what was drawn (B, S*K) and its probabilities (B, S, K), step by step"""
        stochs, mixed = [], []
        given = zip(*(one.unbind(1) for one in rows[1:]), strict=True)
        for t, (action_in, embed_in, noise) in enumerate(given):
            deter = self._recur(t, deter, stoch, action_in, weights)
            stoch, probs = self._look(t, deter, embed_in, noise, weights)
            stochs.append(stoch)
            mixed.append(probs)
        return stochs, mixed

    def _recur(self, t: int, deter: Tensor, stoch: Tensor, action_in: Tensor, weights: Weights) -> Tensor:
        """The next state of the core, (B, D)."""
        deter = torch.mul(deter, self.keep[t], out=self.deter_in[t])
        stoch = torch.mul(stoch, self.keep[t], out=self.stoch_in[t])
        from_both = torch.empty_like(self.inputs.out[t])  # (B, 2, h)
        torch.addmm(weights.in_deter_bias, deter, weights.in_deter.T, out=from_both[:, 0])
        torch.addmm(weights.in_stoch_bias, stoch, weights.in_stoch.T, out=from_both[:, 1])
        hidden = self.inputs.go(t, from_both, weights.in_scale).flatten(1)
        into = torch.addmm(action_in, hidden, weights.hidden)
        blocks = in_blocks(deter, self.blocks)
        in_blocks(into, self.blocks).add_(torch.bmm(blocks, weights.own))
        core = in_blocks(self.core.go(t, into, weights.core_scale), self.blocks)
        gates, candidate = self.gates[t], self.candidate[t]
        torch.baddbmm(weights.gates_bias.view(self.blocks, 1, -1), core, weights.gates, out=gates)
        reset, before, update = gates.chunk(3, -1)
        # No tanh by way of a sigmoid, as dreams have it: small candidates lose digits, and gradients add up over the steps.
        torch.mul(before, reset.sigmoid_(), out=candidate).tanh_()
        torch.lerp(blocks, candidate, update.sub_(UPDATE_BIAS).sigmoid_(), out=in_blocks(self.deter[t], self.blocks))
        return self.deter[t]

    def _look(self, t: int, deter: Tensor, embed_in: Tensor, noise: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        """What the posterior draws, (B, S*K), and its probabilities, (B, S, K)."""
        hidden = self.posterior.go(t, torch.addmm(embed_in, deter, weights.posterior.T), weights.posterior_scale)
        logits = torch.addmm(weights.logit_bias, hidden, weights.logit.T).view(self.soft[t].shape)
        soft = self.soft[t].copy_(softmax(logits))
        probs = torch.add(self.unimix / soft.shape[-1], soft, alpha=1 - self.unimix)
        # Where probabilities are no numbers what is drawn is none.
        return categorical_sample(probs, noise).add_(probs - probs).flatten(1), probs


class _Back:
    """The way back over the rows, and the gradients to what every product gave, from which those of the weights are made."""

    def __init__(self, way: _Way, weights: Weights):
        self.way, self.weights = way, weights
        steps, batch, deter = way.deter.shape
        self.logits = torch.empty_like(way.soft).flatten(2)
        self.to_y = {norms: torch.empty_like(norms.out) for norms in (way.inputs, way.core, way.posterior)}
        self.inputs, self.core, self.posterior = (torch.empty_like(one) for one in self.to_y.values())
        self.gates = way.deter.new_empty(way.blocks, steps, batch, 3 * deter // way.blocks)

    def go(self, to_deters: Tensor, to_stochs: Tensor, to_probs: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients to what came out, (T, B, ...), which may be overwritten -> those to the first state."""
        deter, stoch = torch.zeros_like(to_deters[0]), torch.zeros_like(to_stochs[0])
        for t in reversed(range(len(to_deters))):
            to_probs[t].view(stoch.shape).add_(stoch).add_(to_stochs[t])
            deter = self._look(t, to_probs[t], deter.add_(to_deters[t]))
            deter, stoch = self._recur(t, deter)
        return deter, stoch

    def _look(self, t: int, to_probs: Tensor, to_deter: Tensor) -> Tensor:
        soft = self.way.soft[t]
        inner = (to_probs * soft).sum(-1, keepdim=True)
        logits = self.logits[t]
        torch.mul(to_probs.sub_(inner), soft, out=logits.view(soft.shape)).mul_(1 - self.way.unimix)
        norms, to_hidden = self.way.posterior, logits @ self.weights.logit
        norms.back(t, to_hidden, self.weights.posterior_scale, self.to_y[norms][t], self.posterior[t])
        return to_deter.addmm_(self.posterior[t], self.weights.posterior)

    def _recur(self, t: int, to_deter: Tensor) -> tuple[Tensor, Tensor]:
        way, weights, keep = self.way, self.weights, self.way.keep[t]
        grad, blocks = in_blocks(to_deter, way.blocks), in_blocks(way.deter_in[t], way.blocks)
        (reset, before, update), candidate = way.gates[t].chunk(3, -1), way.candidate[t]
        to_reset, to_before, to_update = self.gates[:, t].chunk(3, -1)
        sigmoid_back, tanh_back = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
        sigmoid_back.grad_input((candidate - blocks).mul_(grad), update, grad_input=to_update)
        to_candidate = grad * update
        to_blocks = grad - to_candidate
        to_product = tanh_back(to_candidate, candidate)
        torch.mul(to_product, reset, out=to_before)
        sigmoid_back.grad_input(to_product.mul_(before), reset, grad_input=to_reset)
        core = torch.bmm(self.gates[:, t], weights.gates.mT).transpose(0, 1).reshape(to_deter.shape)
        way.core.back(t, core, weights.core_scale, self.to_y[way.core][t], self.core[t])
        both = (self.core[t] @ weights.hidden.T).view(self.inputs[t].shape)
        way.inputs.back(t, both, weights.in_scale, self.to_y[way.inputs][t], self.inputs[t])
        to_blocks = torch.baddbmm(to_blocks, in_blocks(self.core[t], way.blocks), weights.own.mT)
        from_blocks = to_blocks.transpose(0, 1).reshape(to_deter.shape)
        deter = from_blocks.addmm_(self.inputs[t, :, 0], weights.in_deter).mul_(keep)
        return deter, (self.inputs[t, :, 1] @ weights.in_stoch).mul_(keep)

    def to_weights(self) -> Weights:
        way = self.way
        scales = [to_y.mul_(norms.normed).sum((0, 1)) for norms, to_y in self.to_y.items()]
        core, posterior, logits = (one.flatten(0, 1) for one in (self.core, self.posterior, self.logits))
        from_deter, from_stoch = (self.inputs[:, :, place].flatten(0, 1) for place in range(2))
        deter_in, gates = way.deter_in.flatten(0, 1), self.gates.flatten(1, 2)
        return Weights(
            in_deter=from_deter.T @ deter_in,
            in_deter_bias=from_deter.sum(0),
            in_stoch=from_stoch.T @ way.stoch_in.flatten(0, 1),
            in_stoch_bias=from_stoch.sum(0),
            in_scale=scales[0],
            hidden=way.inputs.out.flatten(2).flatten(0, 1).T @ core,
            own=torch.bmm(in_blocks(deter_in, way.blocks).mT, in_blocks(core, way.blocks)),
            core_scale=scales[1],
            gates=torch.bmm(in_blocks(way.core.out.flatten(0, 1), way.blocks).mT, gates),
            gates_bias=gates.sum(1).flatten(),
            posterior=posterior.T @ way.deter.flatten(0, 1),
            posterior_scale=scales[2],
            logit=logits.T @ way.posterior.out.flatten(0, 1),
            logit_bias=logits.sum(0),
        )


def turned(x: Tensor) -> Tensor:
    """(B, T, ...) -> (T, B, ...) or back, a copy in any case: it may be overwritten"""
    return x.transpose(0, 1).clone(memory_format=torch.contiguous_format)
