"""What is known of people: how surely and how carelessly they judge pairs, and whom the others are held against."""

import numpy as np
import pytest
import torch

from tandem.budget.reports.people import rater_rows
from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.records import Answer, Clip, ObsSpec, Question, Spaces
from tandem.training.measurements import raters
from tandem.training.measurements.people import _unseen_mean, fit_judgement, owners_facts
from tandem.training.measurements.raters import reference
from tandem.worldmodel.replay.copies import Copy
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import Answers, LabelReplay, LabelReplayConfig


def judged(sensitivity, lapse, number, seed=0):
    """Differences of deviation 10, and what a rater says of them who presses anything with probability `lapse`."""
    rng = np.random.default_rng(seed)
    difference = 10 * rng.standard_normal(number)
    is_left = rng.random(number) < 1 / (1 + np.exp(-sensitivity * difference))
    is_random = rng.random(number) < lapse
    return difference, np.where(is_random, rng.random(number) < 0.5, is_left).astype(float)


@pytest.mark.parametrize(("sensitivity", "lapse"), [(0.1, 0.05), (0.5, 0.2), (2.0, 0.01)])
def test_many_pairs_tell_sensitivity_and_lapses(sensitivity, lapse):
    found, lapses = fit_judgement(*judged(sensitivity, lapse, 4000))
    assert found == pytest.approx(sensitivity, rel=0.3) and lapses == pytest.approx(lapse, abs=0.04)


def test_few_pairs_leave_a_rater_near_the_others():
    difference, preference = judged(5.0, 0.0, 6)
    alone, _ = fit_judgement(difference, preference)
    beside, _ = fit_judgement(difference, preference, centre=0.3)
    assert 0.3 < beside < 1.5 < alone


def answers(tier, item, value):
    tier, item = np.array(tier), np.array(item)
    return Answers(item, item, item, tier, np.array(value, float), np.ones(len(item), bool))


def test_the_others_are_held_against_whom_they_agree_with():
    # ann and bob differ by .1, both differ from cem, who gave most, by 5.
    item = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4]
    tier = [1, 2, 3, 1, 2, 3, 1, 2, 3, 3, 3]
    value = [0.0, 0.1, 5, 1, 1.1, 6, 2, 2.1, -3, 0, 0]
    names = ("default", "ann", "bob", "cem")
    assert reference(answers(tier, item, value), names) in ("ann", "bob")
    assert reference(answers(tier, item, value), names, "cem") == "cem"  # whom the owner names
    assert reference(answers([3, 3, 1], [0, 1, 2], [0, 0, 0]), names) == "cem"  # nothing shared: who gave most


SPACES = Spaces({"state": ObsSpec((1,))}, action_size=1)


def three_raters(number=240, seed=0):
    """Rows of rewards N(0, 4), each answered by ann and two others' every second; dee answers 2 sin(reward) too much."""
    rng = np.random.default_rng(seed)
    labels = LabelReplay(LabelReplayConfig(burn_in=0), SPACES, 1, 1)
    for item in range(number):
        reward = 2 * rng.standard_normal()
        given = {"ann": reward, ("bob" if item % 2 else "dee"): reward}
        given["dee"] = reward + 2 * np.sin(reward)
        for name, value in given.items():
            say(labels, item, name, reward, value + 0.3 * rng.standard_normal())
    return labels


def say(labels, item, rater, reward, value):
    nothing = np.zeros(1, np.float32), np.zeros(1, np.uint8)
    state, action, is_first = np.array([[reward]], np.float32), np.zeros((1, 1), np.float32), np.array([True])
    copy = Copy(0, item + 1, item // 20, False, -1, {"state": state}, action, is_first, *nothing)
    key = f"{item}/{labels.received}"
    labels.ask(Asked(Question(key, Clip(0, item + 1)), copy, is_uniform=True))
    labels.answer(Answer(key, value, rater))


def predict(batch):
    return batch.obs["state"][:, -1, 0].numpy()


def test_a_rater_whose_bias_depends_on_the_state_is_named_and_left():
    labels = three_raters()
    estimates = raters.estimate(labels, LabelerConfig(name="people"), predict)
    assert [line.split()[1] for line in raters.biased(estimates)] == ["dee"]
    paid = {name: {"labels": 100, "spent": 1_700_000} for name in ("ann", "bob", "dee")}
    known = owners_facts(labels, estimates, 0.5, paid, predict)["raters"]
    assert {name: one["is_left"] for name, one in known.items()} == {"ann": False, "bob": False, "dee": True}
    assert known["dee"]["bias"] > 3 * known["bob"]["bias"]


def test_the_ledger_and_the_owners_page_tell_one_worth():
    """In proportion to what a label weighs in training where the best one weighs 1: each has sold 100 for 1.7 coins."""
    labels = three_raters()
    estimates = raters.estimate(labels, LabelerConfig(name="people"), predict)
    nothing = {"seconds": 0.0, "work_spent": 0, "work_seconds": 0.0}
    paid = {name: {"labels": 100, "spent": 1_700_000} | nothing for name in ("ann", "bob", "dee")}
    shown = owners_facts(labels, estimates, 0.5, paid, predict)["raters"]
    printed = rater_rows(paid, raters.told(estimates, 0.5))
    raters.apply(labels, estimates, 0.5, predict)
    weight = labels._batch(labels.training, np.arange(labels.received)).weight.double().numpy()
    best = max(one["clean_per_coin"] for one in shown.values())
    for name in paid:
        assert shown[name]["clean_per_coin"] == printed[name]["clean_per_coin"]
        (own,) = set(weight[labels.answers().tier == labels.tiers.index(name)].tolist())
        assert shown[name]["clean_per_coin"] == pytest.approx(own * best, rel=1e-5)


def test_a_retracted_rater_teaches_nothing_and_was_still_paid():
    labels = three_raters(40)
    raters.apply(labels, raters.estimate(labels, LabelerConfig(name="people"), predict), 0.5, predict)
    is_dees = labels.answers().tier == labels.tiers.index("dee")
    labels.retract(frozenset({"dee"}))
    weight = labels._batch(labels.training, np.arange(labels.received)).weight.numpy()
    assert (weight[is_dees] == 0).all() and (weight[~is_dees] > 0).all() and labels.received == len(weight)


def test_a_pair_is_judged_by_members_that_did_not_learn_from_it():
    each = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])  # (M, L)
    # The first pair's clips are of folds 0 and 1, the second's both of fold 5: members 0 and 1, and member 2.
    assert _unseen_mean(each, torch.tensor([0, 5]), torch.tensor([1, 5])).tolist() == [2.0, 6.0]
