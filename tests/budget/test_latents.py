"""Transitions that lessen the reward's error too, since the reward model reads the latents that they shape."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tandem.budget.adaptive import best_share
from tandem.budget.allocator import make_allocator
from tandem.budget.market import Counts, Market, best_spend, gap, split
from tandem.budget.money import MICRO
from tandem.budget.offers import LabelOffer, PerItem
from tandem.budget.plan import AllocatorConfig, Evidence, Measured
from tandem.budget.reports.decisions import _reasons
from tandem.budget.scaling import Curve, LawSamples, PowerLaw, fit_help

ADAPTIVE = make_allocator(AllocatorConfig())
DYNAMICS, REWARD = PowerLaw(3.0, 0.25), PowerLaw(8.0, 0.5)


def helping(exponent: float, reference: float = 1000.0) -> PowerLaw:
    return PowerLaw(reference**exponent, exponent)


def read(exponent: float, *counts: float, weight: float = 1.0, level: float = 0.4) -> Curve:
    return Curve.of([(count, level * count**-exponent, weight) for count in counts])


def test_the_exponent_is_found_where_three_phases_show_it():
    law = fit_help(read(0.4, 300, 800, 1500))
    assert law.exponent == pytest.approx(0.4, rel=0.1) and law.error(1500) == pytest.approx(1)
    assert fit_help(read(5.0, 300, 1500)).exponent == 0.9  # the most that is believed


@pytest.mark.parametrize(
    "curve",
    [
        Curve((), (), ()),
        read(0.4, 1500),
        read(0.4, 1500, 1500),
        read(-0.3, 300, 1500),  # it rose: chance
        read(0.0, 300, 1500),
        read(0.4, 300, 1500, weight=1e-4),  # nearly all of the error was raters' noise
    ],
    ids=["no labels", "one phase", "no new data", "rises", "level", "noise"],
)
def test_nothing_is_made_of_what_shows_nothing(curve):
    assert fit_help(curve) is None


def test_what_may_be_chance_counts_for_less():
    """Errors are known to a tenth: a fall by a twentieth over four times the data may well be none."""
    slight, clear = fit_help(read(0.1, 300, 1200)), fit_help(read(0.5, 300, 1200))
    assert slight.exponent < 0.05 and clear.exponent > 0.44


def test_points_that_tell_little_move_it_little():
    # Off the line by a factor e: at a hundredth of the weight of the others it hardly counts, at the same it does.
    line = [(count, 0.4 * count**-0.4, 1.0) for count in (300, 800, 1500)]
    off = (100, 0.4 * 100**-0.4 / math.e)
    alone = fit_help(Curve.of(line)).exponent
    assert fit_help(Curve.of([(*off, 0.01), *line])).exponent == pytest.approx(alone, rel=0.05)
    assert fit_help(Curve.of([(*off, 1.0), *line])).exponent < 0.05


def test_the_money_stands_as_both_that_transitions_take_off_to_what_labels_take_off():
    weights, market, latents = (2.0, 0.5), Market(money=10**12, prices=(3, 7)), helping(0.4, 1e9)
    counts = split(market, DYNAMICS, REWARD, weights, latents)
    dynamics = 2.0 * DYNAMICS.error(counts.transitions)
    reward = 0.5 * REWARD.error(counts.labels) * latents.error(counts.transitions)
    spends = 3 * counts.transitions / (7 * counts.labels)
    assert spends == pytest.approx((0.25 * dynamics + 0.4 * reward) / (0.5 * reward), rel=1e-4)
    assert gap(counts, DYNAMICS, REWARD, weights, latents) == pytest.approx(dynamics + reward)


def test_no_latents_lessen_the_bias_of_raters():
    """Nor its floor's share of the money: all of the error but the bias is helped."""
    latents, biased = helping(0.4), PerItem(PowerLaw(1e-9, 0.5, floor=0.3), LabelOffer("a", MICRO, bias=0.4))
    ends = [gap(Counts(count, 100), PowerLaw(1e-9, 0.5), biased, latents=latents) for count in (1000, 10**9)]
    assert ends == pytest.approx([0.5, 0.4], rel=1e-3)
    offer = LabelOffer("a", MICRO, clean=0.5, bias=0.3)
    law = PerItem(PowerLaw(8.0, 0.5, floor=0.2), offer)
    market = Market(money=10**12, prices=(3, 7))
    counts = split(market, DYNAMICS, law, (2.0, 0.5), helping(0.4, 1e9))
    step = 1e-4
    gains = [
        gap(counts, DYNAMICS, law, (2.0, 0.5), helping(0.4, 1e9))
        - gap(Counts(*more), DYNAMICS, law, (2.0, 0.5), helping(0.4, 1e9))
        for more in (
            (counts.transitions * (1 + step), counts.labels),
            (counts.transitions, counts.labels * (1 + step)),
        )
    ]  # of a hundredth of a percent more of either
    spends = 3 * counts.transitions / (7 * counts.labels)
    assert spends == pytest.approx(gains[0] / gains[1], rel=1e-3)


def test_200_random_markets_are_split_as_well_as_by_a_grid():
    rng = np.random.default_rng(0)
    for _ in range(200):
        laws = [PowerLaw(*np.exp(rng.normal((0, -1), (2, 0.7))), floor=float(rng.choice([0.0, 0.2]))) for _ in range(2)]
        market = Market(int(np.exp(rng.uniform(9, 15))), (1, int(np.exp(rng.uniform(0, 5)))))
        latents = helping(float(rng.uniform(0.02, 0.9)), float(np.exp(rng.uniform(4, 12))))
        transitions = np.unique(np.geomspace(1, market.money - market.prices[1], 4000).astype(int))
        labels = (market.money - transitions) // market.prices[1]
        least = min(gap(Counts(*one), *laws, (1.0, 2.0), latents) for one in zip(transitions, labels, strict=True))
        assert gap(split(market, *laws, (1.0, 2.0), latents), *laws, (1.0, 2.0), latents) <= least * (1 + 1e-6)


def test_laws_that_stand_for_several_are_split_each_on_its_own():
    market, latents = Market(100_000, (1, 10)), helping(0.3)
    exponents = np.array([0.1, 0.4, 1.2])
    laws = LawSamples(np.array([1.0, 2.0, 0.5]), np.array([0.0, 0.1, 0.3]), exponents, reference=500.0)
    together = best_spend(market, laws, laws, (1.0, 1.0), latents)
    for k in range(3):
        one = LawSamples(laws.level[k : k + 1], laws.floor_share[k : k + 1], exponents[k : k + 1], 500.0)
        assert best_spend(market, one, one, (1.0, 1.0), latents)[0] == pytest.approx(together[k])


@dataclass
class Purse:
    total: int
    remaining: int
    prices: dict[str, int]


PURSE = Purse(12_000 * MICRO, 10_000 * MICRO, {"transition": MICRO, "label": 4 * MICRO})


def evidence(latents: Curve, transitions: int = 1000, labels: int = 250) -> Evidence:
    curves = (
        Curve.of([(count, law.error(count), 1.0) for count in np.geomspace(most / 50, most, 20).tolist()])
        for law, most in ((DYNAMICS, transitions), (REWARD, labels))
    )
    found = Measured(*curves, (1.0, 1.0), 0.9, explained_labels=0.9, latents=latents)
    return Evidence(6, 12, transitions, labels, 1, 0, 1, labels_per_transition=math.inf, measured=found)


def test_a_plan_buys_fewer_labels_where_transitions_do_their_work():
    without, helped = (evidence(read(exponent, 200, 500, 1000)) for exponent in (0.0, 0.4))
    plans = [ADAPTIVE.plan(one, PURSE) for one in (without, helped)]
    assert plans[0].facts.exponent_latents is None and plans[1].facts.exponent_latents == pytest.approx(0.4, rel=0.1)
    assert plans[1].label_spend_share < plans[0].label_spend_share - 0.05
    assert best_share(helped, PURSE) < best_share(without, PURSE) - 0.05
    # The next coin in transitions takes what it took, and part of the reward's error: REWARD.error(250) = .506.
    more = plans[1].facts.gain_dynamics - plans[0].facts.gain_dynamics
    assert more == pytest.approx(plans[1].facts.exponent_latents * REWARD.error(250) / 1000, rel=0.1)
    assert plans[1].facts.gap_now == pytest.approx(plans[0].facts.gap_now, rel=1e-9)


def test_a_plan_expects_more_of_its_transitions_then():
    without, helped = (ADAPTIVE.plan(evidence(read(exponent, 200, 500, 1000)), PURSE) for exponent in (0.0, 0.4))
    assert helped.facts.gap_now == pytest.approx(without.facts.gap_now)
    assert helped.facts.gap_after < 0.99 * without.facts.gap_after


def test_raters_without_bias_are_worth_more_where_transitions_lessen_all_but_a_bias():
    """A cheap rater with a bias, and a dear one without. What is bought of either in the end is helped by transitions alike,
    but for the bias."""
    cheap, expert = LabelOffer("cheap", MICRO, bias=0.2), LabelOffer("expert", 6 * MICRO)
    known = replace(evidence(read(0.4, 200, 500, 1000)), offers=(cheap, expert), clean_labels=250.0)
    plain = replace(known, measured=replace(known.measured, latents=Curve((), (), ())))
    assert [ADAPTIVE.plan(one, PURSE).offer.tier for one in (plain, known)] == ["cheap", "expert"]


def test_where_the_labels_held_are_worth_less_than_an_item_the_gain_is_a_number():
    offer = LabelOffer("a", MICRO, clean=0.5)
    known = replace(evidence(read(0.4, 200, 500, 1000)), offers=(offer,), clean_labels=0.0)
    assert ADAPTIVE.plan(known, PURSE).facts.gain_dynamics > 0


def test_a_person_is_told_that_transitions_help_where_labels_hardly_do():
    flat = Curve((10.0, 50.0, 100.0, 250.0), (1.0, 1.0, 1.0, 1.0), (1.0,) * 4)
    for exponent, told in (
        (0.0, "not the purse but the model is its limit"),
        (0.4, "transitions, which shape the latents"),
    ):
        known = evidence(read(exponent, 200, 500, 1000))
        plan = ADAPTIVE.plan(replace(known, measured=replace(known.measured, reward=flat)), PURSE)
        assert f"hardly falls with labels any more (probability {plan.facts.stuck_reward:.2f}): {told}" in plan.note


def test_a_decision_tells_it():
    known = evidence(read(0.4, 200, 500, 1000))
    plan = ADAPTIVE.plan(known, PURSE).record()
    exponent = plan["facts"]["exponent_latents"]
    told = [line for line in _reasons(known.record(), plan) if "transitions too" in line]
    assert told == [f"the reward's error falls with transitions too, exponent {exponent:.3g}: it reads the latents"]
    plain = evidence(Curve((), (), ()))
    assert not any("transitions too" in line for line in _reasons(plain.record(), ADAPTIVE.plan(plain, PURSE).record()))


def test_records_of_before_have_no_latents():
    record = evidence(read(0.4, 200, 1000)).measured
    older = {
        name: value for name, value in evidence(Curve((), (), ())).record()["measured"].items() if name != "latents"
    }
    assert Measured.from_record(older) == replace(record, latents=Curve((), (), ()))
