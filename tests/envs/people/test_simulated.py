"""Simulated raters err as they are told to, and answer at the counter like people."""

import math

import numpy as np
import pytest

from tandem.envs.labelers.people.simulated import (
    Simulated,
    SimulatedConfig,
    Truth,
    recency,
    rng_of,
    verdict,
)

from .conftest import asked

LEFT, RIGHT = np.array([0.0, 1.0, 1.0]), np.array([1.0, 0.0, 0.0])  # returns 2 and 1


def stated(config: SimulatedConfig, kind: str, *rewards, number: int = 4000, count: int = 0) -> list:
    return [verdict(config, rng_of(0, f"key/{n}"), kind, rewards, count) for n in range(number)]


def share(verdicts: list, one: object) -> float:
    return verdicts.count(one) / len(verdicts)


def test_one_who_does_not_err_tells_the_truth():
    perfect = SimulatedConfig(low=-1.0, high=1.0)
    assert set(stated(perfect, "pair", LEFT, RIGHT, number=50)) == {"left"}
    assert set(stated(perfect, "pair", LEFT, LEFT, number=50)) == {"same"}
    # mean reward 2/3 of -1 .. 1
    assert stated(perfect, "clip", LEFT, number=2) == [pytest.approx((2 / 3 + 1) / 2)] * 2
    assert stated(perfect, "moments", np.array([0.1, 1.0, -0.9]), number=1) == [[[1, 1], [2, -1]]]


def test_beta_is_the_slope_of_a_logistic_choice():
    # P(left) = 1 / (1 + exp(-2 * (2 - 1))) = 0.8808; four standard errors of 4,000 draws are 0.02
    assert share(stated(SimulatedConfig(beta=2.0), "pair", LEFT, RIGHT), "left") == pytest.approx(0.8808, abs=0.02)


def test_noise_of_a_score_has_no_bias():
    wide = SimulatedConfig(low=-20.0, high=20.0, beta=1.0)
    scores = np.array(stated(wide, "clip", np.zeros(2)))
    # a Gumbel number of deviation 1.2825 over 2 rows on a scale of 40
    assert scores.mean() == pytest.approx(0.5, abs=4 * scores.std() / 63)
    assert scores.std() == pytest.approx(1.2825 / 2 / 40, rel=0.1)


def test_somebody_myopic_judges_by_the_end():
    np.testing.assert_allclose(recency(3, 0.5), [0.25, 0.5, 1.0])
    early, late = np.array([3.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])  # 0.75 and 1 to somebody of .5
    assert stated(SimulatedConfig(myopic=0.5), "pair", early, late, number=1) == ["right"]
    assert stated(SimulatedConfig(), "pair", early, late, number=1) == ["left"]


def test_mistakes_turn_choices_around_and_make_scores_arbitrary():
    config = SimulatedConfig(mistake=0.1)
    assert share(stated(config, "pair", LEFT, RIGHT), "right") == pytest.approx(0.1, abs=0.02)
    scores = stated(config, "clip", np.ones(3))
    assert 1 - share(scores, 1.0) == pytest.approx(0.1, abs=0.02)


def test_poor_clips_are_skipped_and_near_ones_are_the_same():
    # margin 10: below a return of 2.5 it skips, below a difference of 1.5 it is the same
    config = SimulatedConfig(skip=0.25, margin=10.0)
    assert stated(config, "pair", LEFT, RIGHT, number=1) == [None]
    assert stated(config, "pair", LEFT + 1, RIGHT, number=1) == ["left"]
    assert stated(SimulatedConfig(equal=0.15, margin=10.0, mistake=1.0), "pair", LEFT, RIGHT, number=1) == ["same"]


def test_drift_and_fatigue_grow_with_the_number_of_answers():
    drifting = SimulatedConfig(drift=0.001)
    assert stated(drifting, "clip", np.zeros(3), number=1, count=100) == [pytest.approx(0.1)]
    tired = SimulatedConfig(fatigue=0.001)
    assert share(stated(tired, "pair", LEFT, RIGHT, count=100), "right") == pytest.approx(0.1, abs=0.02)
    assert share(stated(tired, "pair", LEFT, RIGHT, count=9999), "right") == pytest.approx(0.5, abs=0.04)


def test_the_same_seed_and_key_say_the_same():
    config = SimulatedConfig(beta=0.5, mistake=0.3)
    one, other = Simulated("a", config, 3), Simulated("b", config, 4)
    again = [one.verdict(f"key/{n}", "clip", [LEFT]) for n in range(20)]
    assert [one.verdict(f"key/{n}", "clip", [LEFT]) for n in range(20)] == again
    assert [other.verdict(f"key/{n}", "clip", [LEFT]) for n in range(20)] != again


def test_five_keys_are_five_scores():
    config = SimulatedConfig(levels=5, beta=0.3)
    assert set(stated(config, "clip", np.full(3, 0.5))) == {0.0, 0.25, 0.5, 0.75, 1.0}


@pytest.mark.parametrize("named", ["beta", "mistake", "skip", "levels", "high"])
def test_impossible_raters_are_refused(named):
    wrong = {"beta": 0.0, "mistake": 1.1, "skip": math.nan, "levels": 1, "high": 0.0}
    with pytest.raises(ValueError, match=named):
        SimulatedConfig(**{named: wrong[named]})


@pytest.mark.parametrize("kind", ["clip", "pair", "moments"])
def test_a_simulated_rater_works_at_the_counter(booth, kind):
    trainer = booth.trainers[0]
    trainer.submit(asked(kind, *range(6)))
    rewards = np.array([0.0, 0.0, 1.0, 0.0])
    truths = (rewards, np.zeros(4)) if kind == "pair" else (rewards,)
    rater = Simulated("ann", SimulatedConfig(seconds=6.0), 0)

    def wait(seconds: float) -> None:
        booth.time += seconds

    while rater.work(booth.counter, lambda number: Truth(f"key/{number}", truths), wait):
        pass
    booth.time += 10
    answers = trainer.collect()
    # a quarter of -4 .. 4; the left clip, wherever it is shown; one success
    assert {answer.value for answer in answers} == {{"clip": -2.0, "pair": 1.0, "moments": 1.0}[kind]}
    assert len(answers) == rater.count == 6 and {answer.seconds for answer in answers} == {6.0}
