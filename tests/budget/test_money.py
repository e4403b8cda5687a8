"""Coins as they are shown to a person."""

import pytest

from tandem.budget.money import coins_shown


@pytest.mark.parametrize(
    ("coins", "shown"),
    [
        *[(1250.4, "1,250"), (320.0, "320"), (100.5, "100"), (0.0, "0"), (18.0, "18")],
        *[(17.999, "18"), (15.3137, "15.31"), (0.0167, "0.02"), (99.999, "100"), (-0.5, "-0.50")],
    ],
)
def test_a_wage_counts_in_hundredths_and_a_budget_in_whole_coins(coins, shown):
    assert coins_shown(coins) == shown
