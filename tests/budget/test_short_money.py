"""Finding out how good a rater is costs gold labels: what is done where a budget cannot pay for them."""

import math

import numpy as np
import pytest

from tandem.budget.money import MICRO
from tandem.budget.offers import LabelOffer, PerItem, TierEstimate, affordable_gold, offers, pilot_offer
from tandem.budget.raters import GOLD_TO_TRUST, BiasEstimate, NoiseEstimate, estimate_bias
from tandem.budget.scaling import PowerLaw

PRICES = {"cheap": MICRO, "expert": 6 * MICRO}


def known(pairs: int, expected: float = 0.04, bound: float = 1.0) -> dict[str, TierEstimate]:
    return {
        "cheap": TierEstimate(NoiseEstimate(1.0, pairs=2 * pairs), BiasEstimate(bound, expected, pairs=pairs)),
        "expert": TierEstimate(NoiseEstimate(0.04), BiasEstimate(0.0)),
    }


def test_a_part_of_the_money_pays_for_gold_items_that_all_answer():
    # An item costs 6 + 2 * 1; of 700 coins 84 pay for 10 of them.
    assert affordable_gold(PRICES, "expert", 700 * MICRO) == 10
    assert affordable_gold(PRICES, "expert", None) == GOLD_TO_TRUST == affordable_gold(PRICES, "expert", 10**6 * MICRO)
    assert affordable_gold({"only": MICRO}, "only", MICRO) == GOLD_TO_TRUST, "there is nobody to find out about"


def test_where_money_is_short_gold_comes_first_and_then_what_is_believed_counts():
    [first] = offers(PRICES, known(9), 0.25, "expert", money_micro=700 * MICRO)
    assert (first.tier, first.gold_share, first.checks, first.duplicate_share) == ("expert", 1.0, ("cheap",), 0.0)
    assert first == pilot_offer(PRICES, "expert", money_micro=700 * MICRO)
    cheap, expert = offers(PRICES, known(10), 0.25, "expert", money_micro=700 * MICRO)
    assert cheap.is_trusted and cheap.gold_share == cheap.duplicate_share == 0
    assert cheap.bias == pytest.approx(math.sqrt(0.04)) and expert.bias == 0
    assert cheap.price_micro == MICRO and cheap.clean == pytest.approx(0.25 / 1.25)


def test_where_there_is_money_enough_a_bias_is_feared_up_to_its_bound_and_checked():
    cheap, _ = offers(PRICES, known(17), 0.25, "expert", money_micro=7000 * MICRO)
    assert not cheap.is_trusted and cheap.gold_share > 0 and cheap.bias == pytest.approx(1.0)


def test_the_bias_of_labels_held_does_not_go_away_with_the_last_purchase():
    offer = LabelOffer("expert", 6 * MICRO, bias=0.0, is_trusted=True, held_bias=0.4)
    assert offer.joined(held=30, new=10).bias == pytest.approx(0.3)
    assert LabelOffer("expert", 6 * MICRO, bias=0.2, held_bias=0.4).joined(30, 10).bias == 0.2, "where bounds are known"


def test_with_hardly_any_money_the_stated_priors_alone_count():
    cheap, _ = offers(PRICES, known(0, expected=0.3**2), 0.25, "expert", money_micro=30 * MICRO)
    assert cheap.is_trusted and cheap.bias == pytest.approx(0.3)


def test_what_is_expected_of_a_bias_is_less_than_its_bound_and_follows_the_evidence():
    rng = np.random.default_rng(0)
    noise = [NoiseEstimate(0.5, pairs=50)]
    none = estimate_bias(np.zeros(0), np.zeros((0, 1)), noise, 0.3**2)
    assert 0.2**2 < none.expected < none.bound, "without evidence about the prior's own scale"
    fair, false = (
        estimate_bias(rng.normal(0, math.sqrt(0.5 + bias**2), 200), np.zeros((200, 1)), noise, 0.3**2)
        for bias in (0.0, 1.0)
    )
    assert fair.expected < 0.25**2 and false.expected == pytest.approx(1.0, rel=0.3)


def test_a_mean_of_answers_has_less_noise():
    assert NoiseEstimate(1.0, 0.2, 9).averaged(0.5) == NoiseEstimate(0.5, 0.1, 9)


def test_an_error_and_a_bias_add_up_as_squares_and_the_slope_is_the_derivative():
    law = PerItem(PowerLaw(3.0, 0.5), LabelOffer("cheap", MICRO, clean=0.25, bias=0.4))
    # error of 25 clean labels: 3 / 5
    assert law.error(100) == pytest.approx(math.hypot(0.6, 0.4))
    step = 1e-4
    slope = (law.error(100 - step) - law.error(100 + step)) / (2 * step)
    assert math.exp(law.log_slope(math.log(100))) == pytest.approx(slope, rel=1e-6)
