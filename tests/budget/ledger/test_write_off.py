"""What was paid for and is lost: the money stays spent, the counts fall, and it is said."""

import pytest

from tandem.budget.books.state import KeyState
from tandem.budget.ledger import Diverged
from tandem.budget.ledger_file import LedgerError
from tandem.budget.money import MICRO, Balance
from tandem.budget.reports.accounts import account_lines
from tandem.budget.reports.verify import read_all


def test_the_counts_fall_and_the_money_stays_spent(ledger, chunk, label):
    ledger.reserve([chunk("chunk0", 40), label("q0"), label("q1", "cheap")])
    ledger.settle({"chunk0": 38, "q0": 1, "q1": 1})
    ledger.write_off({"chunk0": 30, "q1": 1}, "transitions/0.log is damaged")
    # 38 * 1 + 2 * 4 = 46 coins; 38 - 30 = 8 transitions and 2 - 1 = 1 label are left
    assert ledger.balance() == Balance(1000 * MICRO, 46 * MICRO, 0, 8, 1)
    ledger.write_off({"chunk0": 8}, "transitions/1.log is damaged")
    assert ledger.units("transition") == 0
    assert ledger.by_tier() == {
        "cheap": {"labels": 0, "spent": 4 * MICRO, "written_off": 1, "written_off_spent": 4 * MICRO},
        "default": {"labels": 1, "spent": 4 * MICRO, "written_off": 0, "written_off_spent": 0},
    }
    summary = ledger.summary()
    assert (summary["spent"], summary["written_off"]) == (46.0, 42.0)
    assert (summary["transitions_written_off"], summary["labels_written_off"]) == (38, 1)


def test_the_state_of_every_key_is_told(busy, chunk, label):
    busy.reserve([label("q2")])
    assert busy.state_of_keys() == {
        "chunk0": KeyState("write_off", chunk("chunk0", 40), settled=38, written_off=3),
        "q0": KeyState("settle", label("q0"), settled=1),
        "q1": KeyState("release", label("q1", "chéap")),
        "q2": KeyState("reserve", label("q2")),
    }
    held = {key: (state.held, state.is_open) for key, state in busy.state_of_keys().items()}
    assert held == {"chunk0": (35, False), "q0": (1, False), "q1": (0, False), "q2": (0, True)}


def test_no_more_is_written_off_than_is_held(busy, all_of):
    before = all_of(busy)
    for lost, complaint in (
        ({"chunk0": 36}, "chunk0 cannot lose 36 units, 35 are held"),
        ({"chunk0": 0}, "chunk0 cannot lose 0 units"),
        ({"q0": 1, "q1": 1}, r"q1 is not paid for \(last booking: release\)"),
        ({"q9": 1}, r"q9 is not paid for \(last booking: None\)"),
    ):
        with pytest.raises(LedgerError, match=complaint):
            busy.write_off(lost, "gone")
    assert all_of(busy) == before


def test_a_reason_is_needed_and_may_name_any_file(busy):
    with pytest.raises(LedgerError, match="q0 cannot be written off without a reason"):
        busy.write_off({"q0": 1}, "")
    busy.write_off({"q0": 1}, "labels/\udcff is damaged")
    assert read_all(busy.path).entries[-1].booking.note == r"labels/\udcff is damaged"


def test_what_was_written_off_is_not_bought_again(busy, chunk):
    busy.write_off({"chunk0": 35}, "the rest as well")
    with pytest.raises(LedgerError, match="chunk0 is paid for already"):
        busy.reserve([chunk("chunk0", 40)])


def test_the_reason_is_kept_and_compared(ledger, chunk):
    ledger.reserve([chunk("chunk0", 2)])
    ledger.settle({"chunk0": 2})
    start = ledger.position
    ledger.write_off({"chunk0": 1}, "mouse")
    ledger.rewind(start)
    with pytest.raises(Diverged, match=r"tier default, mouse\).*tier default, cat\)"):
        ledger.write_off({"chunk0": 1}, "cat")
    ledger.write_off({"chunk0": 1}, "mouse")
    assert not ledger.is_ahead


def test_a_person_reads_what_was_lost(ledger, chunk, label):
    ledger.reserve([chunk("chunk0", 40), label("q0"), label("q1", "cheap")])
    ledger.settle({"chunk0": 38, "q0": 1, "q1": 1})
    assert not any("written off" in line for line in account_lines(ledger.summary()))
    ledger.write_off({"chunk0": 30, "q1": 1}, "gone")
    assert account_lines(ledger.summary())[4:] == [
        "transitions                8 bought and held, 30 written off",
        "labels                     1 bought and held, 1 written off",
        "written off               34 coins of what was spent, for what is lost",
        "  from tier cheap: 0 labels for 4 coins, 1 more written off with 4 of them",
        "  from tier default: 1 labels for 4 coins",
    ]
