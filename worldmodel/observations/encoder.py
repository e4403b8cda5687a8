"""The encoder: observations of all keys to one embedding."""

import torch
from torch import Tensor, nn

from ...envs.records import ObsSpec
from ..networks import MLP
from .codecs import channels_of, codecs_of, flat, flat_keys, image_keys, joined, width
from .images import ImageConfig, ImageEncoder


class Encoder(nn.Module):
    """Observations to an embedding (..., size): an MLP of all vectors and categories, then a stack for each size of image."""

    def __init__(self, specs: dict[str, ObsSpec], units: int, layers: int, images: ImageConfig | None = None):
        super().__init__()
        self.codecs = codecs_of(specs)
        self.flat, self.images = flat_keys(specs), image_keys(specs)
        if self.flat:
            self.mlp = MLP(sum(width(self.codecs[key]) for key in self.flat), units, layers)
        config = images or ImageConfig()
        stacks = [ImageEncoder(*size, channels_of(specs, keys), config) for size, keys in self.images.items()]
        self.stacks = nn.ModuleList(stacks)
        self.sizes = [stack.size for stack in stacks]
        self.size = (units if self.flat else 0) + sum(self.sizes)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        tokens = []
        if self.flat:
            tokens.append(self.mlp(torch.cat([flat(self.codecs[key], obs[key]) for key in self.flat], -1)))
        for keys, stack, size in zip(self.images.values(), self.stacks, self.sizes, strict=True):
            lead = obs[keys[0]].shape[:-3]
            pixels = joined([self.codecs[key].encode(obs[key]) for key in keys]).flatten(0, -4)
            tokens.append(stack(pixels.permute(0, 3, 1, 2)).reshape(*lead, size))
        return joined(tokens)
