"""The level of the dynamics error: a part of what there is to foresee, so that neither a flat reward model nor a dull
held-out episode makes a poor dynamics model look good."""

import pytest
import torch

from tandem.training.measurements.dynamics_gap import Rolled
from tandem.training.measurements.findings import Dreamed, Footing


def ahead(rewards: float, value: float = 0.0, scale: float = 1.0) -> Rolled:
    """Two runs of which either brings a reward of 10 more or less than the other, each foreseen wrongly by `rewards`."""
    promised = scale * torch.tensor([0.0, 20.0])
    return Rolled(torch.full((2,), scale * rewards), torch.full((2,), value), promised, torch.zeros(2), torch.zeros(2))


def dreamed(runs: Rolled, trust: float = 0.0, foreseeable: float = 80.0) -> Dreamed:
    return Dreamed(runs, runs, Footing(12, 47, trust), foreseeable)


def test_the_level_is_the_unforeseen_part_of_what_answers_say_there_is():
    assert dreamed(ahead(3.0)).level == pytest.approx(0.3 * 80)  # 3 of a deviation of 10


def test_promises_a_tenth_as_large_hide_no_error():
    assert dreamed(ahead(3.0, scale=0.1)).level == pytest.approx(dreamed(ahead(3.0)).level)


def test_without_answers_it_is_the_error_itself():
    assert dreamed(ahead(3.0), foreseeable=float("nan")).level == pytest.approx(3.0)


def test_a_trusted_critic_counts_by_what_it_says():
    # All of the trust: rewards and value as they are. Half of it: half way.
    assert dreamed(ahead(3.0, value=5.0), trust=1.0).level == pytest.approx(8.0)
    assert dreamed(ahead(3.0, value=5.0), trust=0.5).level == pytest.approx((8.0 + 24.0) / 2)
