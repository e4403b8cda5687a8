"""A damaged ledger file: said in one line with its name, or read as if nothing had happened."""

import sqlite3
from contextlib import closing

import pytest

from tandem.budget.books.log import Log
from tandem.budget.books.schema import make_tables
from tandem.budget.ledger import Ledger
from tandem.budget.ledger_file import LedgerError, file_version
from tandem.budget.money import MICRO
from tandem.budget.reports.verify import read_all


def said(path) -> str:
    """The one line in which the file is refused."""
    with pytest.raises(LedgerError) as error:
        Ledger.open(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line.removeprefix(f"{path}: ")


def flip_bits(path, content, every: int) -> int:
    """Flip each bit of each `every`-th byte in turn. -> how many flips were noticed; all others change nothing."""
    whole, before, noticed = path.read_bytes(), (content(path), read_all(path)), 0
    for place in range(0, len(whole), every):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                assert (content(path), read_all(path)) == before, (place, bit)
            except LedgerError as error:
                assert str(path) in str(error) and "\n" not in str(error)
                noticed += 1
    path.write_bytes(whole)
    assert content(path) == before[0]
    return noticed


def test_a_flipped_bit_is_noticed_or_harmless(busy, content):
    busy.close()
    assert flip_bits(busy.path, content, every=211) > 100


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_noticed_or_harmless(busy, content):
    busy.close()
    assert flip_bits(busy.path, content, every=41) > 500


def test_a_file_cut_short_anywhere_is_refused(busy):
    busy.close()
    whole = busy.path.read_bytes()
    for length in [*range(0, len(whole), 509), len(whole) - 1]:
        busy.path.write_bytes(whole[:length])
        said(busy.path)


def test_what_stands_in_place_of_the_file_is_said(busy, tmp_path):
    busy.close()
    busy.path.unlink()
    assert said(busy.path) == "no ledger there"
    busy.path.mkdir()
    assert said(busy.path) == "no ledger there"
    assert not (tmp_path / "absent.db").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("UPDATE events SET key = 'other' WHERE id = 2", "row 2 of events does not match its hash"),
        ("UPDATE events SET tier = 'dear' WHERE id = 3", "row 3 of events does not match its hash"),
        ("UPDATE events SET key = CAST(x'ff0a' AS TEXT) WHERE id = 2", "UTF-8"),
        ("UPDATE events SET key = x'6368' WHERE id = 2", "row 2 of events does not match its hash"),
        ("UPDATE events SET note = 5 WHERE id = 8", "row 8 of events does not match its hash"),
        ("DELETE FROM events WHERE id = 4", "row 4 of events is missing"),
        ("UPDATE decisions SET outputs = '{}' WHERE id = 1", "row 1 of decisions does not match its hash"),
        ("UPDATE decisions SET inputs = CAST(x'ff' AS TEXT) WHERE id = 1", "UTF-8"),
        ("UPDATE prices SET price_micro = 3 WHERE kind = 'label'", "the price of a label does not match its hash"),
        ("DELETE FROM prices WHERE kind = 'label'", "prices of"),
        ("DROP TRIGGER keep", "tables and triggers"),
    ],
)
def test_a_changed_row_is_refused(busy, change, complaint):
    with sqlite3.connect(busy.path) as outside:
        made = outside.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in made:
            outside.execute(f"DROP TRIGGER {name}")
        if "keep" not in change:
            outside.execute(change)
            for _, text in made:
                outside.execute(text)
    outside.close()
    assert complaint in said(busy.path)


def test_the_last_row_cannot_be_taken_away_unnoticed_by_its_reader(busy):
    # A chain does not know its own end: who keeps a position does.
    position = busy.position
    with sqlite3.connect(busy.path) as outside:
        made = outside.execute("SELECT sql FROM sqlite_master WHERE name = 'events_no_DELETE'").fetchone()[0]
        outside.execute("DROP TRIGGER events_no_DELETE")
        outside.execute("DELETE FROM events WHERE id = 9")
        outside.execute(made)
    outside.close()
    with (
        closing(Ledger.open(busy.path)) as ledger,
        pytest.raises(LedgerError, match="8 bookings and 2 decisions, fewer"),
    ):
        ledger.rewind(position)


def test_rows_without_hashes_must_still_look_like_rows(tmp_path):
    for number, (column, value) in enumerate([("time", "soon"), ("key", 5), ("total", 2.5), ("kind", "favour")]):
        path = tmp_path / f"{number}.db"
        with closing(sqlite3.connect(path)) as db:
            make_tables(db, 1)
            db.executemany("INSERT INTO prices VALUES (?, ?)", [("transition", MICRO), ("label", 4 * MICRO)])
            row = {"time": 0.0, "event": "raise_total", "total": MICRO, "spent": 0, "reserved": 0}
            row |= {"transitions": 0, "labels": 0, column: value}
            marks = ", ".join("?" * len(row))
            db.execute(f"INSERT INTO events ({', '.join(row)}) VALUES ({marks})", list(row.values()))
            db.commit()
        assert said(path).startswith("damaged: ")


def test_a_file_that_rots_while_it_is_open_is_refused_at_the_next_commit(busy, chunk):
    rival = Ledger.open(busy.path)
    rival.reserve([chunk("chunk1", 1)])
    busy._log.hashes["events"] = b"another history"
    with pytest.raises(LedgerError, match="row 10 of events does not match its hash"):
        busy.balance()
    rival.close()


def test_todays_files_are_of_version_3(busy):
    with closing(sqlite3.connect(busy.path)) as db:
        assert file_version(busy.path, db) == Log().version == 3
