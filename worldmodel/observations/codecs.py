"""For each kind of observation a codec: how it goes into a model and comes out again."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ...envs.records import Kind, ObsSpec
from ..distributions import symexp, symlog


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

    def decode(self, output: Tensor) -> Tensor:
        """What the decoder said (..., *output_shape) -> the observation that it means (..., *shape), of the spec's type"""
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

    def decode(self, output: Tensor) -> Tensor:
        return symexp(output.float())


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

    def decode(self, output: Tensor) -> Tensor:
        return output.argmax(-1).int()


@dataclass(frozen=True)
class ImageCodec:
    """Bytes: from -0.5 to 0.5 on the way in, and on the way out a squared error on [0, 1]."""

    spec: ObsSpec

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.spec.shape

    def encode(self, value: Tensor) -> Tensor:
        return value.float() / 255 - 0.5

    def loss(self, output: Tensor, value: Tensor) -> Tensor:
        return (output.float() - value.float() / 255) ** 2

    def decode(self, output: Tensor) -> Tensor:
        return (output.float() * 255).round().clamp(0, 255).byte()


CODECS: dict[Kind, type[VectorCodec] | type[CategoryCodec] | type[ImageCodec]] = {
    "vector": VectorCodec,
    "category": CategoryCodec,
    "image": ImageCodec,
}


def codecs_of(specs: dict[str, ObsSpec]) -> dict[str, Codec]:
    """One codec for each key, in the order of the keys, in which encoder and decoder take them."""
    return {key: CODECS[spec.kind](spec) for key, spec in sorted(specs.items())}


def width(codec: Codec) -> int:
    """How many numbers an observation is to a model, 1 for a scalar."""
    return math.prod(codec.output_shape)


def flat_keys(specs: dict[str, ObsSpec]) -> list[str]:
    """Those of vectors and categories, which an MLP takes side by side."""
    return [key for key, spec in sorted(specs.items()) if spec.kind != "image"]


def image_keys(specs: dict[str, ObsSpec]) -> dict[tuple[int, int], list[str]]:
    """Keys of the images of each size (height, width): a stack of convolutions takes their channels side by side."""
    sizes: dict[tuple[int, int], list[str]] = {}
    for key, spec in sorted(specs.items()):
        if spec.kind == "image":
            sizes.setdefault((spec.shape[0], spec.shape[1]), []).append(key)
    return dict(sorted(sizes.items()))


def channels_of(specs: dict[str, ObsSpec], keys: list[str]) -> int:
    """Of these images side by side."""
    return sum(specs[key].shape[-1] for key in keys)


def flat(codec: Codec, value: Tensor) -> Tensor:
    """An observation as an MLP takes it: (..., *shape) -> (..., width)"""
    lead = value.shape[: value.dim() - len(codec.spec.shape)]
    return codec.encode(value).reshape((*lead, width(codec)))
