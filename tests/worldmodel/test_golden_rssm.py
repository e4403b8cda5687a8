"""Golden numbers of the RSSM: core step, prior, posterior, scan with resets, KL losses, every weight's gradient."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tandem.worldmodel.distributions import categorical_entropy, categorical_log_probs
from tandem.worldmodel.rssm import RSSM, Latent, kl_losses

UNIMIX = 0.01
FREE_NATS = 1.0
FORWARD = (2e-6, 1e-5)
GRADIENT = (1e-5, 1e-4)


@pytest.fixture
def numbers(golden) -> dict[str, Tensor]:
    return golden("rssm_core")


@pytest.fixture(params=["scan", "scan_by_steps"])
def rssm(numbers, request) -> RSSM:
    """A tiny RSSM with the recorded sizes and weights, which scans as a CPU learns, or step by step."""
    stoch, classes = numbers["in_stoch"].shape[-2:]
    config = SimpleNamespace(
        deter=numbers["in_deter"].shape[-1],
        hidden=len(numbers["w/dynin0/bias"]),
        blocks=len(numbers["w/dyngru/kernel"]),
        stoch=stoch,
        classes=classes,
        unimix=UNIMIX,
        prior_layers=sum(key.startswith("w/prior") and key.endswith("norm/scale") for key in numbers),
    )
    rssm = RSSM(numbers["in_action"].shape[-1], numbers["in_tokens"].shape[-1], config)
    ours = parameters(rssm)
    assert {f"w/{name}" for name in ours} == {key for key in numbers if key.startswith("w/")}
    assert len(ours) == len(list(rssm.parameters()))  # none of our weights is left random
    for name, parameter in ours.items():
        value = numbers[f"w/{name}"]
        parameter.data.copy_(value.T if is_transposed(name, value) else value)
    rssm.scan = getattr(rssm, request.param)
    return rssm


def parameters(rssm: RSSM) -> dict[str, nn.Parameter]:
    """Recorded name -> our parameter."""
    layers = {
        "dynin0": (rssm.in_deter, rssm.in_deter_norm),
        "dynin1": (rssm.in_stoch, rssm.in_stoch_norm),
        "dynin2": (rssm.in_action, rssm.in_action_norm),
        "dynhid0": (rssm.core, rssm.core_norm),
        "dyngru": (rssm.gates, None),
        "obs0": (rssm.posterior_in, rssm.posterior_norm),
        "obslogit": (rssm.posterior_logit, None),
        "priorlogit": (rssm.prior_logit, None),
    }
    prior = zip(rssm.prior_mlp.linears, rssm.prior_mlp.norms, strict=True)
    layers |= {f"prior{i}": pair for i, pair in enumerate(prior)}
    found = {}
    for name, (linear, norm) in layers.items():
        found |= {f"{name}/kernel": linear.weight, f"{name}/bias": linear.bias}
        if norm is not None:
            found[f"{name}norm/scale"] = norm.scale
    return found


def is_transposed(name: str, value: Tensor) -> bool:
    """nn.Linear holds (out, in); a block kernel has three axes and is held as recorded."""
    return name.endswith("kernel") and value.dim() == 2


def test_golden_single_step_prior_and_posterior(rssm, numbers, check):
    start = Latent(numbers["in_deter"], numbers["in_stoch"])
    noise = torch.full(numbers["in_stoch"].shape[:-1], 0.5)
    prior, posterior = record_logits(rssm.prior_logit), record_logits(rssm.posterior_logit)
    imagined = rssm.imagine_step(start, numbers["in_action"], noise, rssm.scan_weights())
    is_first = torch.zeros(len(noise), 1, dtype=torch.bool)
    one_step = (x.unsqueeze(1) for x in (numbers["in_action"], numbers["in_tokens"]))
    observed, log_probs = rssm.observe(start, *one_step, is_first, noise.unsqueeze(1))
    with torch.no_grad():
        dreamed = rssm.imagine_step(start, numbers["in_action"], noise, rssm.scan_weights())
    check(imagined.deter, numbers["out_deter"], *FORWARD, what="imagined deter")
    check(dreamed.deter, numbers["out_deter"], *FORWARD, what="dreamed deter")
    check(observed.deter[:, 0], numbers["out_deter"], *FORWARD, what="observed deter")
    for made in prior:
        check(grouped([made], numbers["out_prior_logits"]), numbers["out_prior_logits"], *FORWARD, what="prior logits")
    expected = numbers["out_post_logits"]
    check(log_probs[:, 0], categorical_log_probs(expected, UNIMIX), *FORWARD, what="posterior log-probabilities")
    if is_by_steps(rssm):
        check(grouped(posterior, expected), expected, *FORWARD, what="posterior logits")


def test_golden_sequence_with_resets(rssm, numbers, check):
    prior_logits, posterior_logits = record_logits(rssm.prior_logit), record_logits(rssm.posterior_logit)
    latent, posterior, prior, dyn, rep = observe_sequence(rssm, numbers)
    assert torch.equal(latent.stoch.argmax(-1), numbers["seq_stoch"].argmax(-1))
    check(latent.stoch, numbers["seq_stoch"], *FORWARD, what="stoch")
    check(latent.deter, numbers["seq_deter"], *FORWARD, what="deter")
    for name, logits, log_probs in (("post", posterior_logits, posterior), ("prior", prior_logits, prior)):
        recorded = numbers[f"seq_{name}_logits"]
        if name == "prior" or is_by_steps(rssm):
            check(grouped(logits, recorded), recorded, *FORWARD, what=f"{name} logits")
        check(log_probs, categorical_log_probs(recorded, UNIMIX), *FORWARD, what=f"{name} log-probabilities")
    check(dyn, numbers["seq_dyn_loss"], *FORWARD, what="dyn loss")
    check(rep, numbers["seq_rep_loss"], *FORWARD, what="rep loss")
    check(categorical_entropy(prior).sum(-1).mean(), numbers["seq_dyn_ent"], *FORWARD, what="prior entropy")
    check(categorical_entropy(posterior).sum(-1).mean(), numbers["seq_rep_ent"], *FORWARD, what="posterior entropy")


def test_golden_sequence_gradient_of_every_weight(rssm, numbers, check):
    *_, dyn, rep = observe_sequence(rssm, numbers)
    (dyn.sum() + 0.1 * rep.sum()).backward()
    for name, parameter in parameters(rssm).items():
        recorded = numbers[f"seq_grad/{name}"]
        ours = parameter.grad.T if is_transposed(name, recorded) else parameter.grad
        check(ours, recorded, *GRADIENT, what=f"gradient of {name}")


def observe_sequence(rssm: RSSM, numbers: dict[str, Tensor]) -> tuple[Latent, Tensor, Tensor, Tensor, Tensor]:
    """-> latents, posterior and prior log-probabilities, dyn and rep losses of the recorded sequence."""
    start = Latent(numbers["in_deter"], numbers["in_stoch"])
    noise = noise_that_draws(numbers["seq_stoch"], numbers["seq_post_logits"])
    latent, posterior = rssm.observe(start, numbers["seq_action"], numbers["seq_tokens"], numbers["seq_reset"], noise)
    prior = rssm.prior(latent.deter)
    return latent, posterior, prior, *kl_losses(posterior, prior, FREE_NATS)


def noise_that_draws(stoch: Tensor, logits: Tensor) -> Tensor:
    """Uniform numbers (...) by which inverse-CDF sampling draws the one-hot `stoch` (..., K): mid-way in its class."""
    probs = categorical_log_probs(logits, UNIMIX).exp()
    return ((probs.cumsum(-1) - probs / 2) * stoch).sum(-1)


def is_by_steps(rssm: RSSM) -> bool:
    """Where layers are called, one after the other: only then do they tell what they make."""
    return rssm.scan == rssm.scan_by_steps


def record_logits(layer: nn.Module) -> list[Tensor]:
    """Outputs of a layer, call by call."""
    outputs: list[Tensor] = []
    layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    return outputs


def grouped(outputs: list[Tensor], like: Tensor) -> Tensor:
    """One output for all steps, or one a step, in the shape of the recorded logits."""
    joined = torch.stack(outputs, 1) if len(outputs) > 1 else outputs[0]
    return joined.reshape(like.shape)
