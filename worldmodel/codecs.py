"""Observations to an embedding and back: one encoder, one decoder, and for each kind of observation a codec of its own."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..envs.records import Kind, ObsSpec
from .distributions import symlog
from .networks import MLP, Linear


class Codec(Protocol):
    """How the observations of one key go into a model and come out of it again."""

    @property
    def spec(self) -> ObsSpec: ...

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of what the decoder says about one observation; as many numbers go in."""
        ...

    def encode(self, value: Tensor) -> Tensor:
        """(..., *shape) as observed -> (..., *output_shape)"""
        ...

    def loss(self, output: Tensor, value: Tensor) -> Tensor:
        """What the decoder said (..., *output_shape) against what was observed (..., *shape) -> (..., *shape)"""
        ...


@dataclass(frozen=True)
class VectorCodec:
    """Real numbers: symlogged on the way in, and on the way out a squared error in symlog space."""

    spec: ObsSpec

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.spec.shape

    def encode(self, value: Tensor) -> Tensor:
        return symlog(value)

    def loss(self, output: Tensor, value: Tensor) -> Tensor:
        return (output.float() - symlog(value)) ** 2


@dataclass(frozen=True)
class CategoryCodec:
    """Integers in 0 .. classes-1: one-hot on the way in, and on the way out the cross-entropy of logits."""

    spec: ObsSpec

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (*self.spec.shape, self.spec.classes)

    def encode(self, value: Tensor) -> Tensor:
        return F.one_hot(value.long(), self.spec.classes).float()

    def loss(self, output: Tensor, value: Tensor) -> Tensor:
        log_probs = torch.log_softmax(output.float(), -1)
        return -log_probs.gather(-1, value.long().unsqueeze(-1)).squeeze(-1)


CODECS: dict[Kind, type[VectorCodec] | type[CategoryCodec]] = {"vector": VectorCodec, "category": CategoryCodec}


def codecs_of(specs: dict[str, ObsSpec]) -> dict[str, Codec]:
    """One codec for each key, in the order of the keys, in which encoder and decoder take them."""
    return {key: CODECS[spec.kind](spec) for key, spec in sorted(specs.items())}


def width(codec: Codec) -> int:
    """How many numbers an observation is to a model, 1 for a scalar."""
    return math.prod(codec.output_shape)


class Encoder(nn.Module):
    """Observations to an embedding: what the codecs make of all keys, side by side, through an MLP. -> (..., units)"""

    def __init__(self, specs: dict[str, ObsSpec], units: int, layers: int):
        super().__init__()
        self.codecs = codecs_of(specs)
        self.mlp = MLP(sum(map(width, self.codecs.values())), units, layers)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        return self.mlp(torch.cat([_flat(obs[key], codec) for key, codec in self.codecs.items()], -1))


class Decoder(nn.Module):
    """Features to observations: an MLP, then one linear map a key, to what its codec takes a loss of."""

    def __init__(self, specs: dict[str, ObsSpec], inputs: int, units: int, layers: int):
        super().__init__()
        self.specs, self.codecs = dict(sorted(specs.items())), codecs_of(specs)
        self.mlp = MLP(inputs, units, layers)
        self.outputs = nn.ModuleList(Linear(units, width(codec)) for codec in self.codecs.values())

    def forward(self, feat: Tensor) -> dict[str, Tensor]:
        """feat (..., F) -> key: (..., *output_shape), in symlog space for vectors and logits for categories."""
        hidden = self.mlp(feat)
        return {
            key: output(hidden).reshape((*feat.shape[:-1], *codec.output_shape))
            for (key, codec), output in zip(self.codecs.items(), self.outputs, strict=True)
        }

    def losses(self, feat: Tensor, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The codecs' losses, summed over a key's dimensions: key -> feat's leading shape."""
        lead = feat.dim() - 1
        losses = {}
        for key, output in self(feat).items():
            loss = self.codecs[key].loss(output, obs[key])
            losses[key] = loss.flatten(lead).sum(-1) if loss.dim() > lead else loss
        return losses


def _flat(value: Tensor, codec: Codec) -> Tensor:
    """(..., *shape) -> (..., width)"""
    lead = value.shape[: value.dim() - len(codec.spec.shape)]
    return codec.encode(value).reshape((*lead, width(codec)))
