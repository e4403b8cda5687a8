"""What `tandem plan` answers: the published figures, unit by unit, and one line for what it cannot use."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from tandem.budget.money import PriceConfig, budget_in_micro, price_in_micro
from tandem.budget.reports.plan import plan_answer, plan_table
from tandem.budget.reports.raters import parse_tiers
from tandem.budget.rollouts import best_rollouts


def test_the_plan_of_the_manual():
    answer = plan_answer(1e5, price_transition=1, price_label=10, dynamics=(0.34, 0.11), reward=(90.4, 0.96))
    gaps = ["gap", "gap_fifty_fifty", "gap_coupled"]
    assert list(answer) == ["transitions", "labels", "label_spend_share", *gaps, "laws"]
    assert (answer["transitions"], answer["labels"]) == (37_390, 6261)
    assert round(answer["label_spend_share"], 3) == 0.626
    assert [round(answer[name], 3) for name in ("gap", "gap_fifty_fifty", "gap_coupled")] == [0.127, 0.129, 0.139]
    assert json.loads(json.dumps(answer)) == answer


def test_prices_and_budget_scale_together():
    assert plan_answer(1e3, 0.01, 0.1) == plan_answer(1e5, 1, 10)


def test_counts_include_the_stock():
    # 50 000 coins of stock and 50 000 to spend are planned like 100 000 to spend
    answer = plan_answer(50_000, 1, 10, have_transitions=20_000, have_labels=3000)
    whole = plan_answer(100_000, 1, 10)
    assert abs(answer["labels"] - whole["labels"]) <= 1
    assert answer["gap"] == pytest.approx(whole["gap"], rel=1e-5)


def exact(number: float) -> Fraction:
    """The decimal number that was written."""
    return Fraction(repr(number))


def test_a_price_finer_than_a_micro_coin_is_not_overspent():
    price, budget = 0.10496903828516309, 1_600_000.0
    answer = plan_answer(budget, price, 100.0)
    assert (
        answer["transitions"] > 1_000_000
    )  # at the nearest whole micro-coin these would cost a fifth of a coin too much
    assert answer["transitions"] * exact(price) + answer["labels"] * 100 <= exact(budget)


def test_what_is_bought_never_costs_more_than_the_budget():
    rng = np.random.default_rng(0)
    for case in range(200):
        prices, spare = (10 ** rng.uniform(-6, 4, 2)).tolist(), 10 ** rng.uniform(0.5, 7)
        if case % 4 == 0:
            prices = [max(1e-6, round(price, 6)) for price in prices]  # as people write them
        budget = float(sum(prices) * spare)
        answer = plan_answer(budget, *prices)
        cost = answer["transitions"] * exact(prices[0]) + answer["labels"] * exact(prices[1])
        assert cost <= exact(budget), (budget, prices)
        tiers = parse_tiers(f"one:price={prices[1]!r},sigma=1")
        row = plan_answer(2 * budget, *prices, tiers=tiers, item_price=prices[1] / 3)["tiers"]["one"]
        items = row["items"] * (exact(prices[1] / 3) + row["replication"] * exact(prices[1]))
        assert row["transitions"] * exact(prices[0]) + items <= exact(2 * budget), (budget, prices)


def test_money_is_rounded_so_that_it_suffices():
    assert [price_in_micro(coins) for coins in (1, 4.03, 0.1, 1e-6, 0.10496903828516309, 1 / 3, 0)] == [
        1_000_000,
        4_030_000,  # as a float times a million: 4030000.0000000005
        100_000,
        1,
        104_970,
        333_334,
        0,
    ]
    assert [budget_in_micro(coins) for coins in (2.01, 1e12, 1 / 3, np.float64(0.5))] == [
        2_010_000,
        10**18,
        333_333,
        500_000,
    ]
    assert PriceConfig(transition=1 / 3, label=4.03).in_micro() == {"transition": 333_334, "label": 4_030_000}


def test_scored_rollouts_never_cost_more_than_the_budget():
    rng = np.random.default_rng(1)
    for _ in range(100):
        rollout, answer, budget = (10 ** rng.uniform([-4, -6, 1], [0, -2, 5])).tolist()
        plan = best_rollouts(budget, (1.0, 1.0), 1.0, rollout, answer, 7)
        assert plan.rollouts * (exact(rollout) + 7 * plan.replication * exact(answer)) <= exact(budget)


def test_the_best_split_is_never_above_the_guesses():
    for budget in (100, 1e4, 1e6):
        for price in (0.3, 3, 300):
            answer = plan_answer(budget * max(1, price), 1, price, weights=(2.0, 0.1), have_labels=7)
            assert answer["gap"] <= answer["gap_fifty_fifty"] and answer["gap"] <= answer["gap_coupled"]


def test_a_bound_on_labels_is_kept():
    answer = plan_answer(1000, 1, 1, reward=(1e6, 0.5), kappa=0.25)
    assert (answer["transitions"], answer["labels"]) == (800, 200)


def test_a_guess_that_buys_none_of_a_kind_has_no_gap():
    answer = plan_answer(15, 1, 10)  # half of the spend is less than a label
    assert answer["gap_fifty_fifty"] is None and answer["gap_coupled"] is not None
    assert "none of a kind" in plan_table(answer)


def test_the_table_says_that_counts_include_the_stock():
    table = plan_table(plan_answer(1e5, 1, 10))
    assert "transitions (stock included)" in table and "37,390" in table
    assert "37.4% : 62.6%" in table


@pytest.mark.parametrize(
    "field, value",
    [
        ("budget", -5),
        ("budget", 10.5),  # one label and no transition
        ("price_transition", 0),
        ("price_label", float("nan")),
        ("dynamics", (0.34, -0.11)),
        ("reward", (90.4,)),
        ("weights", (0, 1)),
        ("have_transitions", -1),
        ("have_labels", -1),
        ("kappa", 0),
    ],
)
def test_an_argument_out_of_range_is_named(field, value):
    arguments = {"budget": 1e5, "price_transition": 1, "price_label": 10} | {field: value}
    with pytest.raises(ValueError, match=f"^{field}: must "):
        plan_answer(**arguments)


TIERS = parse_tiers("cheap:price=1,sigma=1;expert:price=6,sigma=0.2")


def test_tiers_add_to_the_answer_and_change_none_of_it():
    plain, answer = plan_answer(1e5, 1, 10), plan_answer(1e5, 1, 10, tiers=TIERS, residual=0.5, item_price=2)
    assert plain.items() <= answer.items() and "tiers" not in plain
    cheap, expert = (answer["tiers"][name] for name in ("cheap", "expert"))
    # m* = sqrt(1 * 2 / (.25 * 1)) = 2.8: three answers, (2 + 3)(.25 + 1/3) / .25; and (2 + 6)(.25 + .04) / .25
    assert (cheap["replication"], expert["replication"]) == (3, 1)
    assert (cheap["clean_price"], expert["clean_price"]) == (pytest.approx(35 / 3), pytest.approx(9.28))
    assert answer["best_tier"] == "expert" and expert["gap"] < cheap["gap"]
    assert cheap["answers"] == 3 * cheap["items"]
    assert expert["transitions"] + 8 * expert["items"] == pytest.approx(1e5, rel=1e-3)
    assert json.loads(json.dumps(answer)) == answer


def test_a_tier_at_the_price_of_a_clean_label_has_the_plain_plan():
    answer = plan_answer(1e5, 1, 10, tiers=parse_tiers("clean:price=10,sigma=0"))
    row = answer["tiers"]["clean"]
    assert (row["transitions"], row["items"], row["gap"]) == (answer["transitions"], answer["labels"], answer["gap"])


def test_a_bias_that_no_label_removes_adds_to_the_error_as_squares_do():
    answer = plan_answer(
        1e5, 1, 10, weights=(1.0, 2.0), tiers=parse_tiers("sly:price=1,sigma=1,bias=.25;fair:price=1,sigma=1")
    )
    sly, fair = (answer["tiers"][name] for name in ("sly", "fair"))
    # Laws of the paper; an item is worth half a clean label.
    reward = 90.4 * (0.5 * sly["items"]) ** -0.96
    assert sly["gap"] == pytest.approx(0.34 * sly["transitions"] ** -0.11 + 2 * math.hypot(reward, 0.25))
    assert answer["best_tier"] == "fair" and sly["items"] < fair["items"], "labels bring less where a bias stays"


@pytest.mark.parametrize("price", [1e-6, 3e-6, 1.0])
def test_the_items_of_a_tier_can_be_paid_and_have_a_transition_each(price):
    tiers = parse_tiers(f"cheap:price={price},sigma=3")
    answer = plan_answer(1000, 1, 1, tiers=tiers, residual=1.0, kappa=1.0)["tiers"]["cheap"]
    assert answer["transitions"] + answer["items"] * answer["item_price"] <= 1000 * (1 + 1e-12)
    assert 0 < answer["items"] <= answer["transitions"]


def test_scored_rollouts_are_compared_by_their_variance():
    answer = plan_answer(1e5, 1, 10, tiers=TIERS, rollout_price=20, horizon=15)
    # cheap: 20 + 15 = 35 coins, 2857 rollouts, (1 + 1) / 2857; expert: 20 + 90, 909 rollouts, 1.04 / 909
    assert answer["rollouts"]["cheap"] == {"rollouts": 2857, "replication": 1, "variance": pytest.approx(2 / 2857)}
    assert answer["rollouts"]["expert"]["variance"] == pytest.approx(1.04 / 909)
    assert answer["best_rollout_tier"] == "cheap"
    table = plan_table(answer)
    assert "cheap (best)" in table and "gradient variance" in table and "2,857" in table


def test_a_tier_too_dear_to_buy_one_label_is_never_the_best():
    answer = plan_answer(100, 1, 10, tiers=parse_tiers("gold:price=1000,sigma=0;cheap:price=1,sigma=1"))
    assert answer["tiers"]["gold"]["gap"] is None and answer["best_tier"] == "cheap"
    assert "none of a kind" in plan_table(answer)
    with pytest.raises(ValueError, match=r"^budget: "):
        plan_answer(100, 1, 10, tiers=parse_tiers("gold:price=1000,sigma=0"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cheap", "cheap:price=1,sigma=1"),
        ("cheap:price=1", "cheap needs its sigma"),
        ("cheap:sigma=1", "cheap needs its price"),
        ("a:price=1,sigma=1;a:price=2,sigma=1", "different names"),
        (";", "different names"),
        ("a:price=x,sigma=1", "price of a must be a number, got 'x'"),
        ("a:price=1,sigma=-1", "sigma of a"),
        ("a:price=1,sigma=1,bias=nan", "bias of a"),
        ("a:price=0,sigma=1", "price of a"),
        ("a:prce=1,sigma=1", "got 'prce=1'"),
        ("a:price=1,price=2,sigma=1", "got 'price=2'"),
    ],
)
def test_tiers_that_cannot_be_used_are_one_line(text, words):
    with pytest.raises(ValueError, match=r"^tiers: ") as caught:
        parse_tiers(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("residual", 0.0), ("residual", float("nan")), ("item_price", -1.0), ("rollout_price", 0.0), ("horizon", 0)],
)
def test_a_term_of_tiers_out_of_range_is_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}: must"):
        plan_answer(1e5, 1, 10, tiers=TIERS, **{"rollout_price": 5.0} | {field: value})


def test_rollouts_need_somebody_to_score_them():
    with pytest.raises(ValueError, match=r"^rollout_price: "):
        plan_answer(1e5, 1, 10, rollout_price=5.0)
