"""Answers about clips, pairs and moments come down to targets of rows, and noise in them moves no prediction on average."""

import math
from dataclasses import replace

import pytest
import torch

from tandem.worldmodel.objectives import (
    clip_targets,
    is_scored,
    pair_step,
    pair_targets,
    preference_log_likelihood,
)
from tandem.worldmodel.records import LabelBatch, Side
from tandem.worldmodel.reward import RewardConfig, RewardModel, fold_weights

SCORED = torch.tensor([[False, True, True, True], [True, True, True, True]])


def windows(number):
    """No observation: features are given."""
    no = torch.zeros(number, 0)
    return {"obs": {}, "prev_action": no, "is_first": no.bool(), "start_deter": no, "start_stoch": no}


def clips(value, rows, **more):
    number = len(value)
    fixed = {"weight": torch.ones(number), "fold": torch.arange(number), "length": 3}
    return LabelBatch(**windows(number), value=torch.tensor(value), rows=torch.tensor(rows), **fixed | more)


def test_the_last_rows_of_a_window_are_scored():
    assert is_scored(torch.tensor([3, 4]), 4).tolist() == SCORED.tolist()


def test_what_a_sum_lacks_is_shared_by_its_rows():
    mean = torch.tensor([[9.0, 1, 2, 3], [1, 1, 1, 1]])
    # 1 + 2 + 3 = 6 of 12: 2 more each; 4 of 2: .5 less each. The first row of the first clip is in no sum.
    assert clip_targets(mean, torch.tensor([12.0, 2.0]), SCORED)[0, 1:].tolist() == [3, 4, 5]
    assert clip_targets(mean, torch.tensor([12.0, 2.0]), SCORED)[1].tolist() == [0.5] * 4


def test_an_answer_that_is_far_off_pulls_no_harder_than_its_reach():
    mean, told = torch.tensor([[9.0, 1, 2, 3], [1, 1, 1, 1]]), torch.tensor([12.0, 2.0])
    near = clip_targets(mean, told, SCORED, reach=0.75)
    assert near[0, 1:].tolist() == [1.75, 2.75, 3.75]  # 2 each were missing
    assert near[1].tolist() == [0.5] * 4  # half was too much: within reach
    assert clip_targets(mean, -told, SCORED, reach=0.75)[1].tolist() == [0.25] * 4


def test_a_clip_of_one_row_is_a_step():
    target = clip_targets(torch.tensor([[5.0]]), torch.tensor([2.5]), torch.ones(1, 1, dtype=torch.bool))
    assert target.tolist() == [[2.5]]


def test_a_preference_is_bradleys_and_terrys_with_lapses():
    half, sure = torch.tensor(0.0), torch.tensor(1e9)
    three, one = torch.tensor(math.log(3.0)), torch.tensor(1.0)
    log_likelihood = preference_log_likelihood(three, one, one, torch.tensor(1e-12))
    assert log_likelihood.exp().item() == pytest.approx(0.75)  # sigmoid(log 3)
    # Whoever presses anything in a fifth of all cases is wrong in a tenth, however clear it is.
    wrong = preference_log_likelihood(sure, torch.tensor(0.0), one, torch.tensor(0.2))
    assert wrong.exp().item() == pytest.approx(0.1)
    assert preference_log_likelihood(half, torch.tensor(0.5), one, torch.tensor(0.2)).item() == pytest.approx(
        -math.log(2)
    )


def test_a_step_of_a_pair_is_its_gradient_over_the_curvature():
    difference = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64, requires_grad=True)
    preference, sensitivity, lapse = (torch.tensor(one, dtype=torch.float64) for one in ([1.0, 0.5, 0.0], 0.7, 0.1))
    preference_log_likelihood(difference, preference, sensitivity, lapse).sum().backward()
    step = pair_step(difference.detach(), preference, sensitivity, lapse)
    torch.testing.assert_close(step, difference.grad * 4 / 0.7**2)
    # Without lapses and in doubt, p = .5: the left is better, so 4 (1 - .5) / k.
    assert pair_step(torch.tensor(0.0), torch.tensor(1.0), torch.tensor(2.0), torch.tensor(0.0)).item() == 1.0


def test_a_step_never_lessens_the_likelihood():
    difference = torch.linspace(-8, 8, 101)
    for preference in (0.0, 0.5, 1.0):
        told = [torch.tensor(value) for value in (preference, 1.3, 1e-6)]
        moved = difference + pair_step(difference, *told)
        before, after = (preference_log_likelihood(one, *told) for one in (difference, moved))
        assert (after >= before - 1e-5).all(), preference


def test_a_pair_moves_half_its_step_on_either_side():
    scored = torch.stack([SCORED, SCORED])
    moved = pair_targets(torch.zeros(2, 2, 4), scored, torch.tensor([6.0, 8.0]))
    # 6 / 2 over three rows up on the left, down on the right; 8 / 2 over four.
    assert moved[0, 0].tolist() == [1.0] * 4 and moved[1, 1].tolist() == [-1.0] * 4


def trained(labels, feat, steps=400, seed=0):
    torch.manual_seed(seed)
    model = RewardModel(RewardConfig(units=32, members=1), feat.shape[-1])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    weight = fold_weights(labels.fold, labels.weight, 1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        loss, _ = model.judge(labels, feat, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def test_sums_alone_tell_the_rewards_of_rows():
    kinds = torch.eye(3)  # rows of three kinds, of rewards 1, -2 and 5
    which = torch.tensor([[0, 0, 1], [0, 1, 2], [2, 2, 0], [1, 1, 2]])
    labels = clips([0.0, 4.0, 11.0, 1.0], [3, 3, 3, 3])
    found = trained(labels, kinds[which]).predict(kinds)
    torch.testing.assert_close(found, torch.tensor([1.0, -2.0, 5.0]), atol=0.05, rtol=0)


def test_noise_in_sums_biases_no_mean():
    """Quantiles of a normal of deviation 3 around a sum of 6, three rows alike: each row is worth 2, not less."""
    quantiles = torch.special.ndtri((torch.arange(64, dtype=torch.float64) + 0.5) / 64).float()
    labels = clips((6 + 3 * quantiles).tolist(), [3] * 64)
    found = trained(labels, torch.ones(64, 3, 1)).predict(torch.ones(1, 1))
    assert found.item() == pytest.approx(2.0, rel=0.01)


def test_answers_at_random_move_a_mean_less_far_where_reach_is_short():
    """90 say 0 of a scale of three rows up to 10 each, ten say 1, 2, .. 10 a row: the mean is .55. With a reach of 1 nine of
    the ten pull by 1 and one by 1 - m, against 90 m: m = 10 / 91."""
    anything = torch.linspace(0, 30, 11)[1:].tolist()
    said = [0.0] * 90 + anything
    squared, huber = (
        trained(clips(said, [3] * 100, reach=reach), torch.ones(100, 3, 1)).predict(torch.ones(1, 1)).item()
        for reach in (math.inf, 1.0)
    )
    assert squared == pytest.approx(sum(said) / 300, abs=0.02)  # .55
    assert huber == pytest.approx(10 / 91, abs=0.02)


def test_marked_moments_are_rewards_of_their_rows():
    kinds = torch.eye(2)
    which = torch.tensor([[0, 1, 0], [0, 0, 0]])
    labels = clips([1.0, 0.0], [3, 2], marks=torch.tensor([[0.0, 1.0, 0.0], [9.0, 0.0, 0.0]]))  # the 9 is no row of it
    found = trained(labels, kinds[which]).predict(kinds)
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0]), atol=0.02, rtol=0)


def pairs(value, is_pair, judgement=(1.0, 1e-6)):
    number = len(value)
    right = Side(**windows(number), rows=torch.full((number,), 1), fold=torch.arange(number))
    terms = torch.tensor([judgement]).expand(number, 2)
    rows = {"right": right, "is_pair": torch.tensor(is_pair), "judgement": terms, "length": 1}
    return clips(value, [1] * number, **rows)


def test_pairs_and_one_anchor_tell_rewards():
    """The left one is preferred by 3 of 4: with sensitivity 1 it is worth log 3 more. The anchor says that the right is 2."""
    kinds = torch.eye(2).unsqueeze(1)  # (2, 1, F)
    left, right = kinds[[0, 0, 0, 0, 1]], kinds[[1, 1, 1, 1, 1]]
    labels = pairs([1.0, 1.0, 1.0, 0.0, 2.0], [True, True, True, True, False])
    found = trained(labels, torch.stack([left, right]), steps=3000).predict(kinds[:, 0])
    torch.testing.assert_close(found, torch.tensor([2 + math.log(3.0), 2.0]), atol=0.05, rtol=0)


def test_a_clip_that_is_scored_in_a_run_of_pairs_teaches_nothing_of_its_right_side():
    labels = pairs([2.0, 3.0], [False, False])
    feat, model = torch.randn(2, 2, 1, 4), RewardModel(RewardConfig(units=8, members=2), 4)
    weight = torch.ones(2, 2)
    one, _ = model.judge(labels, feat, weight)
    other, _ = model.judge(labels, torch.stack([feat[0], 100 * feat[1]]), weight)
    assert one.item() == other.item()


def test_clips_that_are_scored_in_a_run_of_pairs_have_a_reach_too():
    """Three say 0, one says 10: 3 m = 1 with a reach of 1, and their mean is 2.5."""
    far = trained(replace(pairs([0.0, 0.0, 0.0, 10.0], [False] * 4), reach=1.0), torch.ones(2, 4, 1, 1), steps=1000)
    assert far.predict(torch.ones(1, 1)).item() == pytest.approx(1 / 3, abs=0.02)


def test_no_gradient_reaches_what_a_target_is_moved_from():
    feat = torch.randn(2, 3, 4, requires_grad=True)
    model = RewardModel(RewardConfig(units=8, members=2), 4)
    labels = clips([1.0, 2.0], [3, 2])
    loss, metrics = model.judge(labels, feat, torch.ones(2, 2))
    logits = model.logits(feat.detach())
    assert metrics["reward/train_error"].item() == pytest.approx(1.5)  # it starts at reward 0
    loss.backward()
    assert feat.grad[1, 0].abs().sum() == 0 and logits.shape == (2, 2, 3, 255)  # a row that is not scored
