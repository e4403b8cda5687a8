"""Layers of a DreamerV3: linear, block-linear, RMS norm, MLP, and the encoder and decoder of vector observations."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..envs.records import ObsSpec
from .distributions import symlog


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


def rms_norm(x: Tensor, scale: Tensor) -> Tensor:
    return F.rms_norm(x.float(), scale.shape, scale, 1e-4).to(x.dtype)


class SpectralCap(nn.Module):
    """Holds the largest singular value of `matrix * scale` at a limit, where matrix (..., P, Q) maps Q numbers to P and
    scale (..., 1, Q) is the gain of the RMS norm before it. Leading axes are maps of their own, blocks or members.

    Only a map that no norm follows is worth a cap. A norm after a map divides its size out again, so that capping a map
    in front of one changes next to nothing: of the recurrent core that leaves the gates, of a head its last map. There
    the gain of the norm in front belongs to the slope, or training would grow it and undo the cap. With SiLU between
    the two, whose slope is at most 1.1, the slope from the normalised features to the output is at most 1.1 * limit.
    Whether the whole world gets smoother is another matter, to be measured: the recurrent state, which the gates make, is
    normalised again wherever it is read.

    The weight itself is scaled down after an optimiser's step (a projection), instead of a quotient in every forward
    pass: scans, dreams and measurements see plain weights, and a weight does not drift up while its quotient stands
    still. One step of the power method an update; its vector is a buffer, so that a resumed run goes on with it. What it
    finds is at most the true value: after some updates the excess over the limit is a few percent at most.
    """

    def __init__(self, lead: tuple[int, ...], inputs: int, limit: float):
        super().__init__()
        self.limit = limit
        random = torch.Generator().manual_seed(0)  # its own: a capped run starts from the same weights as any other
        direction = torch.randn((*lead, inputs, 1), generator=random)
        self.register_buffer("direction", direction / direction.norm(dim=-2, keepdim=True))

    @torch.no_grad()
    def forward(self, matrix: Tensor, scale: Tensor) -> None:
        """Scales `matrix` (a parameter or a view of one) in place. The device is asked for no number."""
        gain = matrix * scale
        left = gain @ self.direction
        left = left / left.norm(dim=-2, keepdim=True).clamp(min=1e-30)
        right = gain.mT @ left
        size = right.norm(dim=-2, keepdim=True)  # (..., 1, 1)
        self.direction.copy_(torch.where(size > 0, right / size, self.direction))  # a head that is still zero has none
        matrix.mul_(self.limit / size.clamp(min=self.limit))


def check_limits(config, *names: str) -> None:
    """ValueError naming the field unless each is None (no cap) or above 0."""
    for name in names:
        limit = getattr(config, name)
        if limit is not None and not limit > 0:
            raise ValueError(f"{name}: must be above 0 or null, got {limit}")


class MLP(nn.Module):
    """`layers` times linear, RMS norm, SiLU: (..., inputs) -> (..., units)."""

    def __init__(self, inputs: int, units: int, layers: int):
        super().__init__()
        sizes = [inputs] + [units] * layers
        self.linears = nn.ModuleList(Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.norms = nn.ModuleList(RMSNorm(units) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = F.silu(norm(linear(x)))
        return x


class Head(nn.Module):
    """An MLP and one linear output: (..., inputs) -> (..., outputs)."""

    def __init__(self, inputs: int, units: int, layers: int, outputs: int, outscale: float = 1.0):
        super().__init__()
        self.mlp = MLP(inputs, units, layers)
        self.out = Linear(units, outputs, outscale)

    def forward(self, feat: Tensor) -> Tensor:
        return self.out(self.mlp(feat))


class Encoder(nn.Module):
    """Vector observations to an embedding: keys sorted, real numbers symlogged, integers one-hot. -> (..., units)."""

    def __init__(self, specs: dict[str, ObsSpec], units: int, layers: int):
        super().__init__()
        self.specs = dict(sorted(specs.items()))
        self.mlp = MLP(sum(_width(spec) for spec in specs.values()), units, layers)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        return self.mlp(torch.cat([_flat(obs[key], spec) for key, spec in self.specs.items()], -1))


class Decoder(nn.Module):
    """Features to observations: an MLP, then one linear map a key (real numbers in symlog space, integers as logits)."""

    def __init__(self, specs: dict[str, ObsSpec], inputs: int, units: int, layers: int):
        super().__init__()
        self.specs = dict(sorted(specs.items()))
        self.mlp = MLP(inputs, units, layers)
        self.outputs = nn.ModuleList(Linear(units, _width(spec)) for spec in self.specs.values())  # in the keys' order

    def forward(self, feat: Tensor) -> dict[str, Tensor]:
        """feat (..., F) -> key: (..., *shape) in symlog space, or logits (..., *shape, classes)."""
        hidden = self.mlp(feat)
        return {
            key: output(hidden).reshape(*feat.shape[:-1], *_output_shape(spec))
            for (key, spec), output in zip(self.specs.items(), self.outputs, strict=True)
        }

    def losses(self, feat: Tensor, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Squared error in symlog space, or cross-entropy, summed over a key's dimensions: key -> feat's leading shape."""
        lead = feat.dim() - 1
        losses = {}
        for key, output in self(feat).items():
            if self.specs[key].classes:
                log_probs = torch.log_softmax(output.float(), -1)
                loss = -log_probs.gather(-1, obs[key].long().unsqueeze(-1)).squeeze(-1)
            else:
                loss = (output.float() - symlog(obs[key])) ** 2
            losses[key] = loss.flatten(lead).sum(-1) if loss.dim() > lead else loss
        return losses


def _width(spec: ObsSpec) -> int:
    width = max(1, spec.classes)
    for size in spec.shape:
        width *= size
    return width


def _output_shape(spec: ObsSpec) -> tuple[int, ...]:
    return (*spec.shape, spec.classes) if spec.classes else spec.shape


def _flat(value: Tensor, spec: ObsSpec) -> Tensor:
    lead = value.shape[: value.dim() - len(spec.shape)]
    if spec.classes:
        return F.one_hot(value.long(), spec.classes).float().reshape(*lead, -1)
    return symlog(value).reshape(*lead, -1)
