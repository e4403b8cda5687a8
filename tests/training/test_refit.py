"""The reward curve: folds by episode, nested subsets, a level that is that of the ensemble in use."""

from dataclasses import replace

import pytest
import torch

from training.refit import LabelledFeatures, RefitError, calibrated, refit_errors
from worldmodel.reward import RewardConfig

CONFIG = RewardConfig(units=16, bins=63)


def labelled(number: int, episodes: int, seed: int = 0) -> LabelledFeatures:
    """Rewards that are a smooth function of 4 features; an episode's label rows stand together."""
    generator = torch.Generator().manual_seed(seed)
    feat = torch.randn(number, 4, generator=generator)
    return LabelledFeatures(
        feat=feat,
        value=2 * feat[:, 0] + torch.tanh(2 * feat[:, 1] * feat[:, 2]),
        weight=torch.ones(number),
        fold=torch.arange(number) * episodes // number,
        is_uniform=torch.ones(number, dtype=torch.bool),
    )


def refit(labels: LabelledFeatures, config: RewardConfig = CONFIG, seed: int = 0) -> list[RefitError]:
    return refit_errors(labels, config, torch.Generator().manual_seed(seed))


def test_errors_fall_with_labels():
    errors = refit(labelled(800, 20))
    assert [one.count for one in errors] == [100, 200, 400, 800]
    assert errors[-1].absolute < 0.8 * errors[0].absolute
    assert all(one.squared >= one.absolute**2 for one in errors)


def test_the_same_seed_gives_the_same_errors_and_leaves_the_global_noise_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = refit(labelled(64, 6)), refit(labelled(64, 6))
    assert first == second
    assert torch.equal(torch.rand(3), expected)


def test_a_member_never_scores_an_episode_that_it_was_fitted_on():
    """A label that only its own episode could teach: the feature is the episode, its reward a random number."""
    episodes = torch.arange(12).repeat_interleave(20)
    feat = torch.nn.functional.one_hot(episodes).float()
    value = torch.tensor([5.0, -5.0])[torch.randint(2, (12,), generator=torch.Generator().manual_seed(1))][episodes]
    leaking = LabelledFeatures(feat, value, torch.ones(240), torch.arange(240), torch.ones(240, dtype=torch.bool))
    honest = replace(leaking, fold=episodes)
    assert refit(leaking)[-1].absolute < 1.0
    assert refit(honest)[-1].absolute > 4.0


def test_chosen_labels_train_and_never_score():
    labels = labelled(300, 10)
    chosen = torch.arange(300) % 3 == 0
    absurd = replace(labels, value=torch.where(chosen, 1000.0, labels.value), weight=(~chosen).float())
    scored = refit(replace(absurd, is_uniform=~chosen))[-1]
    assert scored.absolute < 5 < refit(absurd)[-1].absolute


@pytest.mark.parametrize("labels, config", [(labelled(50, 2), CONFIG), (labelled(50, 9), replace(CONFIG, members=1))])
def test_too_few_episodes_or_one_member_give_no_errors(labels, config):
    assert refit(labels, config) == []


def test_a_handful_of_labels_is_enough_to_be_defined():
    errors = refit(labelled(3, 3))
    assert [one.count for one in errors] == [1, 2, 3]  # 3/8 rounds to 0 and is left out
    assert all(torch.isfinite(torch.tensor(one.absolute)) for one in errors)


def test_the_level_moves_to_the_ensemble_in_use_as_heldout_labels_come():
    errors = [RefitError(50, 8.0, 64.0, 0.0), RefitError(100, 4.0, 16.0, 0.0)]
    assert calibrated(errors, torch.zeros(0)) == [8.0, 4.0]
    # 16 labels against the weight of 16: half of the way in logs, from 4 to 1 is 2
    assert calibrated(errors, torch.ones(16)) == pytest.approx([4.0, 2.0])
    assert calibrated(errors, torch.ones(16_000)) == pytest.approx([2.0, 1.0], rel=0.01)


def test_levels_that_are_zero_leave_the_refits_as_they_are():
    errors = [RefitError(50, 0.0, 0.0, 0.0)]
    assert calibrated(errors, torch.ones(9)) == [0.0]
    assert calibrated([RefitError(5, 1.0, 1.0, 0.0)], torch.zeros(9)) == [1.0]
    assert calibrated([], torch.ones(9)) == []
