"""Golden numbers of symlog, two-hot, categorical, binary, bounded normal. Tolerances are those of golden/README.md."""

import pytest
import torch
import torch.nn.functional as F

from tandem.worldmodel import distributions as dist
from tandem.worldmodel.rssm import kl_losses

UNIMIX = 0.01
FREE_NATS = 1.0


def test_golden_symlog_and_symexp(golden, check):
    g = golden("symlog_symexp")
    check(dist.symlog(g["symlog_x"]), g["symlog_y"], 0, 2e-6, per="element", what="symlog")
    check(dist.symexp(g["symexp_x"]), g["symexp_y"], 0, 1e-5, per="element", what="symexp")


def test_golden_twohot_bins_are_exactly_antisymmetric(golden, check):
    recorded = golden("twohot")["bins"]
    bins = dist.twohot_bins(len(recorded))
    check(bins, recorded, 0, 1e-5, per="element", what="bins")
    assert torch.equal(bins, -bins.flip(0))
    assert bins[len(bins) // 2] == 0


def test_golden_twohot_loss_and_gradient(golden, check):
    g = golden("twohot")
    logits, target = g["logits"].requires_grad_(), g["targets"].requires_grad_()
    loss = dist.twohot_loss(logits, target, g["bins"])
    check(loss, g["loss"], 0, 1e-5, what="loss")
    loss.sum().backward()
    check(logits.grad, g["loss_grad_logits"], 2e-5, 0, what="gradient to the logits")
    assert target.grad is None or not target.grad.any()


@pytest.mark.parametrize("name", ["pred_random", "pred_peaked"])
def test_golden_twohot_mean(golden, name):
    g = golden("twohot")
    logits, bins = g[f"{name}_logits"], g["bins"]
    allowed = 2e-6 * (torch.softmax(logits.double(), -1) * bins.double().abs()).sum(-1)
    error = (dist.twohot_mean(logits, bins).double() - g[name].double()).abs()
    assert (error <= allowed).all(), f"errors {error}, allowed {allowed}"


def test_golden_twohot_mean_of_symmetric_logits_is_exactly_zero(golden):
    g = golden("twohot")
    assert not g["pred_symmetric"].any() and not g["pred_zero"].any()
    assert not dist.twohot_mean(g["pred_symmetric_logits"], g["bins"]).any()
    assert not dist.twohot_mean(torch.zeros(*g["pred_zero"].shape, len(g["bins"])), g["bins"]).any()


def test_golden_categorical_probabilities_entropy_and_kl(golden, check):
    g = golden("onehot_kl")
    post = dist.categorical_log_probs(g["post_logits"], UNIMIX)
    prior = dist.categorical_log_probs(g["prior_logits"], UNIMIX)
    entropy, kl = dist.categorical_entropy(post), dist.categorical_kl(post, prior)
    one_hot = F.one_hot(g["event_index"].long(), post.shape[-1]).float()
    event = (one_hot * post).sum(-1)
    check(post.exp(), g["post_probs"], 2e-6, 1e-5, what="posterior probabilities")
    check(prior.exp(), g["prior_probs"], 2e-6, 1e-5, what="prior probabilities")
    check(entropy, g["post_entropy"], 2e-6, 1e-5, what="entropy")
    check(entropy.sum(-1), g["post_entropy_sum"], 2e-6, 1e-5, what="summed entropy")
    check(kl, g["kl"], 2e-6, 1e-5, what="kl")
    check(kl.sum(-1), g["kl_sum"], 2e-6, 1e-5, what="summed kl")
    check(event, g["event_logp"], 2e-6, 1e-5, what="event log-probability")
    check(event.sum(-1), g["event_logp_sum"], 2e-6, 1e-5, what="summed event log-probability")


@pytest.mark.parametrize("index, name", [(0, "dyn"), (1, "rep")])
def test_golden_kl_losses_and_gradients(golden, check, index, name):
    g = golden("onehot_kl")
    post_logits, prior_logits = g["post_logits"].requires_grad_(), g["prior_logits"].requires_grad_()
    post = dist.categorical_log_probs(post_logits, UNIMIX)
    prior = dist.categorical_log_probs(prior_logits, UNIMIX)
    loss = kl_losses(post, prior, FREE_NATS)[index]
    check(loss, g[f"{name}_loss"], 2e-6, 1e-5, what=f"{name} loss")
    grads = torch.autograd.grad(loss.sum(), (post_logits, prior_logits), allow_unused=True, materialize_grads=True)
    check(grads[0], g[f"{name}_grad_post"], 2e-6, 1e-5, what=f"{name} gradient to the posterior")
    check(grads[1], g[f"{name}_grad_prior"], 2e-6, 1e-5, what=f"{name} gradient to the prior")
    stopped = grads[0] if name == "dyn" else grads[1]
    assert not stopped.any()


def test_golden_straight_through_has_the_gradient_of_the_mixed_probabilities(golden, check):
    g = golden("onehot_kl")
    logits = g["post_logits"].requires_grad_()
    probs = dist.categorical_log_probs(logits, UNIMIX).exp()
    value = dist.straight_through(F.one_hot(g["event_index"].long(), logits.shape[-1]).float(), probs)
    check(value, g["st_value"], 2e-6, 1e-5, what="value")
    (value * g["st_cotangent"]).sum().backward()
    check(logits.grad, g["st_grad_logits"], 2e-6, 1e-5, what="gradient to the logits")


def test_golden_binary_loss_and_gradient(golden, check):
    g = golden("binary")
    logit = g["logit"].requires_grad_()
    loss = dist.binary_loss(logit, g["target"])
    check(loss, g["loss"], 1e-6, 5e-6, what="loss")
    check(torch.sigmoid(logit), g["prob1"], 1e-6, 5e-6, what="probability")
    assert torch.equal(logit > 0, g["pred"])
    loss.sum().backward()
    check(logit.grad, g["grad_logit"], 1e-6, 5e-6, what="gradient")


def test_golden_bounded_normal_and_gradients(golden, check):
    g = golden("bounded_normal")
    mean_raw, std_raw = g["mean_raw"].requires_grad_(), g["std_raw"].requires_grad_()
    mean, std = dist.normal_params(mean_raw, std_raw)
    logp, entropy = dist.normal_log_prob(g["action"], mean, std), dist.normal_entropy(std)
    ours = {
        "mean": mean,
        "pred": mean,
        "std": std,
        "logp": logp,
        "logp_sum": logp.sum(-1),
        "entropy": entropy,
        "entropy_sum": entropy.sum(-1),
        "minent": dist.normal_entropy(torch.full_like(std, 0.1)),
        "maxent": dist.normal_entropy(torch.full_like(std, 1.0)),
    }
    (logp.sum() + 0.3 * entropy.sum()).backward()
    ours |= {"grad_mean_raw": mean_raw.grad, "grad_std_raw": std_raw.grad}
    for key, value in ours.items():
        check(value, g[key], 2e-5, 5e-6, what=key)
