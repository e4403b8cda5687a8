"""Plans from phase to phase: how far they move, on whose word a decision is made, and what a person is told."""

from dataclasses import replace

import pytest

from tandem.budget.adaptive import divide_phase, nearer, sureness
from tandem.budget.market import Counts, Market, split
from tandem.budget.money import MICRO
from tandem.budget.phase import phase_money
from tandem.budget.plan import Measured
from tandem.budget.scaling import Curve

from .test_adaptive import ADAPTIVE, DYNAMICS, REWARD, evidence, measured, purse


@pytest.mark.parametrize("phase, step", [(4, 3.0), (5, 2.0)])
def test_labels_gain_or_lose_by_steps_from_phase_to_phase(phase, step):
    """Weights that want all or nothing: the odds of a coin to go to labels move by the step and no further."""
    for before, heavy in ((0.3, (1e-6, 1.0)), (0.7, (1.0, 1e-6))):
        found = replace(measured(), weights=heavy)
        share = ADAPTIVE.plan(evidence(phase, measured=found, share_before=before), purse()).label_spend_share
        turned = before / (1 - before) * (step if heavy[1] > heavy[0] else 1 / step)
        floor = 0.1 if phase == 4 else 0.03
        assert share == pytest.approx(min(max(turned / (1 + turned), floor), 1 - floor), abs=0.005)


def test_noise_of_one_phase_moves_a_plan_less_than_the_least_gap_of_the_phase_would():
    """A phase of a twelfth of the money: the least gap now takes all of one kind, the way to the end a mixture."""
    noisy = replace(measured(), weights=(1.0, 1.3))
    shares = [ADAPTIVE.plan(evidence(6, measured=one), purse()).label_spend_share for one in (measured(), noisy)]
    market = Market(phase_money(evidence(6), purse()), (MICRO, 4 * MICRO), Counts(1000, 250))
    now = [split(market, DYNAMICS, REWARD, weights) for weights in ((1.0, 1.0), (1.0, 1.3))]
    greedy = [4 * MICRO * (held.labels - 250) / market.money for held in now]
    assert 0 < shares[1] - shares[0] < 0.9 * (greedy[1] - greedy[0])


def test_a_reward_model_that_explains_labels_is_enough_to_decide():
    """The critic need not explain anything: errors in rewards alone are in return units too."""
    young = replace(measured(), explained_variance=-0.5, explained_labels=0.6)
    assert ADAPTIVE.plan(evidence(1, measured=young), purse()).facts is not None
    assert young.trust == 0.0 and replace(young, explained_variance=0.4).trust == 0.4
    blind = replace(young, explained_labels=0.1, explained_variance=0.9)
    plan = ADAPTIVE.plan(evidence(1, measured=blind), purse())
    assert "half of the spend each: the reward model explains 0.10 of the variance of held-out labels" in plan.note


def test_doubt_about_the_levels_widens_the_interval_of_the_share():
    def width(log_spread: float) -> float:
        found = replace(measured(), log_spreads=(log_spread, log_spread))
        facts = ADAPTIVE.plan(evidence(measured=found), purse()).facts
        return facts.best_share_high - facts.best_share_low

    assert width(0.5) > 1.5 * width(0.0)


def test_gaps_that_few_episodes_tell_are_believed_to_be_nearer_to_one_another():
    # 8 and 2, apart by log 4; spreads of 1 and 1: 1 / (1 + 2) of that is believed, around the same middle of 4
    found = Measured(Curve.of([(9, 3.0, 1), (99, 1.0, 1)]), Curve.of([(9, 0.5, 1)]), (8.0, 4.0), 0.9)
    weights = nearer(found.weights, replace(found, log_spreads=(1.0, 1.0)))
    assert (weights[0], weights[1] * 0.5) == pytest.approx((4 * 4 ** (1 / 6), 4 / 4 ** (1 / 6)))
    assert nearer(found.weights, found) == pytest.approx((8.0, 4.0)), "a sure measurement stays"


def test_a_young_run_that_sees_little_error_of_one_kind_stays_near_half_each():
    def share(log_spread: float) -> float:
        found = replace(measured(), weights=(0.05, 1.0), log_spreads=(log_spread, log_spread))
        plan = ADAPTIVE.plan(evidence(1, measured=found), purse())
        assert plan.weights == (0.05, 1.0), "what was measured is remembered"
        return plan.label_spend_share

    assert share(0.0) > share(0.7) > share(1.0) > 0.5


def test_a_plan_leaves_half_each_as_far_as_it_is_sure():
    """The odds of 4 : 1 that a sure plan takes are 2 : 1 where the interval covers half of all shares, and never more
    than a phase may move."""
    phase = evidence(6)
    market = Market(phase_money(phase, purse()), (MICRO, 4 * MICRO), Counts(1000, 250))

    def odds(sureness: float, before: float | None = None) -> float:
        held = divide_phase(
            replace(phase, share_before=before), market, DYNAMICS, REWARD, (1.0, 1.5), sureness=sureness
        )
        share = 4 * MICRO * (held.labels - 250) / market.money
        return share / (1 - share)

    assert odds(1.0) > 1.5
    assert odds(0.5) == pytest.approx(odds(1.0) ** 0.5, rel=0.05) and odds(0.0) == pytest.approx(1.0, rel=0.05)
    assert odds(0.0, before=0.1) == pytest.approx(2 / 9, rel=0.05)


def test_what_is_not_sure_brings_all_spend_to_half_each_and_not_the_phases_money():
    # 1,000 coins' worth of transitions and 1,600 of labels are held, 1,000 are to be spent: 800 more transitions are half.
    phase, market = evidence(6), Market(1000 * MICRO, (MICRO, 4 * MICRO), Counts(1000, 400))
    held = divide_phase(phase, market, DYNAMICS, REWARD, (1.0, 1.5), sureness=0.0)
    assert held == (1800, 450)


def known_of(label: float, weights: tuple[float, float], log_spread: float):
    """Facts where a label costs so much, and the width of the interval as a part of all shares that can be."""
    found = replace(measured(), weights=weights, log_spreads=(log_spread, log_spread))
    money, known = purse(label=label), evidence(measured=found, labels_per_transition=1.0)
    facts = ADAPTIVE.plan(known, money).facts
    assert facts.sureness == sureness(known, money)
    return facts, (facts.best_share_high - facts.best_share_low) / (label / (1 + label))


def test_how_much_is_known_is_counted_in_the_shares_that_can_be():
    """A label for a third of a transition's price can take a quarter of the spend at most, and half each is that quarter."""
    facts, width = known_of(1 / 3, (1.0, 1e-3), log_spread=0.1)
    assert facts.best_share_high < 0.25 and facts.sureness == 1.0
    # Many of its samples are at a label a transition, which is half each: on neither side, though below .5 all of them are.
    facts, width = known_of(1 / 3, (1.0, 1.0), log_spread=1.5)
    assert facts.best_share_high == pytest.approx(0.25, rel=1e-5) and 1 - width < facts.sureness - 0.1 < 0.5


def test_a_plan_leaves_half_each_as_far_as_its_fact_says(monkeypatch):
    sure, unsure = (replace(measured(), weights=(1.0, 3.0), log_spreads=(one, one)) for one in (0.0, 1.5))
    plans = [ADAPTIVE.plan(evidence(6, measured=one), purse()) for one in (sure, unsure)]
    assert plans[0].facts.sureness == 1.0 > plans[1].facts.sureness
    assert plans[0].label_spend_share > plans[1].label_spend_share > 0.5
    monkeypatch.setattr("tandem.budget.adaptive._share_facts", lambda *_: {"sureness": 1.0})
    assert ADAPTIVE.plan(evidence(6, measured=unsure), purse()).label_spend_share > plans[1].label_spend_share + 0.02


def test_an_interval_that_leaves_little_out_may_lie_on_one_side_of_half_each():
    facts, width = known_of(1.0, (2.0, 1.0), log_spread=1.0)
    assert facts.best_share < 0.5 and width > 0.5 and 1 - width < facts.sureness < 1
    facts, width = known_of(
        4.0, (1.2, 1.0), log_spread=0.05
    )  # about half: on either side as likely, but little is left
    assert facts.best_share_low < 0.5 < facts.best_share_high and facts.sureness == pytest.approx(1 - width)


def test_a_person_is_told_that_the_model_is_the_limit_where_no_data_helps():
    flat = Curve((100.0, 300.0, 600.0, 1000.0), (1.0, 1.0, 1.0, 1.0), (1.0,) * 4)
    plan = ADAPTIVE.plan(evidence(measured=replace(measured(), dynamics=flat)), purse())
    assert plan.facts.stuck_dynamics > 0.5 > plan.facts.stuck_reward
    assert "the dynamics model's error hardly falls with transitions any more" in plan.note
    assert "reward model's error" not in plan.note
    assert plan.label_spend_share > ADAPTIVE.plan(evidence(), purse()).label_spend_share + 0.1, (
        "and less is paid for it"
    )
