"""Label tiers with a pencil, and what duplicates and gold say about raters."""

import math

import numpy as np
import pytest

from tandem.budget.offers import (
    TierEstimate,
    best_replication,
    clean_labels,
    clean_worth,
    offers,
    pilot_offer,
    price_per_clean,
    residual_squared,
)
from tandem.budget.raters import BiasEstimate, NoiseEstimate, estimate_bias, estimate_noise
from tandem.budget.rollouts import best_replication as best_rollout_replication
from tandem.budget.rollouts import best_rollouts

KNOWN = [NoiseEstimate(1.0, 0.05)]


def test_a_noisy_label_is_worth_a_part_of_a_perfect_one():
    # 1 / (1 + 1 / .25) = 1/5; .96 = 1 / (1 + .04)
    assert clean_worth([1.0], 0.25) == pytest.approx(1 / 5)
    assert clean_worth([0.04], 1.0) == pytest.approx(1 / 1.04)
    assert clean_worth([1.0, 1.0], 1.0) == pytest.approx(2 / 3)
    assert clean_worth([1.0, 0.25], 1.0) == pytest.approx(1 / 1.2)  # precision 1 + 4 = 5
    assert clean_worth([0.0], 0.5) == 1.0
    assert clean_labels(np.array([4, 9, 4]), np.array([1.0, 0.0, 1.0]), 1.0) == pytest.approx(2 / 3 + 1)
    assert clean_labels(np.array([], int), np.array([]), 1.0) == 0


def test_the_price_of_a_clean_label_and_its_best_replication():
    # (2 + 3 * 1) (.25 + 1/3) / .25 = 5 * 7/3
    assert price_per_clean(1.0, 1.0, 0.25, replication=3, item=2.0) == pytest.approx(35 / 3)
    # m* = sqrt(1 * 2 / (.25 * 1)) = 2.83; (2 + 2)(.25 + 1/2) / .25 = 12 is dearer
    assert best_replication(1.0, 1.0, 0.25, item=2.0) == 3
    assert best_replication(1.0, 1.0, 0.25, item=0.0) == 1  # items are free: label distinct ones once
    assert best_replication(1.0, 1.0, 0.25, item=1e6, most=5) == 5
    assert best_replication(1.0, 0.0, 0.25, item=2.0) == 1


def test_the_best_replication_beats_every_other():
    rng = np.random.default_rng(0)
    for _ in range(200):
        price, noise, residual, item = np.exp(rng.uniform(-3, 3, 4))
        best = best_replication(price, noise, residual, item, most=20)
        costs = [price_per_clean(price, noise, residual, m, item) for m in range(1, 21)]
        assert costs[best - 1] == pytest.approx(min(costs))


@pytest.mark.parametrize("residual", [0.0, -1.0, math.nan, math.inf])
def test_a_residual_that_means_nothing_is_refused(residual):
    with pytest.raises(ValueError, match=r"^s0_squared: must be positive"):
        clean_worth([1.0], residual)


def test_a_residual_less_than_its_noise_keeps_something():
    assert residual_squared(1.5, 1.0) == 0.5
    assert residual_squared(1.0, 1.2) == 0.05
    assert residual_squared(0.0, 0.0) > 0


def test_noise_from_two_pairs():
    # ((1 - 3)^2 + 0) / 2 / 2 = 1, and items answered once say nothing
    assert estimate_noise(np.array([0, 0, 1, 1, 7]), np.array([1.0, 3.0, 2.0, 2.0, 50.0])).variance == 1
    # three answers 0, 3, 6 have variance 9 and two degrees of freedom
    found = estimate_noise(np.array([5, 5, 5]), np.array([0.0, 3.0, 6.0]))
    assert (found.variance, found.pairs) == (9.0, 2)
    # a belief of 5 fills two pairs up to four: (2 + 2 * 5) / 4, and a fifth pair would leave nothing of it
    assert estimate_noise(np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 2.0, 2.0]), 5.0).variance == 3
    assert estimate_noise(np.arange(5).repeat(2), np.tile([0.0, 2.0], 5), 1e9).variance == 2


def test_without_duplicates_the_belief_stands_and_without_a_belief_nothing_does():
    nothing = np.array([], int), np.array([])
    assert estimate_noise(*nothing, 0.49) == NoiseEstimate(0.49, 0.49 * math.sqrt(2 / 4), 0)
    assert estimate_noise(np.array([0, 1]), np.array([3.0, 4.0]), 0.49).variance == 0.49
    with pytest.raises(ValueError, match=r"^prior_variance: must be given"):
        estimate_noise(*nothing)


def test_noise_is_unbiased_and_its_standard_error_honest():
    rng = np.random.default_rng(0)
    found = [estimate_noise(np.arange(50).repeat(2), 2 * rng.standard_normal(100)) for _ in range(400)]
    variances = np.array([one.variance for one in found])
    # 4 * sqrt(2 / 50) = .8, and of the mean of 400 such .04
    assert abs(variances.mean() - 4) < 0.16 and abs(variances.std() - 0.8) < 0.1
    assert np.mean([one.deviation for one in found]) == pytest.approx(0.8, rel=0.1)


def test_flips_count_as_noise():
    rng = np.random.default_rng(0)
    reward = np.repeat(3.0, 4000)
    value = np.where(rng.random(4000) < 0.1, -reward, reward)
    # a sign turned with probability .1 has variance 4 * 9 * .1 * .9 = 3.24
    assert estimate_noise(np.arange(2000).repeat(2), value).variance == pytest.approx(3.24, rel=0.15)


def gold_pairs(number, rng, bias, sigma=1.0):
    seen = rng.standard_normal((number, 3))
    return bias(seen) + sigma * rng.standard_normal(number), seen


def test_an_honest_rater_is_rarely_corrected():
    rng = np.random.default_rng(0)
    number = [estimate_bias(*gold_pairs(n, rng, lambda seen: 0.0), KNOWN, 0.25) for n in (20, 60, 150, 300) * 50]
    # a gain above 3 by chance: half of P(chi2_1 > 6) = .7 %, a change (5) tried at five places hardly more often
    assert np.mean([bool(one.weights) for one in number]) < 0.04


def test_a_bias_is_corrected_and_what_remains_is_its_bound():
    rng = np.random.default_rng(0)
    found = estimate_bias(*gold_pairs(400, rng, lambda seen: 0.5 + 0.8 * seen[:, 0]), KNOWN, 0.25)
    assert found.gain > 100
    fresh = rng.standard_normal((1000, 3))
    assert np.abs(found.correction(fresh) - (0.5 + 0.8 * fresh[:, 0])).mean() < 0.15
    # nothing is left but noise: 1.645 * sqrt(2 / 400 + .05^2) = .14
    assert found.bound < 0.3
    honest = estimate_bias(*gold_pairs(10, rng, lambda seen: 0.0), KNOWN, 0.25)
    assert honest.correction(fresh).tolist() == [0.0] * 1000


def test_the_bound_covers_the_squared_bias_that_is_left():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(200):  # sin(3 x) is not a line: 0.32 of mean square, nearly all of it stays unexplained
        noise = estimate_noise(np.arange(100).repeat(2), rng.standard_normal(200))
        difference, seen = gold_pairs(200, rng, lambda seen: 0.8 * np.sin(3 * seen[:, 0]))
        found = estimate_bias(difference, seen, [noise], 0.25)
        covered.append(found.bound >= 0.32)
    assert np.mean(covered) > 0.9


def test_without_gold_the_bound_is_the_prior_s_and_few_pairs_do_not_lower_the_fear():
    # the two-sided 95 % point of Student's t with 4 degrees of freedom is 2.776
    nothing = estimate_bias(np.zeros(0), np.zeros((0, 3)), KNOWN, 0.25)
    assert nothing.bound == pytest.approx(0.25 * 2.776**2, rel=0.03)
    few = estimate_bias(np.zeros(99), np.zeros((99, 3)), KNOWN, 0.25)
    enough = estimate_bias(np.zeros(100), np.zeros((100, 3)), KNOWN, 0.25)
    assert few.bound == 0.25 > enough.bound  # not even 99 pairs without any difference


def test_a_trusted_rater_needs_little_gold_and_a_wrong_trust_gives_way():
    rng = np.random.default_rng(0)
    fair = estimate_bias(*gold_pairs(100, rng, lambda seen: 0.0), KNOWN, 0.05**2)
    assert fair.bound < 0.25**2
    false = estimate_bias(*gold_pairs(100, rng, lambda seen: 1.5 * np.sin(5 * seen[:, 0])), KNOWN, 0.05**2)
    assert false.bound > 1.0  # the mean square is 1.125


def test_gold_tightens_the_bound():
    rng = np.random.default_rng(0)
    bounds = [
        np.mean([estimate_bias(*gold_pairs(n, rng, lambda seen: 0.0), KNOWN, 1.0).bound for _ in range(20)])
        for n in (0, 100, 400, 1600)
    ]
    assert bounds == sorted(bounds, reverse=True) and bounds[-1] < 0.15


def test_a_bias_that_begins_later_makes_the_older_pairs_be_forgotten():
    rng = np.random.default_rng(0)
    late = np.arange(500) >= 400
    difference, seen = gold_pairs(500, rng, lambda seen: np.where(late, 1.5, 0.0))
    found = estimate_bias(difference, seen, KNOWN, 0.25)
    assert found.pairs == 100 and found.gain > 3
    assert found.correction(np.zeros((1, 3)))[0] == pytest.approx(1.5, abs=0.4)


def test_degenerate_gold_gives_numbers():
    for difference in (np.zeros(50), np.full(50, 3.0), np.r_[np.zeros(49), 1e6]):
        for seen in (np.zeros((50, 3)), np.ones((50, 3)), np.arange(150.0).reshape(50, 3)):
            found = estimate_bias(difference, seen, KNOWN, 0.25)
            assert np.isfinite([found.bound, found.gain, *found.weights]).all()


PRICES = {"cheap": 1_000_000, "expert": 6_000_000}


def estimates(gold_pairs: int = 500, bound: float = 0.04) -> dict[str, TierEstimate]:
    return {
        "cheap": TierEstimate(NoiseEstimate(1.0, pairs=500), BiasEstimate(bound, pairs=gold_pairs)),
        "expert": TierEstimate(NoiseEstimate(0.04, pairs=500), BiasEstimate(0.0)),
    }


def test_an_offer_counts_its_duplicates_and_its_gold():
    cheap, expert = offers(PRICES, estimates(), 1.0, "expert")
    # items are free, but .05 * 6 = .3 coins of gold come with each: m* = sqrt(1 * .3 / 1) < 1
    assert (cheap.replication, cheap.duplicate_share, cheap.gold_share, cheap.checks) == (1, 0.05, 0.05, ("expert",))
    assert cheap.price_micro == 1_350_000 and cheap.answers == 1.1 and cheap.bias == pytest.approx(0.2)
    # worth: .95 * .95 * 1/2 + .05 * .95 * 2/3 + .95 * .05 * 1/(1 + 1/26) + .05 * .05 * 1/(1 + 1/27)
    assert cheap.clean == pytest.approx(0.45125 + 0.0316667 + 0.0457407 + 0.0024107, abs=1e-6)
    assert cheap.price_per_clean == pytest.approx(1_350_000 / cheap.clean)
    assert (expert.price_micro, expert.checks, expert.bias) == (6_300_000, (), 0.0)


def test_an_unknown_tier_is_checked_more_and_tried_on_gold_items():
    cheap, expert = offers(PRICES, estimates(gold_pairs=20), 1.0, "expert")
    assert cheap.gold_share == 0.1 and (expert.checks, expert.check_answers, expert.gold_share) == (("cheap",), 2, 0.05)
    assert expert.price_micro == 6_000_000 + 300_000 + 100_000


def test_an_item_that_costs_is_answered_more_than_once():
    cheap, _ = offers(PRICES, estimates(), 0.25, "expert", item_micro=2_000_000)
    assert (cheap.replication, cheap.duplicate_share) == (3, 0.0)  # three answers are pairs already
    assert cheap.price_micro == 2_000_000 + 3_000_000 + 300_000


def test_a_tier_without_an_estimate_is_named():
    with pytest.raises(ValueError, match=r"^estimates: .* cheap"):
        offers(PRICES, {"expert": estimates()["expert"]}, 1.0, "expert")


def test_prices_of_nine_orders_of_magnitude_give_offers():
    prices = {"cheap": 1, "expert": 10**9 * 1_000_000}
    for one in offers(prices, estimates(), 1e-6, "expert"):
        assert one.clean > 0 and one.price_micro > 0 and math.isfinite(one.price_per_clean)


def test_a_pilot_of_one_tier_needs_no_gold():
    offer = pilot_offer({"only": 4_000_000}, "only")
    assert (offer.price_micro, offer.checks, offer.gold_share, offer.answers) == (5_000_000, (), 0.0, 1.25)


def test_rollouts_are_scored_as_often_as_pays():
    # m* = sqrt(4 * 1 * 100 / (1 * 10 * 2.5)) = 4; a rollout then costs 100 + 10 * 4 * 2.5 = 200
    assert best_rollout_replication((1.0, 4.0), 1.0, 100.0, 2.5, 10) == pytest.approx(4)
    plan = best_rollouts(2000.0, (1.0, 4.0), 1.0, 100.0, 2.5, 10)
    assert (plan.rollouts, plan.replication, plan.variance) == (10, 4, pytest.approx((1 + 4 / 4) / 10))


def test_money_that_rounding_leaves_over_buys_further_answers():
    # One rollout for 50 + 10 = 60 leaves 40 of 100 coins: four more answers a step, 1 + 100 / 5 instead of 1 + 100
    plan = best_rollouts(100, (1.0, 1.0), 100.0, 50.0, 1.0, 10)
    assert (plan.rollouts, plan.replication, plan.variance) == (1, 5, pytest.approx(21.0))


def test_the_best_rollouts_beat_every_other_replication():
    rng = np.random.default_rng(0)
    for _ in range(100):
        own, noise, rater, rollout, label = np.exp(rng.uniform(-2, 2, 5))
        plan = best_rollouts(1e5, (own, noise), rater, rollout, label, 7)
        costs = [(own + noise * rater / m) / (1e5 // (rollout + 7 * m * label)) for m in range(1, 60)]
        assert plan.variance <= min(costs) * 1.001  # whole rollouts may favour a neighbour by a hair


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((10.0, (1.0, 1.0), 1.0, 100.0, 1.0, 5), "budget"),
        ((1e3, (0.0, 1.0), 1.0, 100.0, 1.0, 5), "gradient_variance"),
        ((1e3, (1.0, 1.0), -1.0, 100.0, 1.0, 5), "rater_variance"),
        ((1e3, (1.0, 1.0), 1.0, 0.0, 1.0, 5), "price_rollout"),
        ((1e3, (1.0, 1.0), 1.0, 1.0, 0.0, 5), "price_label"),
        ((1e3, (1.0, 1.0), 1.0, 1.0, 1.0, 0), "horizon"),
    ],
)
def test_rollouts_that_make_no_sense_are_named(arguments, field):
    with pytest.raises(ValueError, match=f"^{field}: must"):
        best_rollouts(*arguments)
