"""What the answers of several tiers say about their raters, and what each label counts for."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest

from tandem.budget.offers import TierEstimate
from tandem.budget.raters import BiasEstimate, NoiseEstimate
from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.rater import TierConfig
from tandem.envs.records import Answer, Clip, ObsSpec, Question, Spaces
from tandem.training.measurements import raters as tiers
from tandem.training.measurements.findings import MeasureConfig, Measurer
from tandem.training.measurements.reward_refit import clean_part
from tandem.worldmodel.replay.copies import Copy
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig

SPACES = Spaces({"state": ObsSpec((1,))}, action_size=1)
NAMED = LabelerConfig(tiers={"cheap": TierConfig(price=1.0), "expert": TierConfig(price=6.0)})


NOISES = {"default": 9.0, "cheap": 1.0, "expert": 0.25}


def predict(batch) -> np.ndarray:
    """A reward model that is right: rewards equal what is observed."""
    return batch.obs["state"][:, -1, 0].numpy()


def answered(items: int, rng, cheap=lambda reward: reward, gold_share=0.5, heldout=lambda item: False) -> LabelReplay:
    """Rows of rewards N(0, 4), each answered by the cheap tier with noise 1, a fifth of them twice, and a share by the
    expert with noise .2. The first expert answers are doubled too."""
    labels = LabelReplay(LabelReplayConfig(burn_in=0), SPACES, 1, 1, tiers=("default", "cheap", "expert"))
    for item in range(items):
        reward = 2 * rng.standard_normal()
        answer(labels, item, "cheap", reward, cheap(reward) + rng.standard_normal(), heldout(item))
        if item % 5 == 0:
            answer(labels, item, "cheap", reward, cheap(reward) + rng.standard_normal(), heldout(item))
        if rng.random() < gold_share:
            for _ in range(2 if item < 100 else 1):
                answer(labels, item, "expert", reward, reward + 0.2 * rng.standard_normal(), heldout(item))
    return labels


def answer(labels: LabelReplay, item: int, tier: str, reward: float, value: float, is_heldout: bool = False) -> None:
    copy = Copy(
        env=0,
        step=item + 1,
        episode=item // 20,
        is_heldout=is_heldout,
        context_step=-1,
        obs={"state": np.array([[reward]], np.float32)},
        prev_action=np.zeros((1, 1), np.float32),
        is_first=np.array([True]),
        start_deter=np.zeros(1, np.float32),
        start_stoch=np.zeros(1, np.uint8),
    )
    key = f"{item}/{tier}/{labels.received}"
    labels.ask(Asked(Question(key, Clip(0, item + 1), tier), copy, is_uniform=True))
    labels.answer(Answer(key, value))


def test_the_noise_of_each_tier_is_found_from_its_duplicates():
    found = tiers.estimate(answered(1000, np.random.default_rng(0)), NAMED, predict).tiers
    # standard errors: 1 * sqrt(2 / 200) = 0.1, and 0.04 * sqrt(2 / 50) = 0.008; beliefs weigh four pairs of variance ~5
    assert found["cheap"].noise.pairs == 200 and abs(found["cheap"].noise.variance - 1) < 0.4
    assert found["expert"].noise.pairs > 40 and found["expert"].noise.variance < 0.6
    assert found["cheap"].bias.weights == () and found["expert"].bias.bound == 0


def test_the_noise_taken_off_is_that_of_the_labels_that_score():
    """Errors are scored on the newest labels: what older ones, of a noisier rater, were worth is no part of them."""
    labels = answered(0, np.random.default_rng(0))
    for item in range(60):
        answer(labels, item, "cheap" if item < 40 else "expert", 1.0, 1.0)
    noises = {name: TierEstimate(NoiseEstimate(variance), BiasEstimate(0.0)) for name, variance in NOISES.items()}
    estimates = tiers.TierEstimates(noises, (), ())
    measurer = SimpleNamespace(labels=labels, config=MeasureConfig(labels=20))
    assert Measurer.label_noise(measurer, estimates) == NOISES["expert"]
    measurer.config = MeasureConfig(labels=60)
    assert Measurer.label_noise(measurer, estimates) == pytest.approx(
        (40 * NOISES["cheap"] + 20 * NOISES["expert"]) / 60
    )


def test_the_programme_does_not_know_how_a_simulated_rater_is_configured():
    labels = answered(200, np.random.default_rng(0))
    other = LabelerConfig(
        tiers={
            "cheap": TierConfig(price=1.0, sigma=9.0, bias=7.0, flip=0.5),
            "expert": TierConfig(price=6.0, sigma=3.0),
        }
    )
    assert tiers.estimate(labels, other, predict) == tiers.estimate(labels, NAMED, predict)


def test_a_bias_with_the_reward_is_noticed_and_taken_off_what_is_drawn():
    labels = answered(600, np.random.default_rng(1), cheap=lambda reward: reward + 0.5 + 0.3 * reward)
    found = tiers.estimate(labels, NAMED, predict)
    assert found.tiers["cheap"].bias.gain > 3
    [line] = tiers.biased(found)
    assert "cheap" in line and "corrected" in line
    tiers.apply(labels, found, 0.5, predict)
    answers, batch = labels.answers(), labels.rows(np.arange(labels.received))
    is_cheap, reward = answers.tier == 1, batch.obs["state"][:, -1, 0].numpy()
    error = batch.value.numpy() - reward
    raw = answers.value - reward
    # raw: mean .5 and slope .3; left of them: the error of a fit on some 300 gold pairs, sqrt(3 * 1.04 / 300) = .1
    assert abs(raw[is_cheap].mean() - 0.5) < 0.15 and abs(error[is_cheap].mean()) < 0.15
    assert abs(np.polyfit(reward[is_cheap], error[is_cheap], 1)[0]) < 0.1
    assert np.allclose(error[~is_cheap], raw[~is_cheap], atol=1e-5)
    tiers.apply(labels, replace(found, tiers=found.tiers | {"cheap": found.tiers["expert"]}), 0.5, predict)
    assert np.allclose(labels.rows(np.arange(labels.received)).value.numpy(), answers.value, atol=1e-5)


def test_an_honest_tier_is_left_alone():
    for seed in range(5):
        labels = answered(300, np.random.default_rng(seed))
        found = tiers.estimate(labels, NAMED, predict)
        assert tiers.biased(found) == []
        before = labels.rows(np.arange(labels.received)).value
        tiers.apply(labels, found, 0.5, predict)
        assert (labels.rows(np.arange(labels.received)).value == before).all()


def test_answers_about_heldout_rows_do_not_shape_what_is_trained():
    def spoilt(item: int) -> LabelReplay:
        labels = answered(200, np.random.default_rng(3), heldout=lambda item: item >= 180)
        labels.heldout.columns["value"][:] = item
        return labels

    assert tiers.estimate(spoilt(7), NAMED, predict) == tiers.estimate(spoilt(-99), NAMED, predict)


def test_labels_weigh_by_their_precision_and_move_by_what_is_no_noise():
    labels = answered(400, np.random.default_rng(0))
    found = tiers.estimate(labels, NAMED, predict)
    tiers.apply(labels, found, 0.5, predict)
    weight = labels.rows(np.arange(labels.received)).weight.numpy()
    cheap, expert = (one.noise.variance + one.bias.expected for one in map(found.tiers.get, ("cheap", "expert")))
    is_cheap = labels.answers().tier == 1
    assert (weight[~is_cheap] == 1).all()
    assert weight[is_cheap] == pytest.approx((0.5 + expert) / (0.5 + cheap), rel=1e-5)
    assert labels.step == tiers.clean_share(labels, found) < 1, "of what trains as it is weighed now"
    alone = answered(100, np.random.default_rng(0), gold_share=0)
    tiers.apply(alone, tiers.estimate(alone, NAMED, predict), 0.5, predict)
    assert alone.sample(50, np.random.default_rng(0)).weight.numpy() == pytest.approx(alone.step, rel=1e-6)


def test_a_clean_part_is_a_part():
    assert clean_part(1e-14, 0.0) == 1.0


def test_the_clean_share_of_answers_is_what_no_noise_explains():
    labels = answered(100, np.random.default_rng(0), gold_share=0)

    def share(variance: float, pairs: int = 9) -> float:
        noise = TierEstimate(NoiseEstimate(variance, 0.0, pairs), BiasEstimate(0.0))
        return tiers.clean_share(labels, tiers.TierEstimates(dict.fromkeys(labels.tiers, noise), (), ()))

    spread = float(labels.answers().value.var())
    assert share(0.0) == tiers.clean_share(labels, None) == 1.0
    assert share(spread / 4) == pytest.approx(3 / 4)
    assert share(2 * spread) == 1 / 20
    assert share(spread / 4, pairs=1) == 1.0, "noise that was hardly seen slows nothing down"
    # 108 answers: for 120 the rounding happens to be none.
    labels = answered(90, np.random.default_rng(0), gold_share=0)
    labels.training.columns["tier"][::2] = labels.tiers.index("expert")
    labels.training.columns["value"][:] = -0.1
    labels.weigh({"default": 1.0, "cheap": 0.3, "expert": 1.0})
    assert share(0.0) == 1.0, "answers that are all alike have no variance but rounding"


def test_clean_equivalents_count_a_row_once():
    labels = LabelReplay(LabelReplayConfig(burn_in=0), SPACES, 1, 1, tiers=("default", "cheap", "expert"))
    for item, tier in ((0, "cheap"), (0, "cheap"), (1, "expert"), (2, "cheap")):
        answer(labels, item, tier, 0.0, 0.0, is_heldout=item == 2)
    known = {"cheap": estimate_of(1.0), "expert": estimate_of(0.0), "default": estimate_of(0.0)}
    found = tiers.TierEstimates(known, (), ())
    # two answers: 1 / (1 + .5); a perfect one: 1; one answer: 1 / (1 + 1)
    assert tiers.clean_equivalents(labels, found, 1.0) == pytest.approx(2 / 3 + 1 + 1 / 2)
    assert tiers.clean_equivalents(labels, None, 1.0) == 4


def estimate_of(variance: float) -> TierEstimate:
    return TierEstimate(NoiseEstimate(variance), BiasEstimate(0.0))


def test_before_anything_is_known_gold_is_bought_and_the_others_are_tried_on_its_rows():
    [offer] = tiers.offers(NAMED, None, 1.0)
    # 1 gold, .25 of them again; half of the rows by the cheap tier, twice: 1.25 * 6 + .5 * 2 * 1 = 8.5 coins
    assert (offer.tier, offer.checks, offer.price_micro, offer.answers) == ("expert", ("cheap",), 8_500_000, 2.25)
    assert tiers.offers(LabelerConfig(), None, 1.0) == ()
    nothing = LabelReplay(LabelReplayConfig(burn_in=0), SPACES, 1, 1, tiers=("default", "cheap", "expert"))
    assert tiers.estimate(nothing, NAMED, predict) is None


def test_every_tier_is_offered_from_the_first_answers_on_and_nothing_is_nan():
    for items in (1, 2, 3, 30):
        labels = answered(items, np.random.default_rng(items), gold_share=1.0)
        found = tiers.estimate(labels, NAMED, lambda batch: np.full(len(batch.value), np.nan))
        made = tiers.offers(NAMED, found, 0.3)
        assert [offer.tier for offer in made] == ["cheap", "expert"]
        numbers = [n for offer in made for n in asdict(offer).values() if isinstance(n, int | float)]
        assert np.isfinite(numbers).all() and all(offer.clean > 0 and offer.price_micro > 0 for offer in made)
        assert np.isfinite(tiers.clean_equivalents(labels, found, 0.3))
        tiers.apply(labels, found, 0.3, predict)
        assert labels.sample(20, np.random.default_rng(0)).value.isfinite().all()


@pytest.mark.parametrize("residual", [None, 0.0, float("nan"), float("inf")])
def test_a_residual_without_a_meaning_counts_as_not_known(residual):
    labels = answered(50, np.random.default_rng(0))
    found = tiers.estimate(labels, NAMED, predict)
    assert [offer.tier for offer in tiers.offers(NAMED, found, residual)] == ["expert"]
    assert tiers.clean_equivalents(labels, found, residual) == labels.received
    tiers.apply(labels, found, residual, predict)
    assert (labels.sample(20, np.random.default_rng(0)).weight == 1).all()


def test_two_answers_give_an_error_without_their_noise():
    rng = np.random.default_rng(0)
    labels = answered(4000, rng, gold_share=0.0)
    error = predict(labels.rows(np.arange(labels.received))) + 0.5 - labels.answers().value  # off by .5 everywhere
    found, pairs = tiers.squared_error(error, np.full(len(error), 3.0), labels.answers())
    # of 800 pairs: (.5 - e1)(.5 - e2) has variance .25 + .25 + 1, so a standard error of .043
    assert pairs == 800 and abs(found - 0.25) < 0.13 and (error**2).mean() > 1.1
    assert (
        tiers.squared_error(np.zeros(0), np.zeros(0), LabelReplay(LabelReplayConfig(), SPACES, 1, 1).answers())[1] == 0
    )


def test_a_pair_of_answers_counts_by_its_weights():
    labels = LabelReplay(LabelReplayConfig(burn_in=0), SPACES, 1, 1, tiers=("default", "cheap", "expert"))
    for item in (0, 0, 1, 1):
        answer(labels, item, "cheap", 0.0, 0.0)
    # products 1 * 3 and 2 * 2, of weights 1 * 2 and 1 * 1
    found, rows = tiers.squared_error(np.array([1.0, 3, 2, 2]), np.array([1.0, 2, 1, 1]), labels.answers())
    assert (found, rows) == (pytest.approx((2 * 3 + 4) / 3), 2)
