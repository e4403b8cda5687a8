"""Golden numbers of the layers: initialisation, RMS norm, and the codec of vector observations."""

import pytest
import torch
from torch import Tensor, nn

from tandem.envs.records import ObsSpec
from tandem.worldmodel.networks import BlockLinear, Linear, RMSNorm, init_weight
from tandem.worldmodel.observations.decoder import Decoder
from tandem.worldmodel.observations.encoder import Encoder

CASES = ["linear", "linear_wide_out", "linear_shaped", "blocklinear", "conv"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("outscale", ["1", "0.01", "0"])
def test_golden_initial_weights_have_the_recorded_spread(golden, case, outscale):
    g = golden("init_std")
    torch.manual_seed(0)
    shape = g[f"{case}/kernel_shape"].tolist()
    std, _, _, filled = g[f"{case}/outscale{outscale}"].tolist()
    weight, bias = initial(case, shape, float(outscale))
    assert sorted(weight.shape) == sorted(shape)
    assert bias.abs().max() == g[f"{case}/outscale{outscale}_biasmax"]
    weight = weight.double()
    assert (weight != 0).double().mean() == pytest.approx(filled, abs=1e-5)  # a draw may be 0 once in 2^24
    if std == 0:
        return
    bound = float(outscale) * 2 * 1.1368 * fan_in(case, shape) ** -0.5
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    assert abs(weight.mean().item()) < 0.01 * std
    assert 0.97 * bound <= weight.abs().max().item() <= 1.0001 * bound


def fan_in(case: str, shape: list[int]) -> int:
    if case == "blocklinear":
        return shape[0] * shape[1]
    return torch.Size(shape[:-1]).numel()


def initial(case: str, shape: list[int], outscale: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of a fresh layer. A kernel of no layer of ours (a conv, a scaled block) takes the bare rule."""
    if case.startswith("linear"):
        layer = Linear(*shape, outscale=outscale)
        return layer.weight.detach(), layer.bias.detach()
    if case == "blocklinear" and outscale == 1:
        blocks, inputs, outputs = shape
        layer = BlockLinear(blocks * inputs, blocks * outputs, blocks)
        return layer.weight.detach(), layer.bias.detach()
    weight = torch.empty(shape)
    init_weight(weight, fan_in(case, shape), outscale)
    return weight, torch.zeros(shape[-1])


@pytest.mark.parametrize("i", [0, 1])
def test_golden_rms_norm_and_gradients(golden, check, i):
    g = golden("rmsnorm")
    x = g[f"x{i}"].requires_grad_()
    norm = RMSNorm(x.shape[-1])
    norm.scale.data.copy_(g[f"scale{i}"])
    y = norm(x)
    check(y, g[f"y{i}"], 2e-6, 1e-5, per="row", what="y")
    (y * g[f"cotangent{i}"]).sum().backward()
    check(x.grad, g[f"grad_x{i}"], 1e-5, 1e-5, per="row", what="gradient to x")
    check(norm.scale.grad, g[f"grad_scale{i}"], 1e-5, 1e-5, per="row", what="gradient to the scale")


@pytest.fixture
def codec(golden) -> dict[str, Tensor]:
    return golden("vector_codec")


@pytest.fixture
def specs(codec) -> dict[str, ObsSpec]:
    """Shapes from the observations, class counts from the width of the recorded logits."""
    specs = {}
    for name, value in codec.items():
        if name.startswith("obs_"):
            key, shape = name.removeprefix("obs_"), value.shape[codec["deter"].dim() - 1 :]
            bias = codec.get(f"dec/vec/{key}/logits/bias")
            specs[key] = ObsSpec(tuple(shape), 0 if bias is None else len(bias) // shape.numel())
    return specs


def test_golden_vector_encoder(codec, specs, check):
    layers, units = count(codec, "enc/mlp{}/bias"), len(codec["enc/mlp0/bias"])
    encoder = Encoder(specs, units, layers)
    for i in range(layers):
        load(encoder.mlp.linears[i], codec, f"enc/mlp{i}")
        encoder.mlp.norms[i].scale.data.copy_(codec[f"enc/mlp{i}norm/scale"])
    check(encoder({key: codec[f"obs_{key}"] for key in specs}), codec["tokens"], 2e-6, 1e-5, what="tokens")


def test_golden_vector_decoder(codec, specs, check):
    feat = torch.cat([codec["stoch"].flatten(-2), codec["deter"]], -1)  # the recorded decoder reads stoch first
    layers, units = count(codec, "dec/mlp/linear{}/bias"), len(codec["dec/mlp/linear0/bias"])
    decoder = Decoder(specs, feat.shape[-1], 0, units, layers)
    for i in range(layers):
        load(decoder.mlp.linears[i], codec, f"dec/mlp/linear{i}")
        decoder.mlp.norms[i].scale.data.copy_(codec[f"dec/mlp/norm{i}/scale"])
    for key, spec in specs.items():
        load(
            decoder.outputs[list(decoder.specs).index(key)],
            codec,
            f"dec/vec/{key}/{'logits' if spec.classes else 'pred'}",
        )

    outputs = decoder(feat)
    losses = decoder.losses(feat, {key: codec[f"obs_{key}"] for key in specs})
    for key, spec in specs.items():
        if spec.classes:
            assert torch.equal(outputs[key].argmax(-1), codec[f"pred_{key}"].long()), key
        else:
            check(outputs[key], codec[f"pred_{key}"], 2e-6, 1e-5, what=f"prediction of {key}")
        check(losses[key], codec[f"loss_{key}"], 2e-6, 1e-5, what=f"loss of {key}")


def count(arrays: dict[str, Tensor], pattern: str) -> int:
    """How many consecutive i from 0 have an array pattern.format(i)."""
    i = 0
    while pattern.format(i) in arrays:
        i += 1
    return i


def load(linear: nn.Linear, arrays: dict[str, Tensor], name: str) -> None:
    linear.weight.data.copy_(arrays[f"{name}/kernel"].T)
    linear.bias.data.copy_(arrays[f"{name}/bias"])
