import json

import pytest

from budget.plan_report import plan_answer, plan_table


def test_the_plan_of_the_manual():
    answer = plan_answer(1e5, price_transition=1, price_label=10, dynamics=(0.34, 0.11), reward=(90.4, 0.96))
    assert list(answer) == ["transitions", "labels", "label_spend_share", "gap", "gap_fifty_fifty", "gap_coupled"]
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
