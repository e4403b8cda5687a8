"""The reward curve: folds by episode, nested subsets, a level that is that of the ensemble in use."""

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tandem.budget.scaling import fit_posterior
from tandem.training.measurements.features import SampledFeatures, mean_prediction
from tandem.training.measurements.findings import reward_curve
from tandem.training.measurements.reward_refit import (
    LabelledFeatures,
    RefitError,
    Scored,
    moved,
    noise_free,
    refit_errors,
)
from tandem.worldmodel.reward import RewardConfig

CONFIG = RewardConfig(units=16, bins=63)


@dataclass(frozen=True)
class Fixed:
    """Features without chance, (L, F)."""

    feat: torch.Tensor
    samples: int = 1

    @property
    def size(self) -> int:
        return self.feat.shape[-1]

    def at(self, sample, rows) -> torch.Tensor:
        return self.feat[rows]


def labelled(number: int, episodes: int, seed: int = 0) -> LabelledFeatures:
    """Rewards that are a smooth function of 4 features; an episode's label rows stand together."""
    generator = torch.Generator().manual_seed(seed)
    feat = torch.randn(number, 4, generator=generator)
    return LabelledFeatures(
        features=Fixed(feat),
        value=2 * feat[:, 0] + torch.tanh(2 * feat[:, 1] * feat[:, 2]),
        weight=torch.ones(number),
        fold=torch.arange(number) * episodes // number,
        is_uniform=torch.ones(number, dtype=torch.bool),
    )


def refit(labels: LabelledFeatures, config: RewardConfig = CONFIG, seed: int = 0) -> list[RefitError]:
    return refit_errors(labels, config, torch.Generator().manual_seed(seed), 600)


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
    assert [one.absolute for one in first] == [one.absolute for one in second]
    assert all(np.array_equal(one.scored.error, other.scored.error) for one, other in zip(first, second, strict=True))
    assert torch.equal(torch.rand(3), expected)


def test_a_member_never_scores_an_episode_that_it_was_fitted_on():
    """A label that only its own episode could teach: the feature is the episode, its reward a random number."""
    episodes = torch.arange(12).repeat_interleave(20)
    feat = torch.nn.functional.one_hot(episodes).float()
    value = torch.tensor([5.0, -5.0])[torch.randint(2, (12,), generator=torch.Generator().manual_seed(1))][episodes]
    leaking = LabelledFeatures(
        Fixed(feat), value, torch.ones(240), torch.arange(240), torch.ones(240, dtype=torch.bool)
    )
    honest = replace(leaking, fold=episodes)
    assert refit(leaking)[-1].absolute < 1.0
    assert refit(honest)[-1].absolute > 4.0


def test_chance_in_the_latents_is_no_reward_error():
    """The reward is how likely four coins are to show heads, and the features are how they fell."""

    def error(samples: int) -> float:
        generator = torch.Generator().manual_seed(3)
        heads = torch.rand(400, generator=generator)
        log_probs = torch.stack([1 - heads, heads], -1).log()[:, None].expand(-1, 4, -1)
        features = SampledFeatures(torch.zeros(400, 1), log_probs, torch.rand(samples, 400, 4, generator=generator))
        return refit(replace(labelled(400, 20), features=features, value=2 * heads))[-1].absolute

    assert error(8) < 0.85 * error(1)


def test_a_prediction_is_averaged_over_the_draws():
    generator = torch.Generator().manual_seed(0)
    features = SampledFeatures(
        torch.randn(5, 2, generator=generator),
        torch.full((5, 1, 2), 0.5).log(),
        torch.rand(3, 5, 1, generator=generator),
    )
    models = SimpleNamespace(reward=SimpleNamespace(predict=lambda feat: feat.sum(-1) * feat[:, -1]))
    # the last feature is 1 where the coin fell on the second side: deter summed, and 1, as often as it did
    heads = (features.draws[..., 0] >= 0.5).float()
    expected = (heads * (features.deter.sum(-1) + 1)).mean(0)
    torch.testing.assert_close(mean_prediction(models, features), expected)


def test_chosen_labels_train_and_never_score():
    labels = labelled(300, 10)
    chosen = torch.arange(300) % 3 == 0
    absurd = replace(labels, value=torch.where(chosen, 1000.0, labels.value), weight=(~chosen).float())
    scored = refit(replace(absurd, is_uniform=~chosen))[-1]
    assert scored.absolute < 5 < refit(absurd)[-1].absolute


def test_labels_that_were_all_chosen_give_no_errors():
    labels = labelled(300, 10)
    assert refit(replace(labels, is_uniform=torch.zeros(300, dtype=torch.bool))) == []
    one = torch.arange(300) == 7  # a single one that may score is enough
    assert [math.isfinite(error.squared) for error in refit(replace(labels, is_uniform=one))] == [True] * 4


@pytest.mark.parametrize("labels, config", [(labelled(50, 2), CONFIG), (labelled(50, 9), replace(CONFIG, members=1))])
def test_too_few_episodes_or_one_member_give_no_errors(labels, config):
    assert refit(labels, config) == []


def test_a_handful_of_labels_is_enough_to_be_defined():
    errors = refit(labelled(3, 3))
    assert [one.count for one in errors] == [1, 2, 3]  # 3/8 rounds to 0 and is left out
    assert all(torch.isfinite(torch.tensor(one.absolute)) for one in errors)


def test_a_figure_moves_to_the_ensemble_in_use_as_heldout_labels_come():
    assert moved(4.0, 1.0, number=0) == 1.0
    # 16 labels against the weight of 16: half of the way in logs, from 4 to 1 is 2
    assert moved(4.0, 1.0, number=16) == pytest.approx(0.5)
    assert moved(4.0, 1.0, number=16_000) == pytest.approx(0.25, rel=0.01)
    assert moved(0.0, 1.0, 9) == moved(1.0, 0.0, 9) == moved(1.0, float("nan"), 9) == 1.0


def test_noise_is_taken_out_of_an_absolute_error():
    # Squared 5, of which 3.75 are noise: a quarter is left, half of it in linear units.
    assert noise_free(2.0, 5.0, 3.75) == pytest.approx(1.0)
    assert noise_free(2.0, 5.0, 0.0) == 2.0
    assert noise_free(0.0, 0.0, 1.0) == 0.0


def test_what_is_explained_is_of_clean_answers():
    """Answers of variance 4, errors of mean square 2: half. With noise of variance 1 in both: 1 - (2 - 1) / (4 - 1)."""
    told = Scored(np.full(4, math.sqrt(2)), np.array([2.0, -2.0, 2.0, -2.0]), np.arange(4))
    assert told.explained(0.0) == pytest.approx(0.5)
    assert told.explained(1.0) == pytest.approx(2 / 3)
    blind = replace(told, error=told.value)
    assert blind.explained(0.0) == blind.explained(4.0) == 0.0
    worse = replace(told, error=math.sqrt(2) * told.value)
    assert (worse.explained(0.0), worse.explained(2.0)) == pytest.approx((-1.0, -2.0))
    constant = Scored(np.ones(4), np.zeros(4), np.arange(4))
    assert constant.explained(0.0) == 0.0, "answers that are all alike have nothing to explain"


def test_much_noise_hides_by_its_luck_alone_what_is_explained():
    """A prediction with a third of the clean variance, noise of 16 times all of it, 400 labels: the estimate scatters around
    the truth, where the difference of two nearly equal levels would be anything."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        known, unknown = rng.normal(size=(2, 400)) * np.sqrt([[1 / 3], [2 / 3]])
        value = known + unknown + 4 * rng.normal(size=400)
        found.append(Scored(known - value, value, np.arange(400)).explained(16.0))
    assert 0.1 < np.median(found) < 0.4
    assert np.quantile(found, 0.1) > -0.5 and max(found) < 1


def test_an_error_knows_which_labels_it_is_the_mean_over():
    labels = labelled(80, 8)
    labels = replace(labels, is_uniform=torch.arange(80) % 2 == 0)
    last = refit(labels)[-1]
    assert last.scored.place.tolist() == list(range(0, 80, 2))
    assert last.scored.value == pytest.approx(labels.value[::2].numpy())
    assert np.abs(last.scored.error).mean() == pytest.approx(last.absolute, rel=1e-5)


def gaussian_refit(count: int, deviation: float, noise: float) -> RefitError:
    """Of an error and a rater's noise that are both normal: the mean absolute value of a deviation d is d sqrt(2 / pi)."""
    squared = deviation**2 + noise**2
    return RefitError(count, math.sqrt(squared * 2 / math.pi), squared, 0.0)


@pytest.mark.parametrize("refit, live", [(0.6, 0.3), (0.5, 0.25), (0.3, 0.3)])
def test_noise_does_not_hide_how_much_better_the_ensemble_in_use_is(refit, live):
    errors = [gaussian_refit(50, 2 * refit, 1.0), gaussian_refit(100, refit, 1.0)]
    seen = torch.randn(400_000, generator=torch.Generator().manual_seed(0)) * math.sqrt(live**2 + 1)
    curve = reward_curve(errors, (1.0, 1.0), seen, training=100, clean=40.0)
    assert curve.counts == pytest.approx((20.0, 40.0))
    assert curve.errors[1] == pytest.approx(live * math.sqrt(2 / math.pi), rel=0.15)
    assert curve.errors[0] == pytest.approx(2 * curve.errors[1], rel=1e-3)


def test_noise_does_not_make_it_look_as_if_labels_did_not_help():
    """A clean error that halves with every doubling beside noise 20 times as large: its levels are read as all alike."""
    counts, nothing = (50, 100, 200, 400), torch.zeros(0)
    for noise, low, high in ((0.0, 0.8, 1.2), (20.0, 0.25, 0.8)):
        errors = [gaussian_refit(count, 50 / count, noise) for count in counts]
        curve = reward_curve(errors, (noise**2 + 1, noise**2 + 1) if noise else (0.0, 0.0), nothing, 400, 400.0)
        posterior = fit_posterior(curve)
        assert low < posterior.exponent < high and posterior.probability_stuck < 0.2


def test_few_noisy_labels_do_not_throw_the_level_about():
    """100 live labels, noise 1, and an ensemble as good as the refits, at .5: the level hardly moves, whatever they say."""
    errors = [gaussian_refit(1000, 0.5, 1.0)]
    deviation = math.sqrt(0.25 + 1)
    seen = torch.randn(200, 100, generator=torch.Generator().manual_seed(0)) * deviation
    levels = torch.tensor([reward_curve(errors, (1.0, 1.0), live, 1000, 1000.0).errors[0] for live in seen])
    off = (levels / (0.5 * math.sqrt(2 / math.pi))).log()
    assert off.std() < 0.2 and off.mean().abs() < 0.1


def test_the_curve_stands_where_the_ensemble_in_use_learned():
    """The refits saw the newest 8,000 of 25,000 labels. With many live labels level and count are the ensemble's, with
    none they are the refits'."""
    errors = [gaussian_refit(count, 90 * count**-0.96, 0.0) for count in (1000, 2000, 4000, 8000)]
    level = 90 * 25_000**-0.96 * math.sqrt(2 / math.pi)
    known = reward_curve(errors, (0.0, 0.0), torch.full((10**6,), level), training=25_000, clean=27_700.0)
    assert known.counts[-1] == pytest.approx(27_700, rel=1e-3) and known.errors[-1] == pytest.approx(level, rel=1e-3)
    alone = reward_curve(errors, (0.0, 0.0), torch.zeros(0), training=25_000, clean=25_000.0)
    assert alone.counts[-1] == 8000 and alone.errors[-1] == pytest.approx(errors[-1].absolute)


def test_a_level_without_a_meaning_leaves_the_refits_as_they_are():
    errors = [RefitError(4, 2.0, 4.0, 0.0), RefitError(9, 1.0, 1.0, 0.0)]
    for live in (torch.zeros(9), torch.full((9,), float("nan"))):
        curve = reward_curve(errors, (0.0, 0.0), live, training=20, clean=20.0)
        assert (curve.counts, curve.errors) == ((4.0, 9.0), (2.0, 1.0))
    diverged = reward_curve([errors[0], RefitError(9, math.inf, math.inf, 0.0)], (0.0, 0.0), torch.ones(9), 20, 20.0)
    assert (diverged.counts, diverged.errors) == ((4.0,), (2.0,))
    assert reward_curve([], (0.0, 0.0), torch.ones(9), 20, 20.0).counts == ()
    assert reward_curve([RefitError(9, 0.0, 0.0, 0.0)], (0.0, 0.0), torch.ones(9), 20, 20.0).counts == ()


def test_labels_of_heldout_episodes_are_scored_by_all_members():
    """On episodes that are told by another rule the refits fail, on the folds they do not."""
    labels, other = labelled(800, 20), labelled(60, 3, seed=1)
    same = refit(replace(labels, heldout=other))
    assert [len(one.heldout) for one in same] == [60] * 4
    assert np.abs(same[-1].heldout).mean() == pytest.approx(same[-1].absolute, rel=0.35)
    turned = refit(replace(labels, heldout=replace(other, value=-other.value)))
    assert turned[-1].absolute == same[-1].absolute and np.abs(turned[-1].heldout).mean() > 3 * same[-1].absolute
    few = replace(other, is_uniform=torch.arange(60) < 7)
    assert len(refit(replace(labels, heldout=few))[-1].heldout) == 7
    assert refit(labels)[-1].heldout is None


def test_an_error_is_moved_towards_that_on_heldout_episodes_by_their_number():
    # Folds say .1 and .2; held-out episodes .4 in 16 labels, which count half: .2 and .283, and the ensemble in use stays there.
    errors = [RefitError(10 * n, 0.1 * n, (0.1 * n) ** 2, 0.0, heldout=np.full(16, 0.4)) for n in (2, 1)]
    curve = reward_curve(errors, (0.0, 0.0), torch.zeros(0), training=10, clean=10.0)
    assert curve.errors == pytest.approx((0.08**0.5, 0.2))
    noisy = reward_curve(errors, (0.0, 0.4**2 - 1e-9), torch.zeros(0), training=10, clean=10.0)
    assert noisy.errors == pytest.approx((0.2, 0.1), rel=1e-2), "what is all noise tells nothing"


def test_labels_of_heldout_episodes_count_once():
    """Those that the refit is scored on are those that the ensemble in use is: 16 of them, half way and no further."""
    errors = [RefitError(20, 0.1, 0.01, 0.0, heldout=np.full(16, 0.4))]
    for live, expected in ((0.4, 0.2), (0.8, 0.1**0.5 * 0.8**0.5)):
        curve = reward_curve(errors, (0.0, 0.0), torch.full((16,), live), training=20, clean=20.0)
        assert curve.errors == pytest.approx((expected,))


@pytest.mark.parametrize("noise", [0.0, 1.0, 4.0])
def test_episodes_that_are_harder_alike_for_all_refits_leave_the_slope(noise):
    """Refits with few labels err by more, and look clearer beside the raters' noise."""
    counts, deviations = np.array([100, 200, 400, 800]), np.array([2.0, 2**0.5, 1.0, 0.5**0.5])
    errors = []
    for count, deviation in zip(counts, deviations, strict=True):
        seen, unseen = ((deviation**2 * factor**2 + noise) ** 0.5 for factor in (1.0, 2.0))
        heldout = np.array([unseen, -unseen] * 30) * (2 / np.pi) ** 0.5
        heldout *= (unseen**2 / (heldout**2).mean()) ** 0.5
        absolute = seen * (np.abs(heldout).mean() / unseen)
        errors.append(RefitError(int(count), absolute, seen**2, 0.0, heldout=heldout))
    curve = reward_curve(errors, (noise, noise), torch.zeros(0), training=800, clean=800.0)
    slopes = np.diff(np.log(curve.errors)) / np.diff(np.log(counts))
    assert slopes == pytest.approx([-0.5] * 3)
