"""A damaged ledger: bookings that can still be read, each proved by its hash, put into a new file."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from ....budget.books.log import read_prices
from ....budget.books.rebuild import rebuild
from ....budget.books.rows import Booking, Decision, Entry, Refused, link, root
from ....budget.books.schema import VERSION
from ....budget.books.state import Books
from ....budget.ledger_file import LedgerError
from ....budget.money import MICRO, to_micro
from ....budget.reports.verify import verify_ledger
from ...config import Config
from .bench import Bench

COLUMNS = {
    "events": "id, time, event, key, kind, units, price_micro, tier, note, total, spent, reserved, transitions, labels",
    "decisions": "id, time, phase, inputs, outputs",
}


@dataclass
class Rescued:
    """What a damaged ledger still says."""

    entries: list[Entry] = field(default_factory=list)  # in their order, with gaps
    decisions: list[Decision] = field(default_factory=list)
    prices: dict[str, int] | None = None


def mend_ledger(bench: Bench, config: Config) -> bool:
    """Replace a damaged or missing ledger by one of the bookings that can be read. -> whether it was one

    What the journals know beside them is booked afterwards, by `settle_accounts`.
    """
    path = bench.folder.ledger
    unfinished = path.with_name(path.name + ".repaired")
    unfinished.unlink(missing_ok=True)
    try:
        verify_ledger(path)
    except LedgerError as error:
        why = str(error).removeprefix(f"{path}: ")
    else:
        return False
    bench.are_rows_changed = True
    found = _rescued(path) if path.exists() else Rescued()
    _write(unfinished, found, config)
    journal = path.with_name(path.name + "-journal")
    if journal.exists():
        bench.set_aside(journal, "it belongs to the damaged ledger")
    bench.replace(path, why, unfinished.replace)
    bench.say(
        f"rescued: {len(found.entries):,} bookings and {len(found.decisions):,} decisions that the ledger still held"
    )
    return True


def _write(path: Path, found: Rescued, config: Config) -> None:
    """A new ledger. A booking that no longer makes sense where it comes has what it needs put before it, or is left out."""
    entries, books = found.entries, Books()
    first = entries[0].booking if entries and entries[0].id == 1 else Booking("raise_total", total=_total(found, config))
    bookings: list[Booking] = []
    _take(books, first)
    for entry in entries:
        if entry.id == 1:
            continue  # it is `first`
        for booking in _with_what_it_needs(books, entry.booking):
            _take(books, booking)
            bookings.append(booking)
    prices = found.prices or config.price.in_micro()
    assert first.total is not None, "a ledger begins with its total"
    rebuild(path, first.total, prices, bookings, [decision.record() for decision in found.decisions])


def _total(found: Rescued, config: Config) -> int:
    return max([to_micro(config.budget.total), *(entry.balance.total for entry in found.entries)])


def _take(books: Books, booking: Booking) -> None:
    books.take(booking, books.after(booking, books.balance), books.last_id + 1)


def _with_what_it_needs(books: Books, booking: Booking) -> list[Booking]:
    """The booking, after those that it follows from and that are lost; nothing where it cannot be."""
    try:
        books.after(booking, books.balance)
    except Refused:
        before = _before(books, booking)
    else:
        return [booking]
    trial = replace(books, keys=dict(books.keys), sold=dict(books.sold))
    try:
        for one in (*before, booking):
            _take(trial, one)
    except Refused:
        return []
    return [*before, booking]


def _before(books: Books, booking: Booking) -> list[Booking]:
    bought = booking.purchase
    if bought is None or booking.event == "reserve":
        return []
    state, before = books.keys.get(bought.key), []
    if state is None or state.event == "release":
        before.append(Booking("reserve", bought, time=booking.time))
    if booking.event == "write_off" and (state is None or state.event in ("reserve", "release")):
        before.append(Booking("settle", bought, time=booking.time))
    return before


def _rescued(path: Path) -> Rescued:
    """Read from a copy, which SQLite may change as it likes."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / path.name
        shutil.copyfile(path, copy)
        try:
            with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
                return _read(db)
        except sqlite3.Error:
            return Rescued()


def _read(db: sqlite3.Connection) -> Rescued:
    version = 2 if _has_hashes(db) else 1
    found = Rescued(entries=list(_entries(db, version)), decisions=list(_decisions(db, version)))
    try:
        found.prices = read_prices(db, version)
    except (Refused, sqlite3.Error, UnicodeError, TypeError):
        found.prices = None
    return found


def _has_hashes(db: sqlite3.Connection) -> bool:
    try:
        db.execute("SELECT hash FROM prices").fetchall()
    except sqlite3.OperationalError as error:
        return "no such column" not in str(error)
    except sqlite3.Error:
        return True
    return True


def _entries(db: sqlite3.Connection, version: int) -> Iterator[Entry]:
    for values in _proved(db, "events", version):
        try:
            yield Entry.from_values(values)
        except Refused:
            continue


def _decisions(db: sqlite3.Connection, version: int) -> Iterator[Decision]:
    for values in _proved(db, "decisions", version):
        try:
            yield Decision.from_values(values)
        except Refused:
            continue


def _proved(db: sqlite3.Connection, table: str, version: int) -> Iterator[tuple]:
    """Rows whose hash follows from the row before; those of version 1, which has no hashes, as far as their sums are right."""
    rows = _rows(db, table, version)
    if version < VERSION:
        yield from _summed(rows) if table == "events" else rows.values()
        return
    for number in sorted(rows):
        *row, written = rows[number]
        before = root(table) if number == 1 else rows[number - 1][-1] if number - 1 in rows else None
        values = tuple(row)
        is_plain = not any(isinstance(value, bytes) for value in values)
        if isinstance(before, bytes) and is_plain and link(before, values) == written:
            yield values


def _summed(rows: dict[int, tuple]) -> Iterator[tuple]:
    books = Books()
    for number in sorted(rows):
        try:
            books.check_and_take(Entry.from_values(rows[number]))
        except Refused:
            return
        yield rows[number]


def _rows(db: sqlite3.Connection, table: str, version: int) -> dict[int, tuple]:
    """By their numbers, from the front and from the back, as far as SQLite can read either way."""
    columns = COLUMNS[table] + ", hash" if version == VERSION else COLUMNS[table].replace("note", "NULL")
    found: dict[int, tuple] = {}
    for order in ("ASC", "DESC"):
        try:
            for row in db.execute(f"SELECT {columns} FROM {table} ORDER BY id {order}"):
                if isinstance(row[0], int):
                    found[row[0]] = row
        except (sqlite3.Error, UnicodeError):
            continue
        break
    return found


def in_coins(micro: int) -> str:
    """As a person reads it."""
    return f"{micro / MICRO:,.15g} coins"
