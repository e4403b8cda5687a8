"""The decoder: features to what is observed, and what that costs."""

from torch import Tensor, nn

from ...envs.records import ObsSpec
from ..networks import MLP, Linear
from .codecs import channels_of, codecs_of, flat_keys, image_keys, width
from .images import ImageConfig, ImageDecoder, in_portions


class Decoder(nn.Module):
    """Features to what each key's codec takes a loss of: an MLP, then one linear map a key; for images a stack a size."""

    def __init__(
        self,
        specs: dict[str, ObsSpec],
        deter: int,
        stoch: int,
        units: int,
        layers: int,
        blocks: int = 8,
        images: ImageConfig | None = None,
    ):
        """deter, stoch: widths of the two parts of a feature; blocks: of the images' map from the first."""
        super().__init__()
        self.deter = deter
        self.specs, self.codecs = dict(sorted(specs.items())), codecs_of(specs)
        self.flat, self.images = flat_keys(specs), image_keys(specs)
        if self.flat:
            self.mlp = MLP(deter + stoch, units, layers)
        self.outputs = nn.ModuleList(Linear(units, width(self.codecs[key])) for key in self.flat)
        self.stacks = nn.ModuleList(
            ImageDecoder(*size, channels_of(specs, keys), deter, stoch, units, blocks, images or ImageConfig())
            for size, keys in self.images.items()
        )

    def forward(self, feat: Tensor) -> dict[str, Tensor]:
        """feat (..., F) -> key: (..., *output_shape): in symlog space for vectors, logits for categories, in [0, 1] for
        images."""
        lead, said = feat.shape[:-1], {}
        if self.flat:
            hidden = self.mlp(feat)
            for key, output in zip(self.flat, self.outputs, strict=True):
                said[key] = output(hidden).reshape((*lead, *self.codecs[key].output_shape))
        for keys, stack in zip(self.images.values(), self.stacks, strict=True):
            row = feat.flatten(0, -2)
            pixels = in_portions(stack, row[:, : self.deter], row[:, self.deter :])
            pixels = pixels.float().sigmoid().permute(0, 2, 3, 1)
            channels = [self.specs[key].shape[-1] for key in keys]
            for key, one in zip(keys, pixels.split(channels, -1), strict=True):
                said[key] = one.reshape((*lead, *one.shape[1:]))
        return said

    def losses(self, feat: Tensor, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The codecs' losses, summed over a key's dimensions: key -> feat's leading shape."""
        lead = feat.dim() - 1
        losses = {}
        for key, output in self(feat).items():
            loss = self.codecs[key].loss(output, obs[key])
            losses[key] = loss.flatten(lead).sum(-1) if loss.dim() > lead else loss
        return losses
