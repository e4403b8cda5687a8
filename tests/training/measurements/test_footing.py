"""The level of the dynamics error: neither a flat reward model nor a dull held-out episode makes a poor dynamics model look
good, and a fine agent, whose episodes are all alike, does not make it look bad."""

import pytest
import torch

from tandem.training.measurements.dynamics_gap import Rolled
from tandem.training.measurements.findings import Dreamed, Footing


def ahead(rewards: float, value: float = 0.0, scale: float = 1.0, episodes: int = 1) -> Rolled:
    """Two runs an episode of which either brings a reward of 10 more or less than the other, each foreseen wrongly by
    `rewards`."""
    number = 2 * episodes
    promised, of_episode = scale * torch.tensor([0.0, 20.0]).repeat(episodes), torch.arange(number) // 2
    errors = torch.full((number,), scale * rewards), torch.full((number,), value)
    return Rolled(*errors, promised, torch.zeros(number), of_episode)


def dreamed(runs: Rolled, trust: float = 0.0, foreseeable: float = 80.0, explained: float = 1.0) -> Dreamed:
    return Dreamed(runs, runs, Footing(12, 47, trust), foreseeable, explained)


def test_one_episode_tells_as_much_as_all_answers_of_how_much_there_is_to_foresee():
    # By the episode the error is 3, by the answers 8 times as much is to be foreseen: half way, in the logarithm.
    assert dreamed(ahead(3.0)).level == pytest.approx(3 * 8**0.5)


def test_seven_episodes_tell_more():
    assert dreamed(ahead(3.0, episodes=7)).level == pytest.approx(3 * 8 ** (1 / 8))


def test_promises_half_as_large_of_a_reward_model_that_explains_a_quarter_hide_no_error():
    assert dreamed(ahead(3.0, scale=0.5), explained=0.25).level == pytest.approx(dreamed(ahead(3.0)).level)


def test_without_answers_it_is_the_error_itself():
    assert dreamed(ahead(3.0), foreseeable=float("nan")).level == pytest.approx(3.0)


def test_a_trusted_critic_counts_by_what_it_says():
    # All of the trust: rewards and value as they are. Half of it: half way.
    assert dreamed(ahead(3.0, value=5.0), trust=1.0).level == pytest.approx(8.0)
    assert dreamed(ahead(3.0, value=5.0), trust=0.5).level == pytest.approx((8.0 + 3 * 8**0.5) / 2)
