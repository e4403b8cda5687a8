"""Whole new ledger files: empty, from bookings known elsewhere, or from a file of an older version."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from operator import index
from pathlib import Path

from ...durable import publish
from ..ledger_file import LedgerError, as_damage, as_ledger_error, checked_copy, create_file, open_file, unfinished_file
from ..money import PRICED
from .log import Log, read_prices, write_prices
from .rows import Booking, Decision, Refused, exact
from .schema import VERSION
from .state import Books


def rebuild(
    path: str | Path,
    total_micro: int,
    prices: Mapping[str, int],
    bookings: Iterable[Booking] = (),
    decisions: Iterable[Mapping] = (),
) -> None:
    """Write a new ledger of these bookings, in their order; it appears whole or not at all and replaces no file.

    decisions: as `Ledger.decisions` gives them. Raises LedgerError for a booking that makes no sense where it comes.
    """
    path = Path(path)
    if set(prices) != set(PRICED) or min(prices.values()) <= 0 or total_micro <= 0:
        raise LedgerError(f"{path}: needs a positive total and prices of {PRICED}, got {total_micro} and {prices}")

    def fill(db: sqlite3.Connection) -> None:
        write_prices(db, {kind: index(price) for kind, price in prices.items()})
        log, books = Log(), Books()
        for booking in [Booking("raise_total", total=index(total_micro)), *bookings]:
            _append(db, log, books, booking)
        for one in decisions:
            texts = [json.dumps(one[part], allow_nan=False) for part in ("inputs", "outputs")]
            log.append_decision(db, Decision(0, float(one["time"]), index(one["phase"]), *texts))

    create_file(path, fill)


def upgrade(path: str | Path) -> Path | None:
    """Replace a ledger of an older version by one of today's with the same rows; the old one stays beside it.

    Returns where the old one is kept, None where there was nothing to do. A crash leaves one or the other in place.
    """
    path = Path(path)
    with closing(open_file(path)) as lock, closing(open_file(path)) as db, as_ledger_error(path):
        lock.execute(
            "BEGIN IMMEDIATE"
        )  # nobody writes into the old one meanwhile; SQLite copies from other connections only
        with closing(checked_copy(path, db)) as old:
            version = old.execute("PRAGMA user_version").fetchone()[0]
            if version == VERSION:
                return None
            kept = path.with_name(f"{path.stem}.version-{version}{path.suffix}")
            unfinished = unfinished_file(path, lambda new: _copy_rows(path, old, version, new))
        _keep(db, kept)
        publish(unfinished, path)
        lock.execute("ROLLBACK")
    return kept


def _append(db: sqlite3.Connection, log: Log, books: Books, booking: Booking) -> None:
    if booking.purchase is not None:
        booking = replace(booking, purchase=exact(booking.purchase))
    try:
        balance = books.after(booking, books.balance)
    except Refused as error:
        raise Refused(f"booking {books.last_id + 1}: {error}") from error
    entry = log.append_entry(db, booking, balance)
    books.take(entry.booking, entry.balance, entry.id)


def _copy_rows(path: Path, old: sqlite3.Connection, version: int, new: sqlite3.Connection) -> None:
    with as_damage(path):
        write_prices(new, read_prices(old, version))
        before, after, books = Log(version), Log(), Books()
        for entry in before.new_entries(old):
            books.check_and_take(entry)
            after.append_entry(new, entry.booking, entry.balance)
        for decision in before.new_decisions(old):
            after.append_decision(new, decision)


def _keep(db: sqlite3.Connection, kept: Path) -> None:
    """A copy of an open ledger, made by SQLite: to open and close the file beside it would drop SQLite's locks."""
    unfinished = kept.with_name(kept.name + ".tmp")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished)) as copy:
        db.backup(copy)
    publish(unfinished, kept)
