"""The two chains of rows in a ledger file: read in order and checked, or lengthened by one."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from ..money import PRICED, Balance
from .rows import Booking, Decision, Entry, Refused, link, root
from .schema import CHAINS, VERSION

Row = TypeVar("Row", Entry, Decision)
_BALANCE = "total, spent, reserved, transitions, labels"
_ENTRY = "id, time, event, key, kind, units, price_micro, tier, note, " + _BALANCE
_DECISION = "id, time, phase, inputs, outputs"
_READ = {
    1: {
        "events": f"SELECT {_ENTRY.replace('note', 'NULL')}, NULL FROM events WHERE id > ? ORDER BY id",
        "decisions": f"SELECT {_DECISION}, NULL FROM decisions WHERE id > ? ORDER BY id",
    },
    2: {
        "events": f"SELECT {_ENTRY}, hash FROM events WHERE id > ? ORDER BY id",
        "decisions": f"SELECT {_DECISION}, hash FROM decisions WHERE id > ? ORDER BY id",
    },
}
_READ[3] = _READ[2]


class Log:
    """How far the rows of a file are known: the last number and hash of either chain."""

    def __init__(self, version: int = VERSION):
        """version: of the file. Rows of version 1 have no hashes, only their form is checked."""
        self.version = version
        self.last: dict[str, int] = dict.fromkeys(CHAINS, 0)
        self.hashes: dict[str, bytes] = {table: root(table) for table in CHAINS}

    def new_entries(self, db: sqlite3.Connection) -> list[Entry]:
        """Bookings that came after the last known one; raises Refused where they do not go on from it."""
        return [self._numbered("booking", values, Entry.from_values) for values in self._new(db, "events")]

    def new_decisions(self, db: sqlite3.Connection) -> list[Decision]:
        """The same of decisions."""
        return [self._numbered("decision", values, Decision.from_values) for values in self._new(db, "decisions")]

    def append_entry(self, db: sqlite3.Connection, booking: Booking, balance: Balance) -> Entry:
        """Write a booking, with the time of now if it has none."""
        if booking.time is None:
            booking = replace(booking, time=time.time())
        entry = Entry(self.last["events"] + 1, booking, balance)
        self._append(db, "events", _ENTRY, entry.values())
        return entry

    def append_decision(self, db: sqlite3.Connection, decision: Decision) -> Decision:
        """Write a decision under the next number."""
        decision = replace(decision, id=self.last["decisions"] + 1)
        self._append(db, "decisions", _DECISION, decision.values())
        return decision

    def _new(self, db: sqlite3.Connection, table: str) -> Iterator[tuple]:
        """Columns without the hash, which is checked."""
        for *row, written in db.execute(_READ[self.version][table], (self.last[table],)):
            values, number = tuple(row), self.last[table] + 1
            if values[0] != number:
                raise Refused(f"row {number} of {table} is missing")
            if self.version > 1:
                self.hashes[table] = link(self.hashes[table], values) if _is_plain(values) else b""
                if written != self.hashes[table]:
                    raise Refused(f"row {number} of {table} does not match its hash")
            self.last[table] = number
            yield values

    def _append(self, db: sqlite3.Connection, table: str, columns: str, values: tuple) -> None:
        self.hashes[table] = link(self.hashes[table], values)
        self.last[table] = values[0]
        marks = ", ".join("?" * (len(values) + 1))
        db.execute(f"INSERT INTO {table} ({columns}, hash) VALUES ({marks})", (*values, self.hashes[table]))

    @staticmethod
    def _numbered(noun: str, values: tuple, make: Callable[[tuple], Row]) -> Row:
        try:
            return make(values)
        except Refused as error:
            raise Refused(f"{noun} {values[0]}: {error}") from error


def read_prices(db: sqlite3.Connection, version: int) -> dict[str, int]:
    """Kind -> micro-coins a unit; raises Refused where they are not as they were written."""
    rows = db.execute(f"SELECT kind, price_micro, {'NULL' if version == 1 else 'hash'} FROM prices").fetchall()
    if sorted(str(kind) for kind, *_ in rows) != sorted(PRICED) or any(type(price) is not int for _, price, _ in rows):
        raise Refused(f"prices of {PRICED} are expected, got {[row[:2] for row in rows]}")
    for kind, price, written in rows:
        if version > 1 and written != link(root("prices"), (kind, price)):
            raise Refused(f"the price of a {kind} does not match its hash")
    return {kind: price for kind, price, _ in rows}


def write_prices(db: sqlite3.Connection, prices: dict[str, int]) -> None:
    rows = [(kind, prices[kind], link(root("prices"), (kind, prices[kind]))) for kind in PRICED]
    db.executemany("INSERT INTO prices VALUES (?, ?, ?)", rows)


def _is_plain(values: tuple) -> bool:
    """Whether nothing is a blob, which JSON does not know and no ledger holds there."""
    return not any(isinstance(value, bytes) for value in values)
