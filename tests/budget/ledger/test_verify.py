"""`tandem ledger RUN --verify`: every invariant of a ledger, also of one that is being written to."""

import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import tandem.cli
from tandem.budget.books.log import Log
from tandem.budget.books.rows import Booking
from tandem.budget.books.state import Books
from tandem.budget.ledger import Ledger
from tandem.budget.money import MICRO, Balance, Purchase
from tandem.budget.reports.verify import verify_ledger

ROOT = Path(__file__).parents[3]


def test_what_was_checked_is_said(busy, capsys):
    assert tandem.cli.main(["ledger", str(busy.path.parent), "--verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == verify_ledger(busy.path)
    assert lines[0] == "ok: 9 bookings of 3 purchases, 2 decisions"
    assert lines[-1].startswith("prices: 1 coins a transition, 4 coins a label")


@pytest.mark.parametrize(
    ("booking", "complaint"),
    [
        (Booking("settle", Purchase("q7", "label", 1, 4 * MICRO)), "q7 is not reserved (last booking: None)"),
        (Booking("reserve", Purchase("q0", "label", 1, 4 * MICRO)), "q0 is paid for already"),
        (Booking("reserve", Purchase("q2", "label", 1, 3 * MICRO)), "q2 at 3 coins each, the price is 4"),
        (Booking("reserve", Purchase("c1", "transition", 2000, MICRO)), "c1 costs 2,000 of 1,958"),
        (
            Booking("write_off", Purchase("chunk0", "transition", 36, MICRO), note="?"),
            "cannot lose 36 units, 35 are held",
        ),
        (Booking("raise_total", total=1999 * MICRO), "the total may only grow"),
    ],
)
def test_the_first_fault_is_said_in_one_line(busy, capsys, booking, complaint):
    """Rows that are hashed as they should be, and make no sense."""
    log, books = Log(), Books()
    for entry in log.new_entries(busy._db):
        books.check_and_take(entry)
    log.append_entry(busy._db, booking, Balance(booking.total or busy.total, busy.spent, 0, 35, 1))
    assert tandem.cli.main(["ledger", str(busy.path.parent), "--verify"]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"error: {busy.path}: damaged: booking 10: ") and complaint in line and line.count("\n") == 1


def test_sqlite_itself_refuses_to_pay_a_key_twice(busy):
    log = Log()
    log.new_entries(busy._db)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        log.append_entry(busy._db, Booking("settle", Purchase("q0", "label", 1, 4 * MICRO)), busy.balance())


WRITER = """
    import sys
    from tandem.budget.ledger import Ledger
    from tandem.budget.money import Purchase

    ledger = Ledger.open(sys.argv[1], is_only_writer=True)
    print("ready", flush=True)
    for number in range(10_000):
        with ledger.together():
            ledger.reserve([Purchase(f"c{number}", "transition", 1, 1_000_000)])
            ledger.settle({f"c{number}": 1})
            ledger.record_decision(number, {}, {})
"""


@pytest.mark.run
def test_a_ledger_is_verified_while_another_process_writes(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger.create(path, 10_000_000 * MICRO, {"transition": MICRO, "label": MICRO}).close()
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "ready\n"
        told, deadline = [verify_ledger(path)[0]], time.monotonic() + 60
        while len(set(told)) < 5 and time.monotonic() < deadline:  # the writer goes on
            told.append(verify_ledger(path)[0])
            time.sleep(0.02)  # who reads without a pause leaves a writer no turn
        writer.kill()
    counts = [[int(word.replace(",", "")) for word in line.split() if word[0].isdigit()] for line in told]
    assert all(bookings == 2 * decisions + 1 for bookings, _, decisions in counts)  # one instant
    assert counts == sorted(counts) and len(set(told)) >= 5
