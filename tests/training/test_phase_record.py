"""The record of a phase: strict JSON, once a phase, and the source of the next plan."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tandem.training.build
from tandem.budget.ledger import Ledger
from tandem.budget.money import BudgetConfig
from tandem.budget.offers import LabelOffer
from tandem.budget.plan import Plan
from tandem.errors import UserError
from tandem.training.phase_record import PhaseRecord
from tandem.training.phases import train
from tandem.training.storage import checkpoint


def refuse(constant: str):
    raise AssertionError(f"{constant} is not JSON")


def lines(config) -> list[dict]:
    text = (Path(config.run.dir) / "phases.jsonl").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_every_line_is_strict_json_and_a_checkpoint_knows_the_infinite(tiny):
    config = tiny()
    train(config)
    kept = checkpoint.load(Path(config.run.dir) / "checkpoints").parts["progress"]["history"]
    bounds = [record["gaps"].get("lemma") for record in kept]
    assert float("inf") in bounds, "lemma 1 says nothing here, and a picture says so"
    assert [record["gaps"].get("lemma") for record in lines(config)] == [
        None if bound == float("inf") else bound for bound in bounds
    ]
    for plain in kept:
        assert PhaseRecord.from_plain(plain).to_plain() == plain


def test_a_phase_done_again_for_late_answers_stands_there_once(tiny):
    config = tiny("labeler.delay=100000")
    train(config)
    before = lines(config)
    train(config, resume=Path(config.run.dir))
    assert [record["phase"] for record in lines(config)] == [record["phase"] for record in before] == [0, 1, 2]
    progress = checkpoint.load(Path(config.run.dir) / "checkpoints").parts["progress"]
    assert [one["phase"] for one in progress["evaluations"]] == [0, 1, 2]


@pytest.mark.slow
def test_records_of_0_1_without_offers_buy_from_the_raters_that_are_for_sale(tiny, monkeypatch):
    """A record of version 0.1 holds no offers; the default tier, which nobody sells then, must not answer."""
    config = tiny("labeler.tiers={cheap:{price:1,sigma:0.5},expert:{price:4,sigma:0.1}}", "budget.total=640")
    train(config)
    loaded = PhaseRecord.from_plain
    monkeypatch.setattr(PhaseRecord, "from_plain", classmethod(lambda cls, plain: replace(loaded(plain), offers=())))
    train(replace(config, budget=BudgetConfig(900.0)), resume=Path(config.run.dir))
    ledger = Ledger.open(Path(config.run.dir) / "ledger.db")
    assert set(ledger.by_tier()) == {"cheap", "expert"}
    ledger.close()


@pytest.mark.parametrize(
    ("planned", "told"),
    [
        (None, "planned None, expected a tandem.budget.plan.Plan"),
        (Plan(0, 1.5, 8, 0, 0.0), "planned transitions=1.5, expected a whole number"),
        (Plan(0, 40, -8, 0, 0.0), "planned labels=-8, expected a whole number"),
        (Plan(0, 40, 8, 0, 0.0, offer=LabelOffer("nobody", 1)), "planned labels of 'nobody', expected one of default"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_told_in_one_line(tiny, monkeypatch, planned, told):
    class Own:
        def plan(self, evidence, ledger):
            return planned

    monkeypatch.setattr(tandem.training.build, "make_allocator", lambda config: Own())
    with pytest.raises(UserError, match=f"^allocator.name: adaptive {told}"):
        train(tiny())
