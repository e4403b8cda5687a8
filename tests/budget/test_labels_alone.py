"""Where the transitions are there and none can be bought, all the money of every phase goes to labels, and plans say so."""

from dataclasses import dataclass, field, replace

import pytest

from tandem.budget.allocator import make_allocator
from tandem.budget.money import MICRO
from tandem.budget.offers import LabelOffer
from tandem.budget.phase import check_budget, fit_capacity
from tandem.budget.plan import AllocatorConfig, Evidence, Measured, Plan, checked
from tandem.budget.reports.laws import RunTerms, law_of
from tandem.budget.reports.plan import plan_answer
from tandem.budget.scaling import Curve
from tandem.errors import UserError


@dataclass
class Money:
    """1,200 coins, a transition 1, a label 4."""

    total: int = 1_200 * MICRO
    remaining: int = 1_200 * MICRO
    prices: dict[str, int] = field(default_factory=lambda: {"transition": MICRO, "label": 4 * MICRO})


MEASURED = Measured(
    dynamics=Curve.of([(5_000.0, 0.3, 1.0), (5_000.0, 0.2, 1.0)]),
    reward=Curve.of([(20.0, 2.0, 1.0), (40.0, 1.2, 1.0), (80.0, 0.8, 1.0)]),
    weights=(1.0, 1.0),
    explained_variance=0.6,
)
KNOWN = Evidence(
    phase=0,
    phases=3,
    transitions=5_000,
    labels=0,
    transition_lot=4,
    episode_length=0,
    min_transitions=500,
    can_collect=False,
    transitions_micro=0,
)


@pytest.mark.parametrize("name", ["fixed", "coupled", "optimum", "adaptive"])
@pytest.mark.parametrize("measured", [None, MEASURED])
def test_all_the_money_of_a_phase_buys_labels(name, measured):
    """A third of what is left before the first of three phases, half before the second, all before the last: in labels."""
    allocator, money, labels = make_allocator(AllocatorConfig(name=name, pilot_share=0.1)), Money(), 0
    for phase, coins in ((0, 128 if name != "coupled" else None), (1, None), (2, None), (3, None)):
        known = replace(KNOWN, phase=phase, labels=labels, measured=measured if phase else None)
        part = money.remaining // (3 - phase + 1) if phase else None
        if name == "coupled" and phase == 0:
            continue  # which has no pilot
        plan = allocator.plan(known, money)
        assert plan.transitions == 0 and plan.money_micro == 4 * MICRO * plan.labels
        if phase:
            assert part - 4 * MICRO < plan.money_micro <= part and plan.label_spend_share == 1.0
            assert "the transitions are there" in plan.note and "half" not in plan.note
            assert plan.facts is None or plan.facts.label_share is plan.facts.best_share is None
        else:
            assert plan.money_micro == coins * MICRO  # the least 32 labels are more than a tenth
        money.remaining -= plan.money_micro
        labels += plan.labels
    assert money.remaining < 4 * MICRO and labels == (1_200 - money.remaining // MICRO) // 4


def test_with_raters_the_stock_that_was_free_is_no_money_spent_on_labels():
    """Nothing is spent: so no labels are held, whatever 5,000 transitions would cost today."""
    offer = LabelOffer("crowd", 4 * MICRO, clean=0.5)
    known = replace(KNOWN, phase=1, offers=(offer,), clean_labels=0.0)
    plan = make_allocator(AllocatorConfig(name="fixed")).plan(known, Money())
    assert plan.offer == offer and (plan.transitions, plan.labels) == (0, 100)  # a third of 1,200 coins
    spent = replace(known, transitions_micro=0, labels=50)
    money = Money(remaining=1_000 * MICRO)  # 200 coins for 50 labels
    assert make_allocator(AllocatorConfig(name="fixed")).plan(spent, money).labels == 83


def test_labels_beyond_what_people_give_leave_money_and_buy_no_transitions():
    known = replace(KNOWN, phase=1, labels_per_phase=(5, 20))
    plan = fit_capacity(make_allocator(AllocatorConfig(name="fixed")).plan(known, Money()), known, Money())
    assert (plan.transitions, plan.labels) == (0, 20) and "are kept" in plan.note


def test_an_allocator_that_plans_transitions_is_told():
    plan = Plan(phase=1, transitions=4, labels=1, money_micro=8 * MICRO, label_spend_share=0.5)
    with pytest.raises(UserError, match=r"^allocator\.name: mine:Own planned transitions=4, expected 0 where"):
        checked(plan, "mine:Own", ["default"], can_collect=False)
    assert checked(plan, "mine:Own", ["default"]) is plan


def test_a_pilot_that_finds_its_transitions_needs_money_for_labels_alone():
    check_budget(AllocatorConfig(), KNOWN, 128 * MICRO, Money().prices)  # 32 labels
    with pytest.raises(UserError, match=r"at least 128 coins for the pilot \(0 transitions and 32 labels\)"):
        check_budget(AllocatorConfig(), KNOWN, 127 * MICRO, Money().prices)


def test_a_plan_for_further_money_keeps_to_what_is_there():
    laws = {side: law_of(side, (90.0, 0.5), None) for side in ("dynamics", "reward")}
    known = {"run": "runs/one", "phase": 3, "explained_variance": 0.5, "explains": "much", "doubt": ""}
    known |= {"weights": (1.0, 1.0), "kappa": 1.0}
    held = {"price_transition": 1.0, "price_label": 4.0, "have_transitions": 5_000, "have_labels": 300}
    for can_collect, expected in ((False, (5_000, 400)), (True, None)):
        terms = RunTerms(**known, **held, **laws, can_collect=can_collect)
        answer = plan_answer(budget=400.0, **terms.arguments())
        assert expected is None or (answer["transitions"], answer["labels"]) == expected
        assert can_collect or answer["gap"] == answer["gap_fifty_fifty"]
