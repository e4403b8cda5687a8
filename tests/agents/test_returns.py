"""Lambda returns and the return scale, checked with a pencil."""

import pytest
import torch

from tandem.agents.returns import PercentileScale, lambda_return

REWARD = torch.tensor([[100.0, 1.0, 2.0]])  # the reward of arriving at each step: the first is never used
BOOT = torch.tensor([[100.0, 10.0, 20.0]])  # the value at each step: the first is never used
NO = torch.zeros(1, 3)


def at(step: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor([step]), 3).float()


def test_lambda_zero_is_the_one_step_return():
    # 1 + 0.9 * 10 = 10; 2 + 0.9 * 20 = 20
    assert lambda_return(REWARD, NO, NO, BOOT, 0.9, 0.0)[0].tolist() == pytest.approx([10.0, 20.0])


def test_lambda_one_sums_the_rewards_up_to_the_last_value():
    # 2 + 0.9 * 20 = 20; 1 + 0.9 * 20 = 19
    assert lambda_return(REWARD, NO, NO, BOOT, 0.9, 1.0)[0].tolist() == pytest.approx([19.0, 20.0])


def test_lambda_between_mixes_value_and_return():
    # 2 + 0.9 * 20 = 20; 1 + 0.9 * (0.5 * 10 + 0.5 * 20) = 14.5
    assert lambda_return(REWARD, NO, NO, BOOT, 0.9, 0.5)[0].tolist() == pytest.approx([14.5, 20.0])


def test_terminal_step_cuts_the_bootstrap():
    # arriving at the terminal step 1 pays 1 and nothing after it
    assert lambda_return(REWARD, at(1), at(1), BOOT, 0.9, 0.5)[0].tolist() == pytest.approx([1.0, 20.0])


def test_time_limit_keeps_the_bootstrap_and_cuts_the_next_episode():
    # step 1 is last but not terminal: 1 + 0.9 * 10, the value there, whatever lambda; nothing of step 2 leaks in
    assert lambda_return(REWARD, NO, at(1), BOOT, 0.9, 0.5)[0].tolist() == pytest.approx([10.0, 20.0])


def test_a_soft_termination_discounts():
    # term 0.25 at both arrivals, discount 1: 2 + 0.75 * 20 = 17; 1 + 0.75 * (0.5 * 10 + 0.5 * 17) = 11.125
    term = torch.full((1, 3), 0.25)
    assert lambda_return(REWARD, term, NO, BOOT, 1.0, 0.5)[0].tolist() == pytest.approx([11.125, 17.0])


def test_return_scale_starts_at_zero_and_moves_a_share_of_the_way():
    # 0, 1, ..., 100: the percentiles are 5 and 95. 0.9 * 0 + 0.1 * 5 = 0.5; 0.1 * 95 = 9.5; their distance is 9
    scale = PercentileScale(rate=0.1)
    given = scale.update(torch.arange(101.0))
    assert (scale.low.item(), scale.high.item(), given.item()) == pytest.approx((0.5, 9.5, 9.0))


def test_return_scale_never_enlarges_small_returns():
    # 0, 0.01, ..., 1: the distance is 0.9, below the limit of 1
    scale = PercentileScale(rate=1.0)
    assert scale.update(torch.arange(101.0) / 100).item() == 1.0


def test_percentiles_are_interpolated():
    # 5% of the way through (0, 10) is 0.5, 95% is 9.5
    scale = PercentileScale(rate=1.0)
    scale.update(torch.tensor([10.0, 0.0]))
    assert (scale.low.item(), scale.high.item()) == pytest.approx((0.5, 9.5))
