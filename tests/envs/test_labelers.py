import math

import numpy as np
import pytest

from envs.labelers.base import LabelerConfig, make_labeler
from envs.records import Label, Query, Segment
from envs.vault import RewardVault, UnknownReward


def vault_of(num=100):
    vault = RewardVault()
    for step in range(1, num + 1):
        vault.put(0, step, float(step))
    return vault


def queries(*steps):
    return [Query(f"q{step}", Segment(0, step)) for step in steps]


def answers(config, keys_and_steps, seed=0):
    labeler = make_labeler(config, vault_of(), seed)
    labeler.submit([Query(key, Segment(0, step)) for key, step in keys_and_steps])
    return {label.key: label.value for label in labeler.collect()}


def test_each_answer_comes_once():
    labeler = make_labeler(LabelerConfig(), vault_of(), 0)
    labeler.submit([*queries(3, 7), Query("pair", Segment(0, 8, length=2))])
    assert labeler.collect() == [Label("q3", 3.0), Label("q7", 7.0), Label("pair", 15.0)]
    assert labeler.collect() == []


def test_late_answers_wait_for_their_number_of_collects():
    labeler = make_labeler(LabelerConfig(delay=2), vault_of(), 0)
    labeler.submit(queries(1))
    assert labeler.collect() == []
    labeler.submit(queries(2))
    assert labeler.collect() == []
    assert labeler.collect() == [Label("q1", 1.0)]
    assert labeler.collect() == [Label("q2", 2.0)]


def test_asking_a_waiting_key_again_gives_one_answer():
    labeler = make_labeler(LabelerConfig(delay=1), vault_of(), 0)
    labeler.submit(queries(4))
    labeler.submit(queries(4))
    assert labeler.collect() == []
    assert labeler.collect() == [Label("q4", 4.0)]
    assert labeler.collect() == []


def test_noise_is_a_function_of_seed_and_key_alone():
    config = LabelerConfig(name="noisy", sigma=2.0)
    alone = answers(config, [("b", 5)])
    together = answers(config, [("a", 5), ("b", 5)])
    assert alone["b"] == together["b"] and together["a"] != together["b"]
    assert answers(config, [("b", 9)])["b"] - 9 == pytest.approx(alone["b"] - 5)
    assert answers(config, [("b", 5)], seed=1)["b"] != alone["b"]


def test_noise_has_the_stated_spread_and_no_bias():
    config = LabelerConfig(name="noisy", sigma=2.0)
    errors = np.array([value - 5 for value in answers(config, [(f"k{n}", 5) for n in range(2000)]).values()])
    # standard errors: 2 / sqrt(2000) = 0.045 of the mean, 2 / sqrt(4000) = 0.032 of the spread
    assert abs(errors.mean()) < 0.18 and abs(errors.std() - 2) < 0.13


@pytest.mark.parametrize("name", ["env_reward", "noisy"])
def test_a_question_without_a_true_answer_is_an_error(name):
    vault = vault_of()
    vault.put(0, 101, math.nan)
    labeler = make_labeler(LabelerConfig(name=name), vault, 0)
    with pytest.raises(ValueError, match="environment 0, row 101 is nan"):
        labeler.submit(queries(101))
    with pytest.raises(UnknownReward, match="step=0"):
        labeler.submit(queries(0))


@pytest.mark.parametrize("field, value", [("sigma", -1.0), ("sigma", math.inf), ("delay", -1)])
def test_a_field_out_of_range_is_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}: must be"):
        LabelerConfig(**{field: value})
