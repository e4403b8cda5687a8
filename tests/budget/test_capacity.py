"""Plans for people: between the least and the most that they can give, and at the price that they are paid."""

import pytest

from tandem.budget.allocator import make_allocator
from tandem.budget.ledger import Ledger
from tandem.budget.money import MICRO, Purchase
from tandem.budget.offers import LabelOffer
from tandem.budget.phase import fit_capacity
from tandem.budget.plan import AllocatorConfig, Evidence, Facts, Plan


class Till:
    """1000 coins, a coin a transition and four a label."""

    prices = {"transition": MICRO, "label": 4 * MICRO}  # noqa: RUF012  as a ledger has them
    total = remaining = 1000 * MICRO


def known(phase: int, **changes) -> Evidence:
    facts = {"phases": 4, "transitions": 1000, "labels": 100, "transition_lot": 8, "labels_per_phase": (20, 50)}
    return Evidence(phase=phase, episode_length=100, min_transitions=64, **facts | changes)


def plan_of(phase: int, transitions: int, labels: int, **more) -> Plan:
    cost = transitions + 4 * labels
    return Plan(phase, transitions, labels, cost * MICRO, 4 * labels / cost if cost else 0.0, **more)


def fitted(plan: Plan, **changes) -> Plan:
    now = fit_capacity(plan, known(plan.phase, **changes), Till())
    price = 4 if now.offer is None else now.offer.price_micro / MICRO / now.offer.answers
    assert now.money_micro == pytest.approx((now.transitions + price * now.labels) * MICRO)
    assert now.label_spend_share == pytest.approx(price * now.labels * MICRO / now.money_micro)
    return now


def test_a_plan_within_the_bounds_or_without_any_is_left_alone():
    for labels in (20, 35, 50):
        assert fitted(plan := plan_of(1, 80, labels)) is plan
    assert fitted(plan := plan_of(1, 80, 500), labels_per_phase=None) is plan


def test_money_for_labels_that_nobody_gives_buys_transitions_in_the_last_phase():
    # 40 labels too many are 160 coins: 20 lots of 8
    now = fitted(plan_of(4, 100, 90, note="labels at their cap"))
    assert (now.transitions, now.labels) == (260, 50)
    assert now.note == (
        "labels at their cap; labels at 50, the most that people answer in a phase, planned were 90; "
        "160 coins go to 160 transitions, as later phases have no room for such labels"
    )
    now = fitted(plan_of(4, 100, 53))  # 12 coins: a lot of 8, and 4 that buy none
    assert (now.transitions, now.labels, now.money_micro) == (108, 50, 308 * MICRO)
    assert now.note.endswith("; 4 coins are kept")


def test_it_stays_as_far_as_people_can_answer_for_it_later():
    # 80 + 4 * 60 of 1000 coins, 3/4 of them on labels. Three phases of 50 labels are 600 coins, of which the plan's share
    # of what is left, 680 * 3/4 = 510, is spoken for: there is room for 90, and 40 are freed.
    now = fitted(plan_of(1, 80, 60))
    assert (now.transitions, now.labels, now.money_micro) == (80, 50, 280 * MICRO)
    assert now.note.endswith("planned were 60; 40 coins are kept for labels of later phases")
    # In phase 2 of 4, 400 coins of room, 510 wanted: all of the 40 coins are transitions
    assert fitted(plan_of(2, 80, 60)).transitions == 120
    # 80 + 4 * 120 = 560, of which 6/7 labels; 440 * 6/7 = 377.1 of 600 are spoken for: 222.9 stay of 280, 57.1 buy 7 lots
    now = fitted(plan_of(1, 80, 120))
    assert (now.transitions, now.labels) == (80 + 56, 50) and "224 coins are kept for labels" in now.note


def test_the_least_is_paid_with_transitions_of_the_phase():
    # 17 labels more are 68 coins: 9 lots of 8 go
    now = fitted(plan_of(2, 200, 3))
    assert (now.transitions, now.labels, now.money_micro) == (128, 20, 208 * MICRO)
    assert now.note == (
        "labels at 20, the least that people come for, planned were 3; 72 transitions fewer pay for them"
    )
    # of 24 transitions and 3 labels nothing is left, and 44 coins come from later phases
    assert fitted(plan_of(2, 24, 3)).transitions == 0
    now = fitted(plan_of(0, 64, 3))  # the pilot keeps what training needs to begin
    assert (now.transitions, now.labels) == (64, 20)


def test_no_more_than_rows_and_money_allow():
    # 112 rows of 100 asked: 12 labels and no transition to pay with
    now = fitted(plan_of(4, 0, 3), transitions=112)
    assert now.labels == 12 and "as near to 20 as money and rows allow" in now.note
    now = fitted(plan_of(4, 0, 3), transitions=100)
    assert (
        now.labels == 3
        and now.note == "labels stay below 20, the least that people come for: no money or rows for more"
    )
    now = fitted(plan_of(4, 0, 3), labels_per_phase=(400, 400))
    assert now.labels == 250  # 1000 coins


def test_an_offers_answers_are_what_people_give():
    offer = LabelOffer("people", 6 * MICRO, replication=3)  # two coins an answer
    plan = Plan(4, 80, 90, (80 + 180) * MICRO, 180 / 260, offer=offer, facts=Facts(gap_now=2.0, gap_after=1.0))
    now = fitted(plan)
    # 40 answers too many are 80 coins
    assert (now.transitions, now.labels, now.money_micro) == (160, 50, 260 * MICRO)
    assert now.facts == Facts(gap_now=2.0)  # of another plan


@pytest.mark.parametrize("name", ["fixed", "adaptive", "optimum", "coupled"])
def test_every_allocator_plans_with_what_labels_cost_of_late(tmp_path, name):
    ledger = Ledger.create(tmp_path / "ledger.db", 10_000 * MICRO, Till.prices)
    ledger.reserve([Purchase("c", "transition", 1000, MICRO)])
    plans = []
    for price in (None, 4 * MICRO, MICRO):
        now = known(4, labels_per_phase=None, label_price_micro=price)
        plans.append(make_allocator(AllocatorConfig(name=name)).plan(now, ledger))
    ledger.close()
    assert plans[0] == plans[1] and plans[2].labels > 1.3 * plans[0].labels
    assert plans[2].money_micro == (plans[2].transitions + plans[2].labels) * MICRO


def test_half_of_the_spend_is_reckoned_at_the_price_that_was_paid():
    # One phase with 1000 coins, 1000 transitions and 100 labels held. At 4 coins a label: wealth 2400, half of it 1200 on
    # labels, 300 of them. At one coin: 2100, half of it 1050 labels.
    for price, labels, transitions in ((None, 200, 200), (MICRO, 948, 48)):
        now = known(4, labels_per_phase=None, label_price_micro=price)
        plan = make_allocator(AllocatorConfig(name="fixed")).plan(now, Till())
        assert (plan.labels, plan.transitions) == pytest.approx((labels, transitions), abs=8)
