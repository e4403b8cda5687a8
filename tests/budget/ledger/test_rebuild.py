"""Whole new ledgers: from bookings that are known elsewhere, and from the files of older versions."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tandem.budget.books import rebuild as rebuilding
from tandem.budget.books.rebuild import rebuild, upgrade
from tandem.budget.books.rows import Booking
from tandem.budget.ledger import Ledger
from tandem.budget.ledger_file import LedgerError
from tandem.budget.money import MICRO, Purchase
from tandem.budget.reports.verify import read_all, verify_ledger

OLDER = Path(__file__).resolve().parents[2] / "older_runs"


def test_a_lost_ledger_is_written_again_from_its_bookings(busy, tmp_path, all_of):
    rows = read_all(busy.path)
    again = tmp_path / "again.db"
    assert str(rows.entries[0].booking) == "raise_total to 1,000 coins"
    rebuild(again, 1000 * MICRO, rows.prices, [entry.booking for entry in rows.entries[1:]], busy.decisions())
    with closing(Ledger.open(again)) as ledger:
        assert all_of(ledger) == all_of(busy)
    made, first = read_all(again), rows.entries[0]
    assert made.entries[1:] == rows.entries[1:] and made.entries[0].booking == first.booking
    assert [entry.booking.time for entry in made.entries[1:]] == [entry.booking.time for entry in rows.entries[1:]]


def test_a_booking_that_makes_no_sense_leaves_no_file(tmp_path, chunk):
    path, prices = tmp_path / "ledger.db", {"transition": MICRO, "label": 4 * MICRO}
    for bookings, complaint in (
        ([Booking("settle", chunk("chunk0", 1))], "booking 2: chunk0 is not reserved"),
        (
            [Booking("reserve", chunk("chunk0", 6)), Booking("reserve", chunk("chunk0", 6))],
            "booking 3: chunk0 is reserved",
        ),
        ([Booking("reserve", chunk("chunk0", 11))], "booking 2: chunk0 costs 11 of 10"),
        ([Booking("raise_total", total=5)], "booking 2: the total may only grow"),
        ([Booking("reserve", chunk("k", 3)), Booking("release", chunk("k", 2))], "k gives up 2 units, reserved were 3"),
        ([Booking("reserve", chunk("k", 3)), Booking("settle", Purchase("k", "label", 1, MICRO))], "k is reserved as"),
    ):
        with pytest.raises(LedgerError, match=complaint):
            rebuild(path, 10 * MICRO, prices, bookings)
        assert list(tmp_path.iterdir()) == []


def test_numbers_from_arrays_are_written_as_integers(tmp_path):
    path, units = tmp_path / "ledger.db", np.int64(3)
    bought = Booking("reserve", Purchase("chunk0", "transition", units, MICRO))
    rebuild(path, np.int64(10 * MICRO), {"transition": MICRO, "label": MICRO}, [bought])
    assert verify_ledger(path)


def test_no_file_is_replaced(busy):
    with pytest.raises(LedgerError, match="exists already"):
        rebuild(busy.path, MICRO, busy.prices)


def test_the_journal_of_a_lost_ledger_is_not_played_into_the_new_one(busy, tmp_path):
    busy.close()
    with closing(sqlite3.connect(busy.path, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        for number in range(300):  # more than the cache holds: the journal is on disk, and the file half changed
            db.execute("INSERT INTO decisions VALUES (NULL, 0, 0, ?, '', x'')", (f"{number}" * 100,))
        hot = (tmp_path / "ledger.db-journal").read_bytes()
        db.execute("ROLLBACK")
    busy.path.unlink()
    (tmp_path / "ledger.db-journal").write_bytes(hot)
    rebuild(busy.path, 7 * MICRO, busy.prices)
    with closing(Ledger.open(busy.path)) as ledger:
        assert ledger.total == 7 * MICRO and ledger.position.events == 1


@pytest.fixture
def older(tmp_path) -> Path:
    shutil.unpack_archive(OLDER / "0.1.tar.gz", tmp_path)
    return tmp_path / "0.1" / "ledger.db"


def test_a_ledger_of_version_1_is_read_but_not_written(older, chunk):
    with closing(Ledger.open(older)) as ledger:
        assert ledger.version == 1 and ledger.spent == 320 * MICRO
        with pytest.raises(LedgerError, match="of version 1 is only read, it must be upgraded first"):
            ledger.raise_total(400 * MICRO)
        assert ledger.total == 320 * MICRO
    assert "version 1 has none" in verify_ledger(older)[2]


def test_an_upgraded_ledger_says_the_same_and_the_old_one_is_kept(older, content):
    before, rows = content(older), read_all(older)
    assert upgrade(older) == (kept := older.with_name("ledger.version-1.db"))
    assert content(older) == content(kept) == before
    now = read_all(older)
    assert (now.version, now.prices, now.entries, now.decisions) == (3, rows.prices, rows.entries, rows.decisions)
    assert [one.booking.time for one in now.entries] == [one.booking.time for one in rows.entries]
    assert read_all(kept) == rows
    assert upgrade(older) is None
    with closing(Ledger.open(older)) as ledger:
        ledger.raise_total(400 * MICRO)
    assert sorted(path.name for path in older.parent.glob("*.tmp")) == []


@pytest.mark.parametrize("step", [1, 2])
def test_an_upgrade_that_is_cut_off_leaves_the_old_ledger_and_can_be_made_again(older, content, monkeypatch, step):
    before, steps = content(older), []

    def cut_off(unfinished, path):
        steps.append(path)
        if len(steps) == step:
            raise KeyboardInterrupt
        publish(unfinished, path)

    publish = rebuilding.publish
    monkeypatch.setattr(rebuilding, "publish", cut_off)
    with pytest.raises(KeyboardInterrupt):
        upgrade(older)
    assert content(older) == before and read_all(older).version == 1
    monkeypatch.undo()
    assert upgrade(older) and content(older) == before and read_all(older).version == 3


def test_a_damaged_ledger_of_version_1_is_not_upgraded(older):
    with sqlite3.connect(older) as db:
        made = db.execute("SELECT sql FROM sqlite_master WHERE name = 'events_no_UPDATE'").fetchone()[0]
        db.execute("DROP TRIGGER events_no_UPDATE")
        db.execute("UPDATE events SET units = units - 1 WHERE id = 3")
        db.execute(made)
    db.close()
    whole = older.read_bytes()
    with pytest.raises(LedgerError, match="damaged: booking 3: the events add up to"):
        upgrade(older)
    assert older.read_bytes() == whole
