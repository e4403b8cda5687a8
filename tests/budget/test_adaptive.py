"""The adaptive allocator: what it plans from which evidence, and when it falls back to half of the spend each."""

import json
import math
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

import tandem.cli
from tandem.budget.adaptive import best_share, smoothed
from tandem.budget.allocator import make_allocator
from tandem.budget.ledger import Ledger
from tandem.budget.market import Counts, Market, gap, split
from tandem.budget.money import MICRO, Purchase
from tandem.budget.offers import LabelOffer
from tandem.budget.plan import AllocatorConfig, Evidence, Measured, Plan
from tandem.budget.scaling import EXPONENTS, Curve, PowerLaw

DYNAMICS, REWARD = PowerLaw(3.0, 0.25), PowerLaw(8.0, 0.5)
ADAPTIVE = make_allocator(AllocatorConfig())


@dataclass
class Purse:
    total: int
    remaining: int
    prices: dict[str, int]


def purse(remaining: float = 10_000, transition: float = 1, label: float = 4, spent: float = 2000) -> Purse:
    """spent: 1,000 transitions and 250 labels, as `evidence` has them."""
    money = round(remaining * MICRO)
    total = money + round(spent * MICRO)
    return Purse(total, money, {"transition": round(transition * MICRO), "label": round(label * MICRO)})


def exact(law: PowerLaw, most: float, points: int = 20) -> Curve:
    counts = tuple(float(count) for count in np.geomspace(most / 50, most, points))
    return Curve(counts, tuple(law.error(count) for count in counts), (1.0,) * points)


def measured(transitions: float = 1000, labels: float = 250, points: int = 20) -> Measured:
    return Measured(exact(DYNAMICS, transitions, points), exact(REWARD, labels, points), (1.0, 1.0), 0.9)


def evidence(phase: int = 6, transitions: int = 1000, labels: int = 250, **changes) -> Evidence:
    known = {"phases": 12, "transition_lot": 1, "episode_length": 0, "min_transitions": 1}
    known |= {"labels_per_transition": math.inf, "measured": measured(transitions, labels)}
    return Evidence(phase=phase, transitions=transitions, labels=labels, **(known | changes))


def fifty_fifty(known: Evidence, money: Purse) -> Plan:
    return make_allocator(AllocatorConfig(name="fixed")).plan(known, money)


def test_adaptive_is_the_default():
    assert AllocatorConfig().name == "adaptive"


@pytest.mark.parametrize(
    "exponents, within, ahead", [((EXPONENTS[15], EXPONENTS[20]), 0.02, 0.02), ((0.25, 0.5), 0.06, 0.15)]
)
def test_exact_curves_are_split_as_by_their_laws(exponents, within, ahead):
    """The counts to 2 %; to 6 % where the exponents lie between the cells of the grid, which are 16 % wide. Six times
    as much data as was measured is foreseen worse there, to 15 %, since a cell with a floor looks alike so far.
    """
    laws = [PowerLaw(coefficient, float(exponent)) for coefficient, exponent in zip((3.0, 8.0), exponents, strict=True)]
    found = Measured(exact(laws[0], 1000, points=300), exact(laws[1], 250, points=300), (1.0, 1.0), 0.9)
    plan = ADAPTIVE.plan(evidence(phase=12, measured=found), purse())
    market = Market(10_000 * MICRO, (MICRO, 4 * MICRO), Counts(1000, 250))
    best = split(market, *laws)
    held = Counts(1000 + plan.transitions, 250 + plan.labels)
    assert held == pytest.approx(best, rel=within)
    assert gap(held, *laws) == pytest.approx(gap(best, *laws), rel=1e-3)
    assert plan.facts.gap_now == pytest.approx(gap(market.stock, *laws), rel=within)
    assert plan.facts.gap_after == pytest.approx(gap(best, *laws), rel=ahead)


def test_phase_by_phase_ends_where_planning_the_whole_ends():
    """The same exact evidence in every phase; only the random numbers differ, which is 1 % of either count."""
    frozen, money, held = measured(600, 150), purse(12_000), Counts(600, 150)
    whole = ADAPTIVE.plan(evidence(12, *held, measured=frozen), money)
    for phase in range(1, 13):
        plan = ADAPTIVE.plan(evidence(phase, *held, measured=frozen), money)
        assert plan.money_micro <= money.remaining
        money.remaining -= plan.money_micro
        held = Counts(held.transitions + plan.transitions, held.labels + plan.labels)
    assert money.remaining < MICRO
    assert held.transitions == pytest.approx(600 + whole.transitions, rel=0.01)
    assert held.labels == pytest.approx(150 + whole.labels, rel=0.01)


def test_the_same_evidence_gives_the_same_plan():
    assert ADAPTIVE.plan(evidence(), purse()) == make_allocator(AllocatorConfig()).plan(evidence(), purse())


def test_laws_are_drawn_anew_in_every_phase_of_every_seed_and_alike_in_the_same():
    """What the laws' samples come to, of the same measured errors: equal only for the same phase and seed."""

    def drawn(phase: int, seed: int) -> tuple[float, float]:
        facts = ADAPTIVE.plan(evidence(phase, seed=seed), purse()).facts
        return facts.gap_now, facts.best_share_low

    pairs = [(phase, seed) for phase in (1, 2, 3) for seed in (0, 1, 2, 3, 2**32 - 1)]  # (1, 2) and (2, 1) too
    assert len({drawn(*pair) for pair in pairs}) == len(pairs)
    assert drawn(2, 3) == drawn(2, 3)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"measured": None}, "nothing is measured"),
        ({"labels": 31}, "31 answered labels are fewer than 32"),
        ({"labels": 200, "pending": 169}, "31 answered labels are fewer than 32"),
        ({"labels": 200, "pending": 101}, "101 of 200 labels are not answered"),
        ({"measured": replace(measured(), explained_variance=0.19)}, "the critic explains 0.19 of .*, less than 0.2"),
        ({"measured": replace(measured(), explained_variance=math.nan)}, "the critic explains nan"),
        ({"measured": replace(measured(), weights=(1.0, math.nan))}, "the weights 1.0 and nan are of no use"),
        ({"measured": replace(measured(), weights=(0.0, 1.0))}, "the weights 0.0 and 1.0 are of no use"),
        ({"measured": replace(measured(), dynamics=Curve((), (), ()))}, "no usable error of the dynamics"),
        ({"measured": replace(measured(), reward=Curve((9.0,), (0.0,), (1.0,)))}, "no usable error of the reward"),
    ],
)
def test_without_sound_evidence_half_of_the_spend_each_and_a_word_why(changes, reason):
    known = evidence(weights_before=(2.0, 3.0), **changes)
    plan = ADAPTIVE.plan(known, purse())
    half = fifty_fifty(known, purse())
    assert (plan.transitions, plan.labels, plan.money_micro) == (half.transitions, half.labels, half.money_micro)
    assert re.match(f"half of the spend each: {reason}", plan.note)
    assert plan.weights == (2.0, 3.0) and plan.facts is None


def test_half_of_the_spend_counts_each_answer_at_what_it_cost():
    """A pilot's offer: an item for 9.75 coins gets 3.25 answers, so that an answer costs 3. Of the 600 + 300 coins held and
    of the phase's 1,500, half are 1,200: 600 more transitions and 300 more answers."""
    offer = LabelOffer(
        "gold", round(9.75 * MICRO), duplicate_share=0.25, gold_share=0.5, checks=("a", "b"), check_answers=2
    )
    known = evidence(6, 600, 100, measured=None, offers=(offer,), rows_asked=30, phases=6)
    plan = ADAPTIVE.plan(known, purse(1500, spent=900))
    assert (plan.transitions, plan.labels) == (600, 300)
    # Had another rater given 300 answers for the same 300 coins, the plan would be the same.
    cheaper = replace(known, labels=300, rows_asked=300)
    assert ADAPTIVE.plan(cheaper, purse(1500, spent=900)) == plan
    assert fifty_fifty(cheaper, purse(1500, spent=900)).labels == 300


@pytest.mark.parametrize("phase, least", [(1, 0.10), (4, 0.10), (5, 0.03), (12, 0.03)])
def test_each_side_gets_some_of_every_phase(phase, least):
    """Errors that say: nothing but labels, or nothing but transitions."""
    flat = Curve((100.0, 300.0, 1000.0), (1e-9,) * 3, (1.0,) * 3)
    money = purse(100_000)
    wants_labels = ADAPTIVE.plan(evidence(phase, measured=replace(measured(), dynamics=flat)), money)
    assert 1 - wants_labels.label_spend_share == pytest.approx(least, abs=0.002)
    wants_transitions = ADAPTIVE.plan(evidence(phase, measured=replace(measured(), reward=flat)), money)
    assert wants_transitions.label_spend_share == pytest.approx(least, abs=0.002)


def test_transitions_take_the_money_that_the_cap_on_labels_leaves():
    # A label for each transition at a thousandth of its price: whole phases of money, nothing left behind
    known = evidence(labels=1000, labels_per_transition=1.0, measured=measured(1000, 1000))
    plan = ADAPTIVE.plan(known, purse(7000, label=0.001))
    assert plan.money_micro > 999 * MICRO and plan.labels <= plan.transitions
    assert "labels at their cap" in plan.note


def test_weights_move_half_of_the_way_in_logs_and_not_far():
    assert smoothed(None, (5.0, 7.0)) == (5.0, 7.0)
    assert smoothed((1.0, 9.0), (4.0, 9.0)) == pytest.approx((2.0, 9.0))  # sqrt(1 * 4)
    assert smoothed((1.0, 1.0), (1e6, 1e-6)) == pytest.approx((30.0, 1 / 30))
    plan = ADAPTIVE.plan(evidence(weights_before=(4.0, 1.0)), purse())
    assert plan.weights == pytest.approx((2.0, 1.0))


def test_a_heavier_error_draws_the_money():
    shares = [
        ADAPTIVE.plan(evidence(measured=replace(measured(), weights=(1.0, weight))), purse()).label_spend_share
        for weight in (0.5, 1.0, 2.0)
    ]
    assert shares[0] < shares[1] < shares[2]


def test_the_facts_tell_what_was_decided():
    plan = ADAPTIVE.plan(evidence(), purse())
    facts = plan.facts.record()
    assert all(type(value) is float and math.isfinite(value) for value in facts.values())
    assert facts["best_share_low"] < facts["best_share"] < facts["best_share_high"]
    assert facts["label_share"] == pytest.approx(facts["best_share"], abs=1e-6)  # nothing was bought in excess
    assert 0 < facts["gap_after"] < facts["gap_now"] and facts["stop_buying"] == 0
    for side, law in (("dynamics", DYNAMICS), ("reward", REWARD)):
        low, high = facts[f"exponent_{side}_low"], facts[f"exponent_{side}_high"]
        assert low / 1.16 < law.exponent < high * 1.16  # a cell of the grid
        assert 0 <= facts[f"floor_dominates_{side}"] < 0.05
    # At 1000 transitions a coin gains 3 * .25 * 1000 ** -1.25, at 250 labels 8 * .5 * 250 ** -1.5 / 4
    assert facts["gain_dynamics"] == pytest.approx(0.75 * 1000**-1.25, rel=0.1)
    assert facts["gain_reward"] == pytest.approx(250**-1.5, rel=0.1)


def test_hindsight_sees_what_should_not_have_been_bought():
    """Five times the labels that are best, and hardly any money left to make up for it."""
    known = evidence(labels=2500, measured=measured(1000, 2500))
    money = purse(200, spent=11_000)
    plan = ADAPTIVE.plan(known, money)
    assert plan.facts.label_share > 0.85  # of 11,200 coins, 10,000 are in labels
    wealth = Market(11_200 * MICRO, tuple(money.prices.values()))
    best = split(wealth, DYNAMICS, REWARD)
    assert plan.facts.best_share == pytest.approx(4 * best.labels / 11_200, rel=0.02)
    assert plan.facts.best_share < 0.7
    assert best_share(known, money) == plan.facts.best_share
    assert best_share(replace(known, measured=None), money) is None


def test_a_floor_that_dominates_brings_the_advice_to_stop():
    counts = tuple(float(count) for count in np.geomspace(20, 1000, 12))
    floor = Curve(counts, (0.5,) * 12, (1.0,) * 12)
    plan = ADAPTIVE.plan(evidence(measured=Measured(floor, floor, (1.0, 1.0), 0.9)), purse(1000))
    assert plan.facts.stop_buying == 1
    assert "advice: stop buying" in plan.note
    assert plan.facts.floor_dominates_dynamics > 0.2


def test_without_money_nothing_is_bought_and_nothing_advised():
    plan = ADAPTIVE.plan(evidence(), purse(0))
    assert (plan.transitions, plan.labels, plan.money_micro, plan.facts.stop_buying) == (0, 0, 0, 0)


def test_the_cheaper_clean_label_is_bought():
    cheap = LabelOffer("cheap", price_micro=MICRO, clean=0.5)  # 2 coins a clean label
    good = LabelOffer("good", price_micro=3 * MICRO, clean=1.0)
    plan = ADAPTIVE.plan(evidence(offers=(good, cheap)), purse())
    assert plan.offer == cheap
    assert plan.money_micro == plan.transitions * MICRO + plan.labels * MICRO


def test_bias_outweighs_a_low_price():
    # The reward error is 8 * 250 ** -.5 = .5 now: an error of .4 that never goes is not worth any price
    cheap = LabelOffer("cheap", price_micro=MICRO, bias=0.4)
    good = LabelOffer("good", price_micro=4 * MICRO)
    assert ADAPTIVE.plan(evidence(offers=(cheap, good)), purse()).offer == good
    harmless = replace(cheap, bias=0.001)
    assert ADAPTIVE.plan(evidence(offers=(harmless, good)), purse()).offer == harmless
    unmeasured = evidence(offers=(cheap, good), measured=None)
    assert ADAPTIVE.plan(unmeasured, purse()).offer == good


def test_one_offer_like_the_ledgers_price_changes_nothing():
    plain = ADAPTIVE.plan(evidence(), purse())
    offered = ADAPTIVE.plan(evidence(offers=(LabelOffer("default", 4 * MICRO),)), purse())
    assert (plain.offer, offered.offer) == (None, LabelOffer("default", 4 * MICRO))
    assert replace(offered, offer=None) == plain


def test_answers_are_counted_and_items_are_paid():
    # Two answers an item, a tenth of the items once more: 2.1 answers for 9 coins
    offer = LabelOffer("pair", price_micro=9 * MICRO, replication=2, clean=1.5, duplicate_share=0.1)
    plan = ADAPTIVE.plan(evidence(offers=(offer,)), purse())
    items = (plan.money_micro - plan.transitions * MICRO) // (9 * MICRO)
    assert items > 10 and plan.labels == int(items * 2.1)


def test_an_offer_worth_half_a_label_at_half_the_price_is_the_same_market():
    whole = ADAPTIVE.plan(evidence(), purse())
    half = ADAPTIVE.plan(evidence(offers=(LabelOffer("half", 2 * MICRO, clean=0.5),)), purse())
    assert half.labels == pytest.approx(2 * whole.labels, abs=4)
    assert half.facts.label_share == pytest.approx(whole.facts.label_share, abs=1e-3)


def test_clean_labels_are_the_stock_that_counts():
    few = ADAPTIVE.plan(evidence(labels=2500, clean_labels=250.0, measured=measured()), purse())
    assert few == ADAPTIVE.plan(evidence(), purse())


def test_reserved_money_is_not_planned_again(tmp_path):
    """Labels that never come back: their money is gone until released, and they count as held."""
    ledger = Ledger.create(tmp_path / "ledger.db", 5000 * MICRO, {"transition": MICRO, "label": 4 * MICRO})
    ledger.reserve([Purchase("late", "label", 1000, 4 * MICRO)])
    plan = ADAPTIVE.plan(evidence(phase=12, labels=1000), ledger)
    assert 0 < plan.money_micro <= 1000 * MICRO == ledger.remaining
    ledger.close()


def test_the_ledger_command_tells_why(tmp_path, capsys):
    ledger = Ledger.create(tmp_path / "ledger.db", 20_000 * MICRO, {"transition": MICRO, "label": 4 * MICRO})
    offers = (LabelOffer("expert", price_micro=5 * MICRO, replication=2, clean=0.8, bias=0.01),)
    changes = ({}, {"measured": None}, {"offers": offers})
    for known in (evidence(labels_per_transition=1.0, **change) for change in changes):
        plan = ADAPTIVE.plan(known, ledger)
        ledger.record_decision(known.phase, known.record(), plan.record())
    ledger.close()
    assert tandem.cli.main(["ledger", str(tmp_path), "--decisions"]) == 0
    out = capsys.readouterr().out
    assert f"in the end {plan.facts.label_share:.0%} of all spend on labels" in out
    assert f"{plan.facts.best_share:.0%} if all were bought anew" in out
    assert f"expected gap {plan.facts.gap_now:.3g} now, {plan.facts.gap_after:.3g} after" in out
    assert "the critic explains 0.90" in out and "half of the spend each: nothing is measured" in out
    assert f"reward: 20 errors, exponent {plan.facts.exponent_reward:.3g}" in out and "weight 1," in out
    assert "labels by expert, 2 answers an item that is worth 0.8 clean labels and costs 5 coins" in out


@pytest.mark.parametrize(
    "changes", [{}, {"measured": None}, {"offers": (LabelOffer("a", MICRO, checks=("b", "c")),)}], ids=str
)
def test_a_plan_and_what_it_was_made_from_come_back_from_json_as_they_were(changes):
    known = evidence(labels_per_transition=1.0, **changes)
    plan = ADAPTIVE.plan(known, purse())
    inputs, outputs = (json.loads(json.dumps(one.record(), allow_nan=False)) for one in (known, plan))
    assert Plan.from_record(outputs) == plan == Plan.from_record(plan.record())
    older = {name: value for name, value in outputs.items() if name not in ("offer", "weights", "facts")}
    assert Plan.from_record(older) == replace(plan, offer=None, weights=None, facts=None)
    if known.measured is None:
        assert outputs["facts"] == {}
    else:
        assert Measured.from_record(inputs["measured"]) == known.measured


def random_curve(rng: np.random.Generator) -> Curve:
    number = int(rng.integers(0, 7))
    errors = [float(error) for error in np.exp(rng.normal(0, 4, number))]
    odd = (0.0, math.nan, math.inf, -1.0)
    errors = tuple(float(rng.choice(odd)) if rng.random() < 0.15 else error for error in errors)
    counts = tuple(float(count) for count in np.exp(rng.uniform(0, 14, number)))
    return Curve(counts, tuple(sorted(errors)) if rng.random() < 0.3 else errors, (1.0,) * number)


def random_offers(rng: np.random.Generator) -> tuple[LabelOffer, ...]:
    return tuple(
        LabelOffer(
            tier=f"tier{index}",
            price_micro=int(10 ** rng.uniform(0, 9)),
            replication=int(rng.integers(1, 4)),
            clean=float(10 ** rng.uniform(-3, 0)),
            bias=float(rng.choice([0.0, 0.3, 100.0])),
            duplicate_share=float(rng.choice([0.0, 0.1])),
        )
        for index in range(int(rng.integers(0, 4)))
    )


def test_any_evidence_at_any_price_gives_a_plan_that_can_be_paid():
    """Prices over nine orders of magnitude, budgets below one lot, curves of anything."""
    rng, measured_plans = np.random.default_rng(0), 0
    for _ in range(300):
        prices = {kind: int(10 ** rng.uniform(0, 9)) for kind in ("transition", "label")}
        remaining = int(rng.choice([0, 1, int(10 ** rng.uniform(0, 15))]))
        money = Purse(2 * remaining + 1, remaining, prices)
        found = Measured(
            random_curve(rng),
            random_curve(rng),
            tuple(float(weight) for weight in np.exp(rng.normal(0, 8, 2))),
            explained_variance=float(rng.choice([0.9, 0.9, 0.9, -1.0])),
        )
        known = evidence(
            phase=int(rng.integers(1, 15)),
            transitions=int(10 ** rng.uniform(0, 6)),
            labels=int(10 ** rng.uniform(0, 5)),
            transition_lot=int(rng.choice([1, 4, 64])),
            labels_per_transition=float(rng.choice([1.0, 0.5, math.inf])),
            measured=found,
            weights_before=(1.0, 1.0) if rng.random() < 0.5 else None,
            offers=random_offers(rng),
        )
        plan = ADAPTIVE.plan(known, money)
        json.dumps(plan.record(), allow_nan=False)  # as the ledger keeps it
        price = plan.offer.price_micro if plan.offer else prices["label"]
        for_labels = plan.money_micro - plan.transitions * prices["transition"]
        assert 0 <= plan.money_micro <= remaining and min(plan.transitions, plan.labels, for_labels) >= 0
        assert plan.transitions % known.transition_lot == 0
        assert plan.labels / (plan.offer.answers if plan.offer else 1) * price <= for_labels * (1 + 1e-12)
        assert (
            all(math.isfinite(value) for value in plan.record()["facts"].values()) and 0 <= plan.label_spend_share <= 1
        )
        measured_plans += bool(plan.facts)
    assert measured_plans > 100


def test_new_labels_need_rows_that_nobody_was_asked_about_and_old_ones_do_not():
    # 300 gold labels are worth 3000 items of a tier of .1 each; 2000 rows, of which 300 were asked about
    cheap = LabelOffer("cheap", price_micro=MICRO, clean=0.1)
    known = evidence(transitions=2000, labels=300, offers=(cheap,), labels_per_transition=1.0, rows_asked=300)
    plan = ADAPTIVE.plan(known, purse(30_000))
    assert plan.labels > 1000 and plan.labels <= 2000 + plan.transitions - 300
    # and the other way round: 7000 asked rows of a poor tier count as 700 good items, but 7000 rows are taken
    good = LabelOffer("good", price_micro=4 * MICRO, clean=1.0)
    known = evidence(12, 8000, 7000, offers=(good,), labels_per_transition=1.0, rows_asked=7000, clean_labels=700.0)
    plan = ADAPTIVE.plan(known, purse(30_000))
    assert plan.labels <= 8000 + plan.transitions - 7000
    assert plan.money_micro > 29_990 * MICRO  # what labels cannot take goes to transitions


def test_a_fixed_share_counts_rows_too():
    pair = LabelOffer("pair", price_micro=2 * MICRO, replication=2)
    known = evidence(3, 1000, 1600, offers=(pair,), labels_per_transition=1.0, rows_asked=800)
    plan = make_allocator(AllocatorConfig(name="fixed", label_share=0.99)).plan(known, purse(3_000))
    assert 0 < plan.labels <= 2 * (1000 + plan.transitions - 800)
