"""Whose laws a plan rests on, and what a run has measured for one."""

import json
from dataclasses import asdict, replace

import pytest

from tandem.budget.adaptive import Adaptive, best_share
from tandem.budget.ledger import Ledger
from tandem.budget.money import MICRO, Purchase
from tandem.budget.offers import LabelOffer
from tandem.budget.plan import AllocatorConfig, Evidence, Measured
from tandem.budget.reports.laws import run_terms
from tandem.budget.reports.plan import plan_answer, plan_table
from tandem.budget.scaling import Curve
from tandem.errors import UserError

PAIRS = {"dynamics": (0.3, 0.2), "reward": (5.0, 0.5)}


def curve(counts, coefficient, exponent, floor=0.0) -> Curve:
    errors = tuple(floor + coefficient * count**-exponent for count in counts)
    return Curve(tuple(map(float, counts)), errors, (1.0,) * len(counts))


MEASURED = Measured(
    dynamics=curve([250, 500, 1000, 2000], 8.0, 0.2),
    reward=curve([40, 80, 160, 320], 3.0, 0.6),
    weights=(1.0, 20.0),
    explained_variance=0.6,
)


def evidence(**changes) -> Evidence:
    known = {"phase": 5, "phases": 12, "transitions": 2000, "labels": 320, "transition_lot": 4, "episode_length": 200}
    return Evidence(**known | {"min_transitions": 300, "measured": MEASURED, "weights_before": (1.0, 10.0)} | changes)


@pytest.fixture
def run(tmp_path):
    """run(evidence, ...) -> the ledger of a run that bought 2000 transitions and 400 labels, with these decisions."""
    ledgers = []

    def make(*known: Evidence, offer: LabelOffer | None = None) -> Ledger:
        ledger = Ledger.create(tmp_path / "ledger.db", 10_000 * MICRO, {"transition": MICRO, "label": 4 * MICRO})
        ledgers.append(ledger)
        bought = [Purchase("t", "transition", 2000, MICRO), Purchase("l", "label", 400, 4 * MICRO)]
        ledger.reserve(bought)
        ledger.settle({"t": 2000, "l": 400})
        for one in known:
            plan = Adaptive(AllocatorConfig()).plan(one, ledger)
            outputs = {"offer": asdict(offer) if offer else None, "weights": plan.weights, "note": plan.note}
            ledger.record_decision(one.phase, asdict(one), outputs)
        return ledger

    yield make
    for ledger in ledgers:
        ledger.close()


def sources(answer: dict) -> list[str]:
    return [answer["laws"]["source"], *(answer["laws"][side]["source"] for side in ("dynamics", "reward"))]


def test_the_papers_laws_are_not_taken_for_the_persons_own():
    answer = plan_answer(1e5, 1, 10)
    assert sources(answer) == ["paper"] * 3
    assert plan_table(answer).splitlines()[-1] == (
        "laws: those of the paper's experiment, not yours: give --dynamics and --reward, or --run RUN"
    )
    half = plan_answer(1e5, 1, 10, dynamics=PAIRS["dynamics"])
    assert sources(half) == ["mixed", "given", "paper"]
    assert "law of the reward: that of the paper's experiment, not yours: give --reward" in plan_table(half)


def test_laws_that_were_given_need_no_remark():
    answer = plan_answer(1e5, 1, 10, **PAIRS)
    assert sources(answer) == ["given"] * 3
    assert answer["laws"]["reward"] == {"source": "given", "coefficient": 5.0, "exponent": 0.5}
    assert len(plan_table(answer).splitlines()) == 6


def test_a_run_gives_laws_weights_prices_and_stock(run):
    terms = run_terms(run(evidence()), "runs/x")
    # half of the way from 10 to 20 in logs: 14.14, as the allocator smooths them
    assert terms.weights == (1.0, pytest.approx(200**0.5))
    assert (terms.price_transition, terms.price_label, terms.kappa, terms.tier) == (1.0, 4.0, 1.0, None)
    assert (terms.have_transitions, terms.have_labels, terms.phase) == (2000, 400, 5)
    assert [law.law.error(count) for law, count in ((terms.dynamics, 1000), (terms.reward, 160))] == [
        pytest.approx(8.0 * 1000**-0.2, rel=0.1),
        pytest.approx(3.0 * 160**-0.6, rel=0.1),
    ]
    answer = plan_answer(budget=1000, **terms.arguments())
    assert json.loads(json.dumps(answer)) == answer
    assert sources(answer) == ["run"] * 3 and answer["laws"]["measured"]["run"] == "runs/x"
    assert answer["transitions"] >= 2000 and answer["labels"] >= 400
    assert answer["transitions"] - 2000 + 4 * (answer["labels"] - 400) <= 1000
    table = plan_table(answer)
    assert "from runs/x: a transition costs 1, a label 4 coins; stock 2,000 transitions and 400 labels" in table
    assert "dynamics: 4 errors up to a count of 2,000, exponent 0." in table and "mean little" not in table


@pytest.mark.parametrize("spreads", [(0.0, 0.0), (0.8, 0.4)])
def test_the_plan_for_a_run_is_the_one_that_its_allocator_finds_best(run, spreads):
    known = evidence(measured=replace(MEASURED, log_spreads=spreads))  # few episodes: believed less, by both
    ledger = run(known)
    terms = run_terms(ledger, "x").arguments() | {"have_transitions": 0, "have_labels": 0}
    answer = plan_answer(budget=10_000, **terms)
    assert answer["label_spend_share"] == pytest.approx(best_share(known, ledger), abs=1e-3)


def test_what_is_given_goes_before_what_the_run_knows(run):
    terms = run_terms(run(evidence()), "x").arguments()
    answer = plan_answer(budget=1000, **terms | {"reward": (5.0, 0.5), "price_label": 9.0})
    assert sources(answer) == ["mixed", "run", "given"]
    assert "reward:" not in plan_table(answer)


def test_the_newest_measured_decision_counts(run):
    older = evidence(phase=3, measured=Measured(MEASURED.dynamics, MEASURED.reward, (1.0, 1.0), 0.4))
    unmeasured = evidence(phase=7, measured=Measured(Curve((), (), ()), MEASURED.reward, (1.0, 1.0), 0.4))
    assert run_terms(run(older, evidence(), unmeasured, evidence(phase=8, measured=None)), "x").phase == 5


def test_what_was_measured_after_the_last_decision_counts(run, tmp_path):
    """A finished run's newest errors stand in phases.jsonl alone: no decision came after them."""
    ledger, path = run(evidence()), tmp_path / "phases.jsonl"
    newer = Measured(Curve((4000.0,), (1.0,), (1.0,)), MEASURED.reward, (1.0, 1.0), 0.4)
    record = {"phase": 5, "measured": asdict(newer), "plan": {"weights": None, "offer": None}, "offers": []}
    path.write_text(json.dumps(record | {"labels": 10, "clean_labels": 10.0}) + "\n")
    terms = run_terms(ledger, "x", path)
    assert (terms.phase, terms.dynamics.facts["largest_count"]) == (6, 4000.0)
    path.write_text(json.dumps(record | {"phase": 4, "labels": 10, "clean_labels": 10.0}) + "\n")
    assert run_terms(ledger, "x", path).phase == 5  # that one is older than the last decision
    assert run_terms(ledger, "x", tmp_path / "none").phase == 5


def test_a_run_that_has_measured_nothing_is_one_line(run):
    with pytest.raises(UserError, match=r"^runs/x: no decision with measured errors yet.*--dynamics") as caught:
        run_terms(run(evidence(phase=0, measured=None)), "runs/x")
    assert "\n" not in str(caught.value)


def test_a_floor_and_a_critic_that_explains_nothing_are_said(run):
    counts = [50, 100, 250, 500, 1000, 2000, 4000, 8000]
    flat = Measured(curve(counts, 1e-9, 0.2, floor=1.0), MEASURED.reward, (1.0, 1.0), 0.1)
    table = plan_table(plan_answer(1000, **run_terms(run(evidence(measured=flat)), "x").arguments()))
    [dynamics] = [line for line in table.splitlines() if "dynamics:" in line]
    assert "mostly a floor that no data removes, with probability 0." in dynamics
    assert "explains 0.10 of the variance of held-out returns, less than 0.2: these errors mean little" in table


def test_labels_of_raters_are_counted_as_those_of_a_perfect_one(run):
    offer = LabelOffer("crowd", 3 * MICRO, replication=2, clean=0.5)
    terms = run_terms(run(evidence(clean_labels=160.0, offers=(offer,)), offer=offer), "x")
    # 3 coins an item worth half a perfect label; 320 labels were worth 160, so 400 are worth 200
    assert (terms.price_label, terms.have_labels, terms.kappa, terms.tier) == (6.0, 200, 0.5, "crowd")
    table = plan_table(plan_answer(1000, **terms.arguments()))
    assert "a label of a perfect rater, bought from crowd, 6 coins" in table
