"""The best split of a budget: published figures, closed forms, stocks and caps."""

import math

import numpy as np
import pytest

from tandem.budget.market import Counts, Market, at_label_share, coupled, gap, split
from tandem.budget.scaling import PowerLaw

DYNAMICS = PowerLaw(0.34, 0.11)
REWARD = PowerLaw(90.4, 0.96)

# label price, money, transitions, labels, labels' share of spend, gap, gap at 50/50 spend, gap coupled;
# with the published constants, both weights and the transition's price 1
TABLE = [
    (1, 10_000, 4158, 5842, 0.58, 0.158, 0.159, 0.159),
    (1, 1_000_000, 878_850, 121_150, 0.12, 0.0766, 0.0806, 0.0806),
    (10, 10_000, 1176, 882, 0.88, 0.291, 0.365, 0.291),
    (10, 100_000, 37_394, 6261, 0.63, 0.127, 0.129, 0.139),
    (10, 1_000_000, 677_154, 32_285, 0.32, 0.0819, 0.0831, 0.0984),
    (100, 100_000, 9738, 903, 0.90, 0.255, 0.335, 0.280),
    (100, 1_000_000, 332_929, 6671, 0.67, 0.103, 0.106, 0.137),
]


def to_three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def cost(market: Market, counts: Counts) -> int:
    added = (held - had for held, had in zip(counts, market.stock, strict=True))
    return sum(price * count for price, count in zip(market.prices, added, strict=True))


@pytest.mark.parametrize("price, money, transitions, labels, share, best, fifty_fifty, pairs", TABLE)
def test_the_published_constants_give_the_published_splits(
    price, money, transitions, labels, share, best, fifty_fifty, pairs
):
    market = Market(money=money, prices=(1, price))
    counts = split(market, DYNAMICS, REWARD)

    assert abs(counts.transitions - transitions) <= price  # the money of one label
    assert abs(counts.labels - labels) <= 1
    assert cost(market, counts) <= money
    assert round(price * counts.labels / money, 2) == share
    assert to_three_digits(gap(counts, DYNAMICS, REWARD)) == best
    assert to_three_digits(gap(at_label_share(market, 0.5), DYNAMICS, REWARD)) == fifty_fifty
    assert to_three_digits(gap(coupled(market), DYNAMICS, REWARD)) == pairs


def test_spend_shares_stand_as_exponent_times_weighted_error():
    # c_d N_d : c_r N_r = alpha g_d : beta g_r, with a wealth so large that whole counts do not matter
    weights, market = (2.0, 0.5), Market(money=10**12, prices=(3, 7))
    counts = split(market, DYNAMICS, REWARD, weights)
    spends = 3 * counts.transitions / (7 * counts.labels)
    gains = 0.11 * 2.0 * DYNAMICS.error(counts.transitions) / (0.96 * 0.5 * REWARD.error(counts.labels))
    assert spends == pytest.approx(gains, rel=1e-5)


def test_equal_exponents_have_the_closed_form_ratio():
    # N_d / N_r = (w_d A c_r / (w_r B c_d)) ** (1 / (1 + alpha)) = (2 * 5 / (3 * 1)) ** (1 / 1.5) = 2.2314
    counts = split(Market(money=10**12, prices=(1, 5)), PowerLaw(2.0, 0.5), PowerLaw(3.0, 0.5))
    assert counts.transitions / counts.labels == pytest.approx((10 / 3) ** (2 / 3), rel=1e-6)


def test_floors_move_the_gap_and_not_the_split():
    market = Market(money=100_000, prices=(1, 10))
    with_floors = PowerLaw(0.34, 0.11, floor=0.2), PowerLaw(90.4, 0.96, floor=0.03)
    counts = split(market, *with_floors)
    assert counts == split(market, DYNAMICS, REWARD)
    assert gap(counts, *with_floors) == pytest.approx(gap(counts, DYNAMICS, REWARD) + 0.23)


def brute_force(market: Market, dynamics: PowerLaw, reward: PowerLaw, weights) -> float:
    """Least gap over every number of transition lots, each with the most labels it leaves money for."""
    (price, label_price), (lot, label_lot), stock = market.prices, market.lots, market.stock
    most = (min(market.money // price, market.caps[0] - stock.transitions)) // lot
    transitions = stock.transitions + lot * np.arange(max(0, most) + 1)
    left = market.money - price * (transitions - stock.transitions)
    cap = np.floor(np.minimum(market.caps[1], market.labels_per_transition * transitions)) - stock.labels
    labels = stock.labels + label_lot * np.maximum(0, np.minimum(left // label_price, cap) // label_lot)
    with np.errstate(divide="ignore"):
        errors = weights[0] * dynamics.coefficient * transitions ** -float(dynamics.exponent)
        errors = errors + weights[1] * reward.coefficient * labels ** -float(reward.exponent)
    return float(errors.min())


def random_market(rng: np.random.Generator) -> Market:
    prices = tuple(int(price) for price in np.exp(rng.uniform(0, math.log(300), 2)))
    stock = Counts(*(int(count) for count in rng.integers(1, 2000, 2) * rng.integers(0, 2)))
    has_caps, lots = rng.random(2) < 0.3, [int(lot) for lot in np.exp(rng.uniform(0, 4, 2))]
    caps = [stock[i] + int(rng.integers(100, 5000)) if has_caps[i] else 10**9 for i in range(2)]
    kappa = float(rng.choice([math.inf, 1e9, 1.0, 0.5, 3.0]))
    if kappa < 10:
        stock = Counts(stock.transitions, min(stock.labels, int(kappa * stock.transitions)))
    money = int(np.exp(rng.uniform(math.log(2000 * max(prices)), math.log(20_000 * max(prices)))))
    return Market(money, prices, stock, tuple(caps), 1e9 if kappa == math.inf else kappa, tuple(lots))


def test_400_random_markets_are_split_as_well_as_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(400):
        market = random_market(rng)
        laws = [PowerLaw(float(np.exp(rng.normal(0, 2))), float(rng.uniform(0.03, 1.5))) for _ in range(2)]
        weights = tuple(float(weight) for weight in np.exp(rng.normal(0, 1, 2)))
        counts = split(market, *laws, weights)

        assert cost(market, counts) <= market.money
        assert all(held >= had for held, had in zip(counts, market.stock, strict=True))
        assert all((held - had) % lot == 0 for held, had, lot in zip(counts, market.stock, market.lots, strict=True))
        assert all(held <= cap for held, cap in zip(counts, market.caps, strict=True))
        assert counts.labels <= market.labels_per_transition * counts.transitions
        assert gap(counts, *laws, weights) <= brute_force(market, *laws, weights) * 1.0005, market


def test_stock_is_never_sold():
    # 50 000 transitions are more than these 10 000 coins would ever balance: all the money goes to labels
    counts = split(Market(10_000, (1, 10), stock=Counts(50_000, 10)), DYNAMICS, REWARD)
    assert counts == Counts(50_000, 1010)


def test_labels_attach_to_transitions():
    # Without the bound: 1176 transitions and 882 labels. At half a label each 6 N coins buy N transitions: N = 1666.
    counts = split(Market(10_000, (1, 10), labels_per_transition=0.5), DYNAMICS, REWARD)
    assert counts == Counts(1670, 833)  # 1666 + 8330 = 9996 coins, the last four are transitions


def test_a_stock_beyond_its_bound_grows_on_the_other_side_alone():
    counts = split(Market(100, (1, 10), stock=Counts(10, 500), labels_per_transition=1.0), DYNAMICS, REWARD)
    assert counts == Counts(110, 500)


def test_caps_that_bind_on_both_sides_leave_money_over():
    counts = split(Market(10_000, (1, 10), caps=(50, 20)), DYNAMICS, REWARD)
    assert counts == Counts(50, 20)


def test_what_is_free_is_taken_up_to_its_cap():
    assert split(Market(1000, (0, 10), caps=(77, math.inf)), DYNAMICS, REWARD) == Counts(77, 100)
    assert split(Market(1000, (10, 0), caps=(math.inf, 30)), DYNAMICS, REWARD) == Counts(100, 30)
    assert split(Market(1000, (10, 0), labels_per_transition=1), DYNAMICS, REWARD) == Counts(100, 100)


@pytest.mark.parametrize("prices", [(0, 1), (1, 0)])
def test_a_free_good_without_a_cap_is_refused(prices):
    with pytest.raises(ValueError, match=r"^prices: "):
        Market(1000, prices)


def test_without_money_the_stock_stays():
    assert split(Market(0, (1, 10)), DYNAMICS, REWARD) == Counts(0, 0)
    assert split(Market(0, (1, 10), stock=Counts(5, 3)), DYNAMICS, REWARD) == Counts(5, 3)


def test_the_least_money_for_one_of_each_buys_one_of_each():
    assert split(Market(11, (1, 10)), DYNAMICS, REWARD) == Counts(1, 1)


def test_counts_are_exact_where_floats_are_not():
    # 1e12 coins in micro-coins: far above 2 ** 53, still not one micro-coin too much
    market = Market(10**18 + 1, (1, 999_999_937))
    counts = split(market, DYNAMICS, REWARD)
    assert 0 <= market.money - cost(market, counts) < 1 + market.prices[0]


def test_the_expansion_path_ends_where_the_whole_budget_would():
    whole = split(Market(100_000, (1, 10)), DYNAMICS, REWARD)
    stock = Counts(0, 0)
    for _ in range(10):
        grown = split(Market(10_000, (1, 10), stock=stock), DYNAMICS, REWARD)
        assert grown.transitions >= stock.transitions and grown.labels >= stock.labels
        stock = grown
    assert abs(stock.labels - whole.labels) <= 1
    assert abs(stock.transitions - whole.transitions) <= 10


def test_planning_a_phase_without_its_stock_wastes_money():
    whole = gap(split(Market(100_000, (1, 10)), DYNAMICS, REWARD), DYNAMICS, REWARD)
    part = split(Market(10_000, (1, 10)), DYNAMICS, REWARD)
    forgetful = gap(Counts(10 * part.transitions, 10 * part.labels), DYNAMICS, REWARD)
    cheaper = gap(split(Market(85_000, (1, 10)), DYNAMICS, REWARD), DYNAMICS, REWARD)
    assert forgetful > cheaper > whole  # more than 15 % of the money wasted


def test_coupled_counts_are_equal_and_catch_up():
    assert coupled(Market(1000, (1, 10))) == Counts(90, 90)  # 1000 // 11
    assert coupled(Market(1000, (1, 10), stock=Counts(190, 0))) == Counts(190, 100)  # labels for what is held already
    assert coupled(Market(1000, (1, 10), stock=Counts(30, 0))) == Counts(93, 93)  # 1030 // 11
    assert coupled(Market(1000, (1, 10), lots=(4, 1))) == Counts(88, 88)


def test_a_label_share_is_of_all_spend():
    assert at_label_share(Market(1000, (1, 10)), 0.3) == Counts(700, 30)
    assert at_label_share(Market(500, (1, 10), stock=Counts(500, 0)), 0.3) == Counts(700, 30)


def test_more_labels_than_the_rows_can_take_are_as_many_as_they_can():
    # 40 coins, 9 rows each with a label: 20 more of either; asking for 30 labels had bought 10, and 30 rows.
    market = Market(40, (1, 1), stock=Counts(9, 9), labels_per_transition=1)
    assert market.at_labels(9 + 30) == market.at_labels(9 + 20) == Counts(29, 29)
    assert market.at_labels(9 + 10) == Counts(39, 19)
    assert Market(40, (1, 0), caps=(math.inf, 7)).at_labels(9) == Counts(40, 7)


@pytest.mark.parametrize("field, numbers", [("coefficient", (0, 1)), ("exponent", (1, -1)), ("floor", (1, 1, -1))])
def test_a_power_law_names_the_number_that_is_wrong(field, numbers):
    with pytest.raises(ValueError, match=f"^{field}: "):
        PowerLaw(*numbers)
