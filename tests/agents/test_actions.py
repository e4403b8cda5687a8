"""Actions of several parts: numbers and choices are independent, and each part is what it would be alone."""

import io
import math

import pytest
import torch

from tandem.agents.actions import Actions, action_noise
from tandem.envs.records import ObsSpec, Spaces

MIXED = Actions(Spaces({"state": ObsSpec((1,))}, action_size=7, factors=(2, 3)))  # two numbers, one of 2, one of 3


def test_an_actor_says_means_deviations_and_logits():
    assert MIXED.outputs == 2 + 2 + 2 + 3
    assert action_noise((5, 4), MIXED.spaces, torch.Generator().manual_seed(0)).shape == (5, 4, 2 + 2)


def test_log_probability_and_entropy_are_sums_over_the_parts():
    # means 0, deviations .9 sigmoid(2) + .1; odds 1 : 3 and 1 : 1 : 2
    raw = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, math.log(3), 0.0, 0.0, math.log(2)])
    std = 0.9 / (1 + math.exp(-2)) + 0.1
    action = torch.tensor([std, -std, 0.0, 1.0, 1.0, 0.0, 0.0])
    log_prob, entropy = MIXED.log_prob(raw, action)
    normal = -math.log(std) - 0.5 * math.log(2 * math.pi)
    assert log_prob.item() == pytest.approx(2 * (normal - 0.5) + math.log(3 / 4) + math.log(1 / 4))
    categorical = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) - (2 * 0.25 * math.log(0.25) + 0.5 * math.log(0.5))
    assert entropy.item() == pytest.approx(2 * (0.5 - normal) + categorical)


def test_every_choice_is_one_hot_and_drawn_with_its_own_probability():
    torch.manual_seed(0)
    raw = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, math.log(3), 0.0, 0.0, math.log(2)]).expand(20_000, -1)
    action = MIXED.sample(raw, action_noise((20_000,), MIXED.spaces, torch.Generator().manual_seed(0)))
    numbers, first, second = action.split([2, 2, 3], -1)
    for choice, probabilities in ((first, [1 / 4, 3 / 4]), (second, [1 / 4, 1 / 4, 1 / 2])):
        assert set(choice.unique().tolist()) == {0.0, 1.0} and torch.equal(choice.sum(-1), torch.ones(20_000))
        assert choice.mean(0).tolist() == pytest.approx(probabilities, abs=0.015)
    both = (first[:, 1] * second[:, 2]).mean().item()
    assert both == pytest.approx(3 / 8, abs=0.015)  # 3/4 x 1/2: independent
    assert numbers.mean().abs() < 0.02


class Sampling(torch.nn.Module):
    def __init__(self, actions: Actions):
        super().__init__()
        self._actions = actions

    def forward(self, raw: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return self._actions.sample(raw, noise)


def test_a_graph_that_draws_numbers_alone_can_be_loaded_from_a_file():
    actions, file = Actions(Spaces({"state": ObsSpec((1,))}, action_size=7)), io.BytesIO()
    raw, noise = torch.zeros(5, actions.outputs), torch.full((5, actions.spaces.noise_size), 0.4)
    torch.export.save(torch.export.export(Sampling(actions), (raw, noise)), file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(raw, noise), actions.sample(raw, noise))


def test_the_mode_takes_the_likeliest_of_each_and_the_mean_is_differentiable():
    raw = torch.tensor([0.5, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 1.0], requires_grad=True)
    assert MIXED.mode(raw)[2:].tolist() == [0, 1, 1, 0, 0]
    expected = MIXED.expected(raw)
    assert expected[2:4].sum().item() == pytest.approx(1) and expected[0].item() == pytest.approx(math.tanh(0.5))
    (expected**2).sum().backward()
    assert raw.grad is not None and (raw.grad != 0)[[0, 4, 5, 6, 7, 8]].all()


def test_factors_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="factors: must fit into 4 action numbers"):
        Spaces({}, 4, (2, 3))
