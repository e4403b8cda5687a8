"""The encoder: observations of all keys to one embedding."""

from functools import partial

import torch
from torch import Tensor, nn

from ...envs.records import ObsSpec
from ..networks import MLP, joined
from .codecs import channels_of, codecs_of, flat, flat_keys, image_keys, width
from .images import ImageConfig, ImageEncoder, in_portions


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
            images = [obs[key].flatten(0, -4) for key in keys]
            made = in_portions(partial(self._tokens, stack, keys), *images)
            tokens.append(made.reshape(*obs[keys[0]].shape[:-3], size))
        return joined(tokens)

    def _tokens(self, stack: nn.Module, keys: list[str], *images: Tensor) -> Tensor:
        """images: (N, H, W, C) as observed, a tensor a key -> (N, size)"""
        pixels = joined([self.codecs[key].encode(one) for key, one in zip(keys, images, strict=True)])
        return stack(pixels.permute(0, 3, 1, 2))
