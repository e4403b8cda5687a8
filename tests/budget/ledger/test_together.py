"""Several bookings in one durable commit: all of them or none, also in what is told before the file is read again."""

import sqlite3

import pytest

from tandem.budget.ledger import BudgetExceeded, Ledger
from tandem.budget.ledger_file import LedgerError
from tandem.budget.money import MICRO


def test_bookings_together_are_one_commit(ledger, chunk, label, all_of):
    other = Ledger.open(ledger.path)
    ledger.reserve([chunk("chunk0", 10)])
    before = all_of(other)
    with ledger.together():
        ledger.settle({"chunk0": 9})
        ledger.reserve([chunk("chunk1", 10)])
        ledger.record_decision(0, {}, {})
        assert (ledger.spent, ledger.reserved) == (9 * MICRO, 10 * MICRO)
        with ledger.together():
            ledger.reserve([label("q0")])
        assert all_of(other) == before  # nothing of it is in the file yet
    assert all_of(other) == all_of(ledger)
    assert (ledger.spent, ledger.reserved, len(ledger.decisions())) == (9 * MICRO, 14 * MICRO, 1)
    other.close()


def test_an_error_undoes_all_of_them_in_the_file_and_in_memory(ledger, chunk, content, all_of):
    ledger.reserve([chunk("chunk0", 10)])
    before = all_of(ledger)
    with pytest.raises(ZeroDivisionError), ledger.together():
        ledger.settle({"chunk0": 9})
        ledger.record_decision(0, {}, {})
        raise ZeroDivisionError
    assert all_of(ledger) == content(ledger.path) == before and not ledger.is_ahead
    ledger.settle({"chunk0": 10})
    assert content(ledger.path) == all_of(ledger)


def test_a_refusal_that_is_caught_inside_undoes_only_itself(ledger, chunk):
    with ledger.together():
        ledger.reserve([chunk("chunk0", 999)])
        with pytest.raises(BudgetExceeded):
            ledger.reserve([chunk("chunk1", 1), chunk("chunk2", 1)])
        ledger.reserve([chunk("chunk3", 1)])
    assert [purchase.key for purchase in ledger.outstanding()] == ["chunk0", "chunk3"]


def test_a_booking_that_fails_half_way_spoils_the_commit_even_if_it_is_caught(
    ledger, chunk, monkeypatch, content, all_of
):
    before, append = all_of(ledger), ledger._log.append_entry

    def full_disk(db, booking, balance):
        if booking.purchase.key == "chunk1":
            raise sqlite3.OperationalError("database or disk is full")
        return append(db, booking, balance)

    monkeypatch.setattr(ledger._log, "append_entry", full_disk)
    with pytest.raises(LedgerError, match="failed half way"), ledger.together():
        try:
            ledger.reserve([chunk("chunk0", 1), chunk("chunk1", 1)])
        except LedgerError as error:
            assert str(error) == f"{ledger.path}: database or disk is full"
    assert all_of(ledger) == content(ledger.path) == before


def test_a_commit_that_the_disk_refuses_leaves_the_balance_as_it_was(ledger, chunk, monkeypatch, content, all_of):
    before, execute = all_of(ledger), ledger._execute

    def full_disk(statement):
        if statement == "COMMIT":
            raise LedgerError(f"{ledger.path}: database or disk is full")
        return execute(statement)

    monkeypatch.setattr(ledger, "_execute", full_disk)
    with pytest.raises(LedgerError, match="disk is full"):
        ledger.reserve([chunk("chunk0", 1)])
    monkeypatch.undo()
    assert all_of(ledger) == content(ledger.path) == before


def test_a_rewound_ledger_that_fails_stands_where_it_stood(ledger, chunk):
    start = ledger.position
    ledger.reserve([chunk("chunk0", 1)])
    middle = ledger.position
    ledger.reserve([chunk("chunk1", 1)])
    ledger.rewind(start)
    ledger.reserve([chunk("chunk0", 1)])
    with pytest.raises(ZeroDivisionError), ledger.together():
        ledger.reserve([chunk("chunk1", 1)])
        raise ZeroDivisionError
    assert ledger.position == middle and ledger.is_ahead
    ledger.reserve([chunk("chunk1", 1)])
    assert not ledger.is_ahead


def test_the_only_writer_does_not_look_at_the_file_to_tell_the_balance(ledger, chunk):
    alone = Ledger.open(ledger.path, is_only_writer=True)
    statements = []
    alone._db.set_trace_callback(statements.append)
    for _ in range(3):
        assert alone.remaining == 1000 * MICRO and alone.units("label") == 0
    assert statements == []
    ledger.reserve([chunk("chunk0", 1)])
    assert ledger.remaining == 999 * MICRO
    alone.close()


def test_a_commit_overwrites_its_journal_and_flushes_it(ledger, chunk):
    ledger.reserve([chunk("chunk0", 1)])
    journal = ledger.path.with_name("ledger.db-journal")
    size = journal.stat().st_size
    ledger.reserve([chunk("chunk1", 1)])
    assert journal.stat().st_size == size > 0 and journal.read_bytes()[:28] == bytes(28)
    assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_what_is_booked_is_brought_on_disk_before_and_nothing_is_booked_where_it_cannot_be(ledger, chunk, content):
    before, seen = content(ledger.path), []

    def bring_on_disk():
        seen.append(content(ledger.path) == before)
        if len(seen) == 2:
            raise OSError("no space left on device")

    ledger.before_commit.append(bring_on_disk)
    with ledger.together():
        ledger.reserve([chunk("chunk0", 10)])
        ledger.reserve([chunk("chunk1", 10)])
    assert seen == [True] and ledger.reserved == 20 * MICRO
    before = content(ledger.path)
    with pytest.raises(OSError, match="no space left"):
        ledger.settle({"chunk0": 10})
    assert content(ledger.path) == before and (ledger.spent, ledger.reserved) == (0, 20 * MICRO)
