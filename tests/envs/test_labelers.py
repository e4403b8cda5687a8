"""Labelers: every answer comes once, late ones in their turn, noise by seed and key alone."""

import math
import re
import sys

import numpy as np
import pytest

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.make import make_labeler
from tandem.envs.labelers.rater import TierConfig
from tandem.envs.records import Answer, Clip, Declined, Question
from tandem.envs.vault import RewardVault
from tandem.errors import UserError


def vault_of(num=100):
    vault = RewardVault()
    for step in range(1, num + 1):
        vault.put(0, step, float(step))
    return vault


def questions(*steps):
    return [Question(f"q{step}", Clip(0, step)) for step in steps]


def answers(config, keys_and_steps, seed=0):
    labeler = make_labeler(config, vault_of(), seed)
    labeler.submit([Question(key, Clip(0, step)) for key, step in keys_and_steps])
    return {answer.key: answer.value for answer in labeler.collect()}


def test_each_answer_comes_once():
    labeler = make_labeler(LabelerConfig(), vault_of(), 0)
    labeler.submit([*questions(3, 7), Question("pair", Clip(0, 8, length=2))])
    assert labeler.collect() == [Answer("q3", 3.0), Answer("q7", 7.0), Answer("pair", 15.0)]
    assert labeler.collect() == []


def test_late_answers_wait_for_their_number_of_collects():
    labeler = make_labeler(LabelerConfig(delay=2), vault_of(), 0)
    labeler.submit(questions(1))
    assert labeler.collect() == []
    labeler.submit(questions(2))
    assert labeler.collect() == []
    assert labeler.collect() == [Answer("q1", 1.0)]
    assert labeler.collect() == [Answer("q2", 2.0)]


def test_asking_a_waiting_key_again_gives_one_answer():
    labeler = make_labeler(LabelerConfig(delay=1), vault_of(), 0)
    labeler.submit(questions(4))
    labeler.submit(questions(4))
    assert labeler.collect() == []
    assert labeler.collect() == [Answer("q4", 4.0)]
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


def tier_answers(config, keys_and_steps, tier="cheap", seed=0):
    labeler = make_labeler(LabelerConfig(tiers={"cheap": config}), vault_of(), seed)
    labeler.submit([Question(key, Clip(0, step), tier) for key, step in keys_and_steps])
    return {answer.key: answer.value for answer in labeler.collect()}


def test_a_rater_adds_its_bias_and_what_depends_on_the_reward():
    config = TierConfig(price=1.0, bias=0.5, slope=2.0)
    assert tier_answers(config, [("a", 3)])["a"] == pytest.approx(3 + 0.5 + 2 * math.sin(3))
    assert tier_answers(TierConfig(price=1.0), [("a", 3)]) == {"a": 3.0}


def test_a_rater_turns_the_sign_as_often_as_stated():
    found = list(tier_answers(TierConfig(price=1.0, flip=0.2), [(f"k{n}", 5) for n in range(2000)]).values())
    # standard error of a share of .2 among 2000: .009
    assert set(found) == {5.0, -5.0} and abs(found.count(-5.0) / 2000 - 0.2) < 0.035


def test_a_rater_errs_anew_under_every_key_and_never_anew_under_the_same():
    config = TierConfig(price=1.0, sigma=2.0, flip=0.5)
    first, second = (tier_answers(config, [(f"k{n}", 5), ("other", 7)]) for n in (1, 2))
    assert first["other"] == second["other"] and first["k1"] != second["k2"]
    assert tier_answers(config, [("k1", 5)], seed=1)["k1"] != first["k1"]


def test_a_query_goes_to_its_tier():
    tiers = {"cheap": TierConfig(price=1.0, bias=1.0), "expert": TierConfig(price=6.0, bias=2.0)}
    labeler = make_labeler(LabelerConfig(tiers=tiers), vault_of(), 0)
    labeler.submit([Question(f"{tier}", Clip(0, 10), tier) for tier in ("expert", "default", "cheap")])
    assert {answer.key: answer.value for answer in labeler.collect()} == {"default": 10, "cheap": 11, "expert": 12}
    assert labeler.collect() == []
    with pytest.raises(ValueError, match=r"^tier: must be one of default, cheap, expert, got dear"):
        labeler.submit([Question("q", Clip(0, 10), "dear")])


def test_gold_is_the_dearest_tier_unless_another_is_named():
    tiers = {"cheap": TierConfig(price=1.0), "expert": TierConfig(price=6.0), "panel": TierConfig(price=3.0)}
    assert LabelerConfig(tiers=tiers).gold_tier == "expert"
    assert LabelerConfig(tiers=tiers, gold="panel").gold_tier == "panel"
    assert LabelerConfig().gold_tier == "default"


@pytest.mark.parametrize(
    "field, value",
    [
        ("price", 0.0),
        ("price", math.nan),
        ("sigma", -1.0),
        ("bias", math.nan),
        ("slope", math.inf),
        ("flip", 1.5),
        ("prior_sigma", -0.1),
        ("prior_bias", math.inf),
    ],
)
def test_a_field_of_a_tier_out_of_range_is_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}: must be"):
        TierConfig(**{"price": 1.0} | {field: value})


@pytest.mark.parametrize("name", ["env_reward", "noisy"])
def test_a_question_without_a_true_answer_is_declined(name):
    vault = vault_of()
    vault.put(0, 101, math.nan)
    labeler = make_labeler(LabelerConfig(name=name), vault, 0)
    labeler.submit(questions(101))
    assert labeler.collect() == [Declined("q101", "the reward of environment 0, row 101 is nan")]
    labeler.submit(questions(0))
    assert [reply.reason for reply in labeler.collect()] == [
        "no true reward for a row of Clip(env=0, step=0, length=1)"
    ]


@pytest.mark.parametrize(
    "field, value",
    [
        ("sigma", -1.0),
        ("sigma", math.inf),
        ("delay", -1),
        ("item_price", 1.0),  # without tiers nobody would be paid it
        ("item_price", -1.0),
        ("gold", "nobody"),
        ("name", ""),
        ("name", "nobody"),
        ("name", "my labeler:Class"),
        ("name", "module:"),
        ("name", "a:b:c"),
    ],
)
def test_a_field_out_of_range_is_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}: must be"):
        LabelerConfig(**{field: value})


def test_an_unknown_name_is_told_the_nearest_and_all_there_are():
    choices = re.escape(
        "name: must be one of env_reward, noisy, people or module:Class of your own, got 'nosy', did you mean noisy?"
    )
    with pytest.raises(ValueError, match=f"^{choices}$"):
        LabelerConfig(name="nosy")
    with pytest.raises(ValueError, match=r"^delay: must be 0 for a labeler of your own, my:Own, got 2"):
        LabelerConfig(name="my:Own", delay=2)


OWN = """
from tandem.envs.records import Answer

class Plain:
    given = {}
    def submit(self, questions):
        self.waiting = questions
    def collect(self):
        return [Answer(question.key, 0.5) for question in self.waiting]

class Seeded(Plain):
    def __init__(self, seed, vault=None, config=None, delay=None, **others):
        self.given = {"seed": seed, "vault": vault, "config": config, "delay": delay} | others

class Greedy(Plain):
    def __init__(self, vault): ...

class Deaf:
    def submit(self, questions): ...

class Broken(Plain):
    def __init__(self): raise OSError("no answers.csv here")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A person's folder with the module `own_labeler`."""
    (tmp_path / "own_labeler.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("own_labeler", None)


def test_a_persons_own_labeler_answers_and_is_given_a_seed_where_it_asks_and_never_the_vault(own):
    labeler = make_labeler(LabelerConfig(name="own_labeler:Plain"), vault_of(), 3)
    labeler.submit(questions(1, 7))
    assert labeler.collect() == [Answer("q1", 0.5), Answer("q7", 0.5)] and labeler.given == {}
    seeded = make_labeler(LabelerConfig(name="own_labeler:Seeded"), vault_of(), 3)
    assert seeded.given == {"seed": 3, "vault": None, "config": None, "delay": None}


@pytest.mark.parametrize(
    "name, what",
    [
        ("no_such_module:Plain", "cannot be made: ModuleNotFoundError: No module named 'no_such_module'"),
        ("own_labeler:Nobody", "cannot be made: AttributeError: module 'own_labeler' has no attribute 'Nobody'"),
        ("own_labeler:Broken", "cannot be made: OSError: no answers.csv here"),
        ("own_labeler:Greedy", "cannot be made: TypeError: .*missing 1 required positional argument: 'vault'"),
        ("own_labeler:Deaf", r"must have submit\(\) and collect\(\), got no collect\(\)"),
    ],
)
def test_a_labeler_of_ones_own_that_cannot_be_made_names_the_setting(own, name, what):
    with pytest.raises(UserError, match=f"^labeler.name: {name} {what}"):
        make_labeler(LabelerConfig(name=name), vault_of(), 0)


@pytest.mark.parametrize("name", ["default", "a/b", ""])
def test_a_tier_needs_a_name_that_a_key_can_hold(name):
    with pytest.raises(ValueError, match=f"^tiers.{name}: must be named"):
        LabelerConfig(tiers={name: TierConfig(price=1.0)})


def test_answers_of_people_alone_have_a_reach():
    scale = {"low": -1.0, "high": 3.0, "kind": "clip"}
    assert LabelerConfig(name="people", **scale).reach == pytest.approx(0.4)  # a tenth of the scale
    assert LabelerConfig(name="people", huber=0.0, **scale).reach == math.inf
    assert LabelerConfig(name="env_reward", **scale).reach == math.inf  # whose noise must bias no mean
    assert LabelerConfig(command=("judge",), **scale).reach == math.inf
    with pytest.raises(ValueError, match="huber: must be at least 0"):
        LabelerConfig(huber=-0.1)
