"""What every allocator keeps to, and the fixed, coupled and optimum ones."""

import pytest

from tandem.budget.allocator import make_allocator
from tandem.budget.ledger import BudgetExceeded, Ledger
from tandem.budget.market import Counts, Market, split
from tandem.budget.money import MICRO, Purchase
from tandem.budget.phase import check_budget
from tandem.budget.plan import ALLOCATORS, AllocatorConfig, Evidence, Plan
from tandem.budget.scaling import PowerLaw
from tandem.errors import UserError

FIXED = AllocatorConfig(name="fixed")


@pytest.fixture
def new_ledger(tmp_path):
    opened = []

    def make(total: float = 20_000, transition: float = 1, label: float = 4) -> Ledger:
        prices = {"transition": round(transition * MICRO), "label": round(label * MICRO)}
        opened.append(Ledger.create(tmp_path / f"ledger{len(opened)}.db", round(total * MICRO), prices))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


def evidence(ledger: Ledger, phase: int, **changes) -> Evidence:
    known = {"phases": 12, "transition_lot": 4, "episode_length": 100, "min_transitions": 65} | changes
    bought = {"transitions": ledger.units("transition"), "labels": ledger.units("label")}
    return Evidence(phase=phase, **(bought | known))


def buy(ledger: Ledger, plan: Plan) -> None:
    kinds = (("transition", plan.transitions), ("label", plan.labels))
    wanted = [Purchase(f"{plan.phase}-{kind}", kind, units, ledger.prices[kind]) for kind, units in kinds if units > 0]
    ledger.reserve(wanted)
    ledger.settle({purchase.key: purchase.units for purchase in wanted})


def run(config: AllocatorConfig, ledger: Ledger, **changes) -> list[Plan]:
    plans = []
    for phase in range(13):
        plans.append(make_allocator(config).plan(evidence(ledger, phase, **changes), ledger))
        buy(ledger, plans[-1])
    return plans


def label_share(ledger: Ledger) -> float:
    return ledger.units("label") * ledger.prices["label"] / ledger.spent


@pytest.mark.parametrize("name", ["fixed", "coupled", "optimum", "adaptive"])
@pytest.mark.parametrize("label", [0.3, 4, 30, 100])
def test_every_plan_is_whole_within_the_money_and_leaves_none_behind(new_ledger, name, label):
    ledger = new_ledger(total=50_000, label=label)
    plans = run(AllocatorConfig(name=name), ledger)
    for plan in plans:
        assert plan.transitions % 4 == 0 and min(plan.transitions, plan.labels) >= 0
        cost = plan.transitions * MICRO + plan.labels * round(label * MICRO)
        assert plan.money_micro == cost
        assert plan.label_spend_share == pytest.approx(plan.labels * label * MICRO / max(cost, 1))
    assert ledger.units("label") <= ledger.units("transition")
    # What is left buys no lot of transitions (with its labels where they are coupled); a label alone may be capped.
    assert ledger.remaining < 4 * MICRO * (1 + (label if name == "coupled" else 0))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.8])
def test_fixed_ends_at_its_share_of_all_spend(new_ledger, share):
    ledger = new_ledger()
    run(AllocatorConfig(name="fixed", label_share=share), ledger)
    assert label_share(ledger) == pytest.approx(share, abs=0.001)


def test_a_pilot_that_costs_more_than_the_fixed_share_is_told(new_ledger):
    # 32 labels at 10 are 8 % of 4,000 coins.
    plans = run(AllocatorConfig(name="fixed", label_share=0.05), new_ledger(total=4_000, label=10))
    assert plans[0].note.endswith("the pilot's 32 labels (allocator.pilot_labels) are 8.0% of all the money, not 5.0%")
    assert not any("pilot" in plan.note for plan in plans[1:])
    plans = run(AllocatorConfig(name="fixed", label_share=0.08), new_ledger(total=4_000, label=10))
    assert "not" not in plans[0].note


def test_fixed_gives_transitions_what_the_cap_on_labels_leaves(new_ledger):
    # Nine tenths of 20 000 coins: 4500 labels for 2000 transitions. One each is the most: 20 000 / (1 + 4) = 4000.
    ledger = new_ledger()
    plans = run(AllocatorConfig(name="fixed", label_share=0.9), ledger)
    assert Counts(ledger.units("transition"), ledger.units("label")) == (4000, 4000)
    assert plans[-1].note == "labels at their cap"


def test_phases_have_equal_money(new_ledger):
    plans = run(FIXED, new_ledger())
    # 6 % of 20 000 in the pilot, the rest in twelve parts of 1566.7
    assert plans[0].money_micro == 1200 * MICRO
    assert all(abs(plan.money_micro - 18_800 / 12 * MICRO) < 8 * MICRO for plan in plans[1:])


def test_fixed_pilots_at_its_own_share_and_optimum_at_half(new_ledger):
    assert make_allocator(AllocatorConfig(name="fixed", label_share=0.3)).plan(
        evidence(new_ledger(), 0), new_ledger()
    ).label_spend_share == pytest.approx(0.3, abs=0.005)
    optimum = make_allocator(AllocatorConfig(name="optimum")).plan(evidence(new_ledger(), 0), new_ledger())
    assert optimum.label_spend_share == pytest.approx(0.5, abs=0.005)


def test_adaptive_pilots_at_half_and_stays_there_while_nothing_is_measured(new_ledger):
    plans = run(AllocatorConfig(name="adaptive"), new_ledger())
    halves = run(FIXED, new_ledger())
    assert [(p.transitions, p.labels) for p in plans] == [(p.transitions, p.labels) for p in halves]
    assert all(plan.note == "half of the spend each: nothing is measured" for plan in plans[1:])


def test_coupled_buys_a_label_for_every_transition_in_every_phase(new_ledger):
    plans = run(AllocatorConfig(name="coupled"), new_ledger())
    assert all(plan.labels == plan.transitions > 0 for plan in plans)


def test_optimum_follows_the_expansion_path(new_ledger):
    config, ledger = AllocatorConfig(name="optimum"), new_ledger(total=100_000, label=10)
    run(config, ledger, transition_lot=1)
    market = Market(100_000 * MICRO, (MICRO, 10 * MICRO), labels_per_transition=1)
    whole = split(market, PowerLaw(*config.dynamics), PowerLaw(*config.reward))
    assert abs(ledger.units("label") - whole.labels) <= 1
    assert abs(ledger.units("transition") - whole.transitions) <= 10


def test_the_pilot_buys_its_least_counts_where_its_share_is_too_small(new_ledger):
    ledger = new_ledger()
    # Two episodes of 1000 steps and 32 labels: 2000 + 128 coins, more than 6 % of 20 000
    pilot = make_allocator(FIXED).plan(evidence(ledger, 0, episode_length=1000), ledger)
    assert (pilot.transitions, pilot.labels, pilot.money_micro) == (2000, 32, 2128 * MICRO)
    assert pilot.note == "the least that a pilot needs"
    buy(ledger, pilot)
    first = make_allocator(FIXED).plan(evidence(ledger, 1), ledger)
    assert first.transitions == 0 and first.labels == (20_000 - 2128) // 12 // 4  # labels catch up


def test_the_pilot_has_transitions_for_its_labels_and_for_training(new_ledger):
    def pilot(name: str, **changes) -> Plan:
        ledger = new_ledger()
        config = AllocatorConfig(name=name, pilot_share=0.0, pilot_labels=50)
        return make_allocator(config).plan(evidence(ledger, 0, **changes), ledger)

    assert pilot("fixed", episode_length=0, min_transitions=1).transitions == 52  # one label each, in lots of four
    assert pilot("fixed", episode_length=0, min_transitions=99).transitions == 100
    assert pilot("coupled", episode_length=0, min_transitions=99).labels == 100


def test_an_interrupted_pilot_is_planned_to_its_end_and_not_again(new_ledger):
    ledger, allocator = new_ledger(), make_allocator(FIXED)
    whole = allocator.plan(evidence(ledger, 0), ledger)
    ledger.reserve([Purchase("half", "transition", whole.transitions // 2, MICRO)])
    ledger.settle({"half": whole.transitions // 2})
    rest = allocator.plan(evidence(ledger, 0), ledger)
    assert rest.transitions == whole.transitions - whole.transitions // 2
    assert rest.labels == whole.labels


def test_labels_that_are_asked_and_not_answered_count_as_held(new_ledger):
    ledger, allocator = new_ledger(), make_allocator(FIXED)
    ledger.reserve([Purchase("late", "label", 2500, 4 * MICRO)])
    plan = allocator.plan(evidence(ledger, 12, labels=2500), ledger)
    assert (plan.transitions, plan.labels) == (10_000, 0)


def test_a_phase_after_the_last_spends_what_a_raised_total_adds(new_ledger):
    ledger = new_ledger()
    run(FIXED, ledger)
    ledger.raise_total(30_000 * MICRO)
    buy(ledger, make_allocator(FIXED).plan(evidence(ledger, 13), ledger))
    assert ledger.remaining < 4 * MICRO and label_share(ledger) == pytest.approx(0.5, abs=0.001)


def test_nothing_left_is_an_empty_plan(new_ledger):
    ledger = new_ledger()
    ledger.reserve([Purchase("all", "transition", 20_000, MICRO)])
    ledger.settle({"all": 20_000})
    assert make_allocator(FIXED).plan(evidence(ledger, 5), ledger) == Plan(5, 0, 0, 0, 0.0)


@pytest.mark.parametrize(
    "name, least",
    [("fixed", 200 + 32 * 4), ("optimum", 200 + 32 * 4), ("adaptive", 200 + 32 * 4), ("coupled", 200 + 200 * 4)],
)
def test_check_budget_names_the_least_total_that_works(new_ledger, name, least):
    config, exact = AllocatorConfig(name=name), new_ledger(total=least)
    with pytest.raises(UserError, match=f"^budget.total: must be at least {least:,} coins .*, got {least - 1:,}$"):
        check_budget(config, evidence(exact, 0), (least - 1) * MICRO, exact.prices)
    check_budget(config, evidence(exact, 0), least * MICRO, exact.prices)
    assert make_allocator(config).plan(evidence(exact, 0), exact).money_micro == least * MICRO
    short = new_ledger(total=least - 1)
    with pytest.raises(BudgetExceeded):
        make_allocator(config).plan(evidence(short, 0), short)


@pytest.mark.parametrize(
    "field, value",
    [
        ("name", "fixd"),
        ("name", "my allocator:Own"),
        ("label_share", 0.0),
        ("label_share", 1.0),
        ("label_share", float("nan")),
        ("phases", 0),
        ("pilot_share", 1.5),
        ("pilot_episodes", -1),
        ("pilot_labels", -1),
        ("dynamics", (0.34,)),
        ("reward", (90.4, 0.0)),
        ("weights", (1.0, float("inf"))),
    ],
)
def test_a_setting_out_of_range_is_named(field, value):
    with pytest.raises(ValueError, match=f"^{field}: must be "):
        AllocatorConfig(**{field: value})


def test_an_unknown_name_is_told_the_nearest_and_all_there_are():
    choices = "fixed, coupled, optimum, adaptive or module:Class of your own"
    with pytest.raises(ValueError, match=f"^name: must be one of {choices}, got 'fixd', did you mean fixed\\?$"):
        AllocatorConfig(name="fixd")
    assert {make_allocator(AllocatorConfig(name=name)).config.name for name in ALLOCATORS} == set(ALLOCATORS)


OWN = """
class Own:
    def __init__(self, config):
        self.config = config
    def plan(self, evidence, ledger):
        return self.config.phases

class Idle:
    def __init__(self, config): ...

class Choosy(Own):
    def __init__(self, config):
        raise ValueError("no")
"""


def test_an_allocator_of_ones_own_is_made_with_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "own_allocator.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    assert make_allocator(AllocatorConfig(name="own_allocator:Own", phases=7)).plan(None, None) == 7
    for name, what in [
        ("nowhere:Own", "nowhere:Own cannot be made: ModuleNotFoundError"),
        ("own_allocator:Idle", r"own_allocator:Idle must have plan\(\), got no plan\(\)"),
        ("own_allocator:Choosy", "own_allocator:Choosy cannot be made: ValueError: no"),
    ]:
        with pytest.raises(UserError, match=f"^allocator.name: {what}"):
            make_allocator(AllocatorConfig(name=name))
