"""Distributions, checked with a pencil on numbers small enough to do by hand."""

from math import e, log, pi

import pytest
import torch

from tandem.worldmodel import distributions as dist

BINS = torch.tensor([-2.0, 0.0, 2.0])
EIGHTHS = torch.tensor([1.0, 2.0, 5.0]).log()  # softmax: 1/8, 2/8, 5/8


def test_symlog_of_e_minus_one_is_one_and_symexp_undoes_it():
    assert dist.symlog(torch.tensor(e - 1)).item() == pytest.approx(1.0)
    assert dist.symlog(torch.tensor(1 - e)).item() == pytest.approx(-1.0)
    x = torch.tensor([-1e6, -3.0, -1e-3, 0.0, 1e-3, 3.0, 1e6])
    assert torch.allclose(dist.symexp(dist.symlog(x)), x, rtol=1e-5)


@pytest.mark.parametrize(
    "target, expected",
    [
        (0.0, -log(2 / 8)),  # on a bin: all weight there
        (0.5, -(0.75 * log(2 / 8) + 0.25 * log(5 / 8))),  # a quarter of the way from 0 to 2
        (-1.5, -(0.75 * log(1 / 8) + 0.25 * log(2 / 8))),  # a quarter of the way from -2 to 0
        (2.0, -log(5 / 8)),  # on the last bin
        (7.0, -log(5 / 8)),  # beyond the last bin
        (-7.0, -log(1 / 8)),  # before the first bin
    ],
)
def test_twohot_target_shares_its_weight_between_the_two_neighbouring_bins(target, expected):
    assert dist.twohot_loss(EIGHTHS, torch.tensor(target), BINS).item() == pytest.approx(expected, rel=1e-6)


def test_twohot_mean_is_the_expected_bin():
    # -2/8 + 0 + 2 * 5/8 = 1
    assert dist.twohot_mean(EIGHTHS, BINS).item() == pytest.approx(1.0)


def test_twohot_mean_of_fresh_logits_is_exactly_zero():
    # The outermost bins are about 4.85e8, so any rounding left over would be seen.
    assert not dist.twohot_mean(torch.full((2, 255), 3.7), dist.twohot_bins()).any()


def test_twohot_loss_is_least_where_the_mean_is_the_target():
    # The mean of the least loss is the target: 0.75 * 0 + 0.25 * 2 = 0.5
    logits = torch.tensor([1e-9, 0.75, 0.25]).log().requires_grad_()
    dist.twohot_loss(logits, torch.tensor(0.5), BINS).backward()
    assert torch.allclose(logits.grad, torch.zeros(3), atol=1e-6)
    assert dist.twohot_mean(logits, BINS).item() == pytest.approx(0.5, rel=1e-5)


def test_twohot_mean_keeps_float32_under_autocast():
    # bfloat16 has 3 digits; a value rounded to them would pass for an advantage
    logits = -(torch.arange(255.0) - 140.3).abs()
    with torch.autocast("cpu", torch.bfloat16):
        mean = dist.twohot_mean(logits, dist.twohot_bins())
    assert mean.dtype == torch.float32
    assert torch.equal(mean, dist.twohot_mean(logits, dist.twohot_bins()))


def test_an_even_number_of_bins_has_no_middle_and_is_refused():
    with pytest.raises(ValueError, match=r"bins.*254"):
        dist.twohot_bins(254)


def test_uniform_mix_enters_probabilities_entropy_and_kl():
    # softmax(ln 3, 0) = (0.75, 0.25); 0.8 of it and 0.2 / 2: (0.7, 0.3)
    log_p = dist.categorical_log_probs(torch.tensor([log(3), 0.0]), 0.2)
    assert log_p.exp().tolist() == pytest.approx([0.7, 0.3])
    assert dist.categorical_entropy(log_p).item() == pytest.approx(-0.7 * log(0.7) - 0.3 * log(0.3))
    # against (0.5, 0.5): 0.7 ln(0.7 / 0.5) + 0.3 ln(0.3 / 0.5)
    log_q = dist.categorical_log_probs(torch.zeros(2), 0.2)
    assert dist.categorical_kl(log_p, log_q).item() == pytest.approx(0.7 * log(1.4) + 0.3 * log(0.6), rel=1e-5)
    assert dist.categorical_kl(log_p, log_p).item() == 0


def test_no_class_is_impossible_under_the_uniform_mix():
    # A logit of -1000 underflows to 0; 0.01 / 2 is left.
    log_p = dist.categorical_log_probs(torch.tensor([0.0, -1000.0]), 0.01)
    assert log_p[1].exp().item() == pytest.approx(0.005)


@pytest.mark.parametrize("uniform, drawn", [(0.0, 0), (0.1, 0), (0.19, 0), (0.21, 1), (0.69, 1), (0.71, 2), (0.999, 2)])
def test_a_uniform_number_draws_the_class_whose_share_it_falls_into(uniform, drawn):
    # shares 0.2, 0.5, 0.3: cumulated 0.2, 0.7, 1.0
    one_hot = dist.categorical_sample(torch.tensor([0.2, 0.5, 0.3]), torch.tensor(uniform))
    assert one_hot.tolist() == [float(k == drawn) for k in range(3)]


def test_evenly_spread_uniforms_draw_every_class_in_proportion():
    uniform = (torch.arange(1000) + 0.5) / 1000
    counts = dist.categorical_sample(torch.tensor([0.2, 0.5, 0.3]).expand(1000, 3), uniform).sum(0)
    assert counts.tolist() == [200, 500, 300]


def test_straight_through_is_the_sample_forward_and_the_probabilities_backward():
    probs = torch.tensor([0.2, 0.8], requires_grad=True)
    value = dist.straight_through(torch.tensor([1.0, 0.0]), probs)
    assert value.tolist() == [1.0, 0.0]
    (value * torch.tensor([3.0, 5.0])).sum().backward()
    assert probs.grad.tolist() == [3.0, 5.0]


def test_binary_loss_accepts_a_soft_target():
    # sigmoid(ln 3) = 0.75: -(0.9 ln 0.75 + 0.1 ln 0.25)
    loss = dist.binary_loss(torch.tensor(log(3)), torch.tensor(0.9))
    assert loss.item() == pytest.approx(-0.9 * log(0.75) - 0.1 * log(0.25))


def test_bounded_normal_by_hand():
    # std = 0.9 sigmoid(-2 + 2) + 0.1 = 0.55; an action one std away costs 1/2
    mean, std = dist.normal_params(torch.tensor(0.0), torch.tensor(-2.0))
    assert (mean.item(), std.item()) == pytest.approx((0.0, 0.55))
    expected = -0.5 - log(0.55) - 0.5 * log(2 * pi)
    assert dist.normal_log_prob(torch.tensor(0.55), mean, std).item() == pytest.approx(expected)
    assert dist.normal_entropy(std).item() == pytest.approx(0.5 * log(2 * pi * 0.55**2) + 0.5)


def test_the_density_of_an_action_outside_the_box_is_not_clipped():
    # std 0.55, 2 away from the mean: (2 / 0.55)^2 / 2
    mean, std = dist.normal_params(torch.tensor(0.0), torch.tensor(-2.0))
    expected = -((2 / 0.55) ** 2) / 2 - log(0.55) - 0.5 * log(2 * pi)
    assert dist.normal_log_prob(torch.tensor(2.0), mean, std).item() == pytest.approx(expected)
