"""What is known of people: how surely and how carelessly they judge pairs, and whom the others are held against."""

import numpy as np
import pytest

from tandem.training.measurements.people import fit_judgement
from tandem.training.measurements.raters import reference
from tandem.worldmodel.replay.labels import Answers


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
    return Answers(item, item, tier, np.array(value, float), np.ones(len(item), bool))


def test_the_others_are_held_against_whom_they_agree_with():
    # ann and bob differ by .1, both differ from cem, who gave most, by 5.
    item = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4]
    tier = [1, 2, 3, 1, 2, 3, 1, 2, 3, 3, 3]
    value = [0.0, 0.1, 5, 1, 1.1, 6, 2, 2.1, -3, 0, 0]
    names = ("default", "ann", "bob", "cem")
    assert reference(answers(tier, item, value), names) in ("ann", "bob")
    assert reference(answers(tier, item, value), names, "cem") == "cem"  # whom the owner names
    assert reference(answers([3, 3, 1], [0, 1, 2], [0, 0, 0]), names) == "cem"  # nothing shared: who gave most
