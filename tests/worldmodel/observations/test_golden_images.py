"""Golden numbers of the convolutions as published, and what must hold for both topologies."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tandem.envs.records import ObsSpec
from tandem.worldmodel.observations import images
from tandem.worldmodel.observations.decoder import Decoder
from tandem.worldmodel.observations.encoder import Encoder
from tandem.worldmodel.observations.images import Conv, ImageConfig

PUBLISHED = ImageConfig(depth=4, topology="pooled")
SPECS = {"image": ObsSpec((64, 64, 3), kind="image")}


def load(conv: Conv, arrays: dict[str, Tensor], name: str) -> None:
    conv.weight.data.copy_(arrays[f"{name}/kernel"].permute(3, 2, 0, 1))
    conv.bias.data.copy_(arrays[f"{name}/bias"])


def test_golden_image_encoder(golden, check):
    g = golden("image_encoder")
    encoder = Encoder(SPECS, 16, 3, PUBLISHED)
    stack = encoder.stacks[0]
    for i, layer in enumerate(stack.layers):
        load(layer.conv, g, f"w/cnn{i}")
        layer.norm.scale.data.copy_(g[f"w/cnn{i}norm/scale"])
    assert encoder.size == 256
    check(encoder({"image": g["image"]}), g["tokens"], 3e-6, 2e-5, what="tokens")


def test_golden_image_decoder(golden, check):
    g = golden("image_decoder")
    decoder = Decoder(SPECS, deter=64, stoch=16, units=16, layers=3, blocks=8, images=PUBLISHED)
    stack = decoder.stacks[0]
    stack.from_deter.weight.data.copy_(g["w/sp0/kernel"])
    stack.from_deter.bias.data.copy_(g["w/sp0/bias"])
    for linear, norm, name in ((stack.from_stoch, stack.stoch_norm, "sp1"), (stack.to_map, None, "sp2")):
        linear.weight.data.copy_(g[f"w/{name}/kernel"].T)
        linear.bias.data.copy_(g[f"w/{name}/bias"])
        if norm is not None:
            norm.scale.data.copy_(g[f"w/{name}norm/scale"])
    stack.map_norm.scale.data.copy_(g["w/spnorm/scale"])
    for layer, i in zip(stack.layers, (2, 1, 0), strict=True):
        load(layer.conv, g, f"w/conv{i}")
        layer.norm.scale.data.copy_(g[f"w/conv{i}norm/scale"])
    load(stack.out, g, "w/imgout")
    feat = torch.cat([g["deter"], g["stoch"].flatten(-2)], -1)
    check(decoder(feat)["image"], g["recon"], 3e-6, 2e-5, what="reconstruction")
    check(decoder.losses(feat, {"image": g["image"]})["image"], g["loss"], 0, 1e-5, what="loss")


@pytest.fixture
def conv() -> Conv:
    torch.manual_seed(0)
    conv = Conv(3, 5).double()
    torch.nn.init.normal_(conv.bias)
    return conv


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)


def plain(conv: Conv, x: Tensor, stride: int = 1) -> Tensor:
    return F.conv2d(x, conv.weight, conv.bias, stride, 2)


def test_a_convolution_of_an_upsampled_image_needs_no_upsampled_image(conv, pixels):
    expected = plain(conv, F.interpolate(pixels, scale_factor=2, mode="nearest"))
    check_equal(conv.upsampled(pixels), expected, (pixels, conv.weight, conv.bias))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_of_two_pixels_at_a_time_is_that_of_each(conv, pixels, stride):
    check_equal(conv.in_pairs(pixels, stride), plain(conv, pixels, stride), (pixels, conv.weight, conv.bias))
    check_equal(conv(pixels, stride), plain(conv, pixels, stride), (pixels, conv.weight, conv.bias))


def test_a_convolution_of_many_channels_is_torchs_own():
    conv, x = Conv(9, 10), torch.randn(2, 9, 4, 6)
    assert all(torch.equal(conv(x, stride), plain(conv, x, stride)) for stride in (1, 2))


def test_cells_of_four_pixels_are_the_pixels(conv, pixels):
    cells = F.pixel_unshuffle(pixels, 2).unflatten(1, (3, 4)).transpose(1, 2).flatten(1, 2)  # four places of 3 channels
    assert torch.equal(images.unfolded(cells), pixels)
    check_equal(images.unfolded(conv.in_cells(cells)), plain(conv, pixels), (pixels, conv.weight, conv.bias))


def test_a_transposed_convolution_into_cells_is_that_into_pixels(conv, pixels):
    for ours in (conv.transposed, lambda x: images.unfolded(conv.transposed_in_cells(x))):
        expected = F.conv_transpose2d(pixels, conv.weight.transpose(0, 1), conv.bias, 2, 2, output_padding=1)
        check_equal(ours(pixels), expected, (pixels, conv.weight, conv.bias))


def test_a_norm_of_cells_is_that_of_each_pixel():
    torch.manual_seed(0)
    cells, scale = torch.randn(2, 12, 4, 6), torch.rand(3)
    torch.testing.assert_close(
        images.unfolded(images.activated(cells, scale)), images.activated(images.unfolded(cells), scale)
    )


@pytest.mark.parametrize("depth", [2, 9])
def test_the_strided_stacks_are_plain_convolutions_norms_and_silus(depth):
    torch.manual_seed(0)
    config = ImageConfig(depth=depth, topology="strided")
    encoder = images.ImageEncoder(32, 48, 3, config)
    decoder = images.ImageDecoder(32, 48, 3, deter=16, stoch=4, units=6, blocks=2, config=config)
    for one in (*encoder.parameters(), *decoder.parameters()):
        one.data.add_(0.1 * torch.randn_like(one))

    def normed(x: Tensor, layer: torch.nn.Module) -> Tensor:
        scale = layer.norm.scale[:, None, None]
        return F.silu(x * scale / (x.square().mean(1, keepdim=True) + 1e-4).sqrt())

    x = image = torch.randn(2, 3, 32, 48)
    for place, layer in enumerate(encoder.layers):
        x = normed(plain(layer.conv, x, 2 if place else 1), layer)
    torch.testing.assert_close(encoder(image), x.permute(0, 2, 3, 1).flatten(1), rtol=1e-4, atol=1e-5)

    seen = []
    decoder.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    said = decoder(*torch.randn(2, 20).split([16, 4], -1))
    x = seen[0]
    for layer in decoder.layers:
        weight = layer.conv.weight.transpose(0, 1)
        x = normed(F.conv_transpose2d(x, weight, layer.conv.bias, 2, 2, output_padding=1), layer)
    torch.testing.assert_close(said, plain(decoder.out, x), rtol=1e-4, atol=1e-5)


def check_equal(one: Tensor, other: Tensor, inputs: tuple[Tensor, ...]) -> None:
    """Values, and gradients to the inputs."""
    torch.testing.assert_close(one, other)
    cotangent = torch.randn_like(other)
    grads = (torch.autograd.grad(output, inputs, cotangent) for output in (one, other))
    for first, second in zip(*grads, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("topology", ["pooled", "strided"])
def test_images_of_several_sizes_and_channels_stand_beside_vectors(topology):
    specs = {
        "front": ObsSpec((32, 48, 3), kind="image"),
        "depth": ObsSpec((32, 48, 1), kind="image"),
        "wrist": ObsSpec((16, 16, 1), kind="image"),
        "joints": ObsSpec((3,)),
    }
    images = ImageConfig(depth=2, topology=topology)
    encoder = Encoder(specs, units=6, layers=1, images=images)
    decoder = Decoder(specs, deter=16, stoch=4, units=6, layers=1, blocks=8, images=images)
    assert encoder.size == 6 + 2 * 3 * 8 + 8  # the vectors, then two maps of 2x3 and of 1x1 with four times the depth
    assert [stack.layers[0].conv.weight.shape[1] for stack in encoder.stacks] == [
        1,
        4,
    ]  # channels of a size side by side
    rng = np.random.default_rng(0)
    obs = {
        key: torch.from_numpy(rng.integers(0, 256, (2, 5, *one.shape)).astype(one.dtype)) for key, one in specs.items()
    }
    assert encoder(obs).shape == (2, 5, encoder.size)
    said = decoder(torch.randn(2, 5, 20))
    assert {key: value.shape[2:] for key, value in said.items()} == {key: one.shape for key, one in specs.items()}
    assert all(said[key].min() >= 0 and said[key].max() <= 1 for key in ("front", "depth", "wrist"))
    loss = sum(one.sum() for one in decoder.losses(torch.randn(2, 5, 20), obs).values())
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.parameters())


def test_a_black_image_that_is_taken_for_grey_costs_a_quarter_a_pixel():
    decoder = Decoder(SPECS, deter=16, stoch=4, units=6, layers=1, images=ImageConfig(depth=2))
    torch.nn.init.zeros_(decoder.stacks[0].out.weight)  # sigmoid(0) = 1/2
    loss = decoder.losses(torch.randn(1, 20), {"image": torch.zeros(1, 64, 64, 3, dtype=torch.uint8)})
    torch.testing.assert_close(loss["image"], torch.tensor([64 * 64 * 3 / 4]))


@pytest.mark.parametrize("shape", [(60, 64, 3), (64, 8, 1)])
def test_sides_that_cannot_be_halved_four_times_are_refused(shape):
    with pytest.raises(ValueError, match="sides must be multiples of 16"):
        Encoder({"image": ObsSpec(shape, kind="image")}, 4, 1)


def test_more_images_than_fit_at_once_are_coded_in_portions(monkeypatch):
    torch.manual_seed(0)
    encoder = Encoder(SPECS, units=6, layers=1, images=ImageConfig(depth=2))
    decoder = Decoder(SPECS, deter=16, stoch=4, units=6, layers=1, images=ImageConfig(depth=2))
    obs, feat = {"image": torch.randint(0, 256, (3, 5, 64, 64, 3), dtype=torch.uint8)}, torch.randn(3, 5, 20)
    whole = encoder(obs), decoder(feat)["image"]
    monkeypatch.setattr(images, "MOST_IMAGES", 4)  # of 15
    torch.testing.assert_close((encoder(obs), decoder(feat)["image"]), whole)
