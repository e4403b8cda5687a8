"""A small ledger in which everything happened once, and all that can be read from one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tandem.budget.ledger import Ledger
from tandem.budget.money import MICRO, Purchase

PRICES = {"transition": MICRO, "label": 4 * MICRO}


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.create(tmp_path / "ledger.db", 1000 * MICRO, PRICES)
    yield ledger
    ledger.close()


@pytest.fixture
def chunk() -> Callable[[str, int], Purchase]:
    """Transitions at a coin each."""
    return lambda key, units: Purchase(key, "transition", units, MICRO)


@pytest.fixture
def label() -> Callable[..., Purchase]:
    """One label at four coins."""
    return lambda key, tier="default": Purchase(key, "label", 1, 4 * MICRO, tier)


@pytest.fixture
def busy(ledger, chunk, label) -> Ledger:
    """Nine bookings of every kind and two decisions. 38 + 4 coins are spent, of them 3 for what was lost."""
    ledger.reserve([chunk("chunk0", 40), label("q0"), label("q1", "chéap")])
    ledger.record_decision(0, {"labels": 1.5}, {"note": "é"})
    ledger.settle({"chunk0": 38, "q0": 1})
    ledger.release(["q1"])
    ledger.write_off({"chunk0": 3}, "transitions/0.log is damaged")
    ledger.record_decision(1, {"labels": 2}, {})
    ledger.raise_total(2000 * MICRO)
    return ledger


@pytest.fixture
def content() -> Callable[[Path], tuple]:
    """Everything that a ledger file says, opened and closed."""

    def read(path: Path) -> tuple:
        ledger = Ledger.open(path)
        try:
            return _all_of(ledger)
        finally:
            ledger.close()

    return read


@pytest.fixture
def all_of() -> Callable[[Ledger], tuple]:
    """Everything that an open ledger says."""
    return _all_of


def _all_of(ledger: Ledger) -> tuple:
    known = ledger.balance(), ledger.summary(), ledger.by_tier(), ledger.outstanding(), ledger.state_of_keys()
    return (*known, ledger.decisions(), ledger.position, ledger.prices)
