"""Every kind of file of a run, damaged in one way or another: noticed or harmless, and rescued by one command.

`benchmarks/accidents/corruptions.py` does all kinds of damage to all files.
"""

import importlib
from pathlib import Path

import pytest

SETTINGS = ("log.every_seconds=1000",)
pytestmark = pytest.mark.run


@pytest.fixture
def reliability():
    return importlib.import_module("accidents.corruptions")  # conftest.py has put benchmarks/ on the path


def test_a_sweep_damages_every_file_in_every_way(reliability, stopped_once):
    found = list(reliability.corruptions(stopped_once, seed=3, flips=2))
    files = {str(path.relative_to(stopped_once)) for path in stopped_once.rglob("*") if path.is_file()} - {"lock"}
    assert {one.name for one in found} == files and len(found) == 5 * len(files)
    assert {"ledger.db", "run.json", "labels/000000.log", "metrics.jsonl", "snapshots/phase-0000.pt"} <= files


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0, 2])
def test_one_damage_to_each_kind_of_file(reliability, stopped_once, tmp_path, shift):
    expected = reliability.state_of(reliability.resumed(stopped_once, tmp_path, SETTINGS))
    by_kind = {}
    for one in reliability.corruptions(stopped_once, seed=shift, flips=1):
        by_kind.setdefault(Path(one.name).name.split(".")[0][:6], {})[one.kind] = one  # of a kind the last, the newest
    chosen = [ways[reliability.KINDS[(i + shift) % 4]] for i, ways in enumerate(by_kind.values())]
    assert len(chosen) > 9
    for one in chosen:
        outcome = reliability.outcome_of(one, stopped_once, tmp_path, expected, SETTINGS)
        assert outcome.trouble == "" and outcome.is_detected, outcome


@pytest.mark.slow
def test_losses_are_named(reliability, stopped_once, tmp_path):
    expected = reliability.state_of(reliability.resumed(stopped_once, tmp_path, SETTINGS))
    for name, words in (
        ("labels", "24 labels of tier default"),
        ("transitions", "100 transitions of transitions/00000001"),
    ):
        one = reliability.Corruption(f"{name}/000000.log", "delete")
        outcome = reliability.outcome_of(one, stopped_once, tmp_path, expected, SETTINGS)
        assert outcome.is_refused and not outcome.is_equal and words in outcome.losses[0], outcome
