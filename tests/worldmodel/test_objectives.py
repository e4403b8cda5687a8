"""Pencil tests of what a reward model is trained to lower."""

import math

import torch

from tandem.worldmodel.objectives import step_loss

BINS = torch.tensor([-1.0, 0.0, 1.0])


def test_each_member_is_scored_by_the_weighted_mean_of_its_two_hot_losses():
    # Odds 2 : 1 : 1 for one member, all equal for the other. Value 1 is the last bin: losses ln 4 and ln 3. Value -.5 is
    # half way between the first two: ln 4 - ln 2 / 2, and ln 3.
    logits = torch.tensor([[math.log(2), 0.0, 0.0], [0.0, 0.0, 0.0]])[:, None].expand(2, 2, 3)
    value, weight = torch.tensor([1.0, -0.5]), torch.tensor([[1.0, 3.0], [0.0, 2.0]])
    expected = [(math.log(4) + 3 * (math.log(4) - math.log(2) / 2)) / 4, math.log(3)]
    torch.testing.assert_close(step_loss(logits, value, weight, BINS), torch.tensor(expected))


def test_an_answer_that_counts_little_alone_still_counts_little():
    logits, value = torch.zeros(1, 1, 3), torch.zeros(1)
    torch.testing.assert_close(
        step_loss(logits, value, torch.tensor([[0.25]]), BINS), torch.tensor([0.25 * math.log(3)])
    )


def test_no_weight_and_no_row_are_no_loss():
    assert step_loss(torch.randn(2, 4, 3), torch.randn(4), torch.zeros(2, 4), BINS).tolist() == [0.0, 0.0]
    assert step_loss(torch.zeros(2, 0, 3), torch.zeros(0), torch.zeros(2, 0), BINS).tolist() == [0.0, 0.0]
