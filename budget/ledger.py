"""What the money bought: an append-only ledger in SQLite, in whole micro-coins, that refuses to pass the budget."""

import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from operator import index
from pathlib import Path
from typing import Literal

from ..errors import UserError
from .books.earned import settlement
from .books.log import Log, read_prices
from .books.rebuild import rebuild
from .books.rows import Booking, Decision, Entry, Refused, exact, first_difference
from .books.schema import VERSION
from .books.state import Books, KeyState, TimeWorked
from .ledger_file import DamagedLedger, LedgerError, as_damage, as_ledger_error, checked_copy, file_version, open_file
from .money import KINDS, MICRO, Balance, Paid, Purchase


class BudgetExceeded(UserError):
    """A reservation did not fit into what is left; nothing of it was written."""


class Diverged(UserError):
    """A rewound ledger was asked for another booking than the file holds next; nothing of the commit was written."""


@dataclass(frozen=True)
class Position:
    """How far a ledger was read or written: the numbers of the last rows. `asdict` and `Position(**record)` for JSON."""

    events: int
    decisions: int


class Ledger:
    """The one till of a run. Reserve before asking the seller, settle once what arrived is safe on disk under its key.

    Whatever crashes in between, `outstanding()` names the purchases whose fate has to be looked up, and they count as
    not available until then. Any number of processes may have the file open; each booking is one durable commit.

    After `rewind` everything is told as it stood at that position, and bookings are compared with the rows that follow
    instead of written, until those are used up: what a resumed run does again is not paid again.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, is_only_writer: bool):
        """Use `create` or `open`."""
        self.path = path
        self.is_only_writer = is_only_writer
        self.before_commit: list[Callable[[], None]] = []  # calls that bring on disk what is going to be booked
        self._db = connection
        self._depth = 0  # of `together`
        self._consumed = self._written = 0  # rows of the commit under way
        self._is_spoilt = False  # a call in the commit under way failed half way
        self._is_stale, self._go_back = False, None  # after a commit that failed: whether and where to read anew
        self._seen = self._data_version()  # before the copy: what comes between is looked for again
        with closing(checked_copy(path, connection)) as copy, as_damage(path):
            self.version = file_version(path, copy)
            self.prices: dict[str, int] = read_prices(copy, self.version)  # micro-coins a unit
            self._load(copy, None)

    @classmethod
    def create(cls, path: str | Path, total_micro: int, prices: dict[str, int]) -> "Ledger":
        """A new ledger with nothing bought. It appears under its name complete or not at all; never replaces one."""
        rebuild(path, total_micro, prices)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, is_only_writer: bool = False) -> "Ledger":
        """An existing ledger, checked to the last bit that means anything: damage is a LedgerError.

        is_only_writer: the caller holds a lock that keeps other writers out; then no look at the file is needed to
        tell the balance. One of version 1 can be read; to book in it, `upgrade` it first.
        """
        path = Path(path)
        connection = open_file(path)
        try:
            return cls(path, connection, is_only_writer)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self._db.close()

    def reserve(self, purchases: Iterable[Purchase]) -> None:
        """Set money aside for all of them, in one commit, or for none.

        A key that is reserved and still open is left as it is (the same call after a crash is the same purchase); a
        released key may be reserved again.

        Raises:
            BudgetExceeded: the sum does not fit into what remains.
            LedgerError: a key was settled before, is open with other terms, or stands twice in the list.
        """
        purchases = [exact(purchase) for purchase in purchases]
        if len({purchase.key for purchase in purchases}) < len(purchases):
            raise LedgerError(f"{self.path}: a key stands twice among the {len(purchases)} purchases to reserve")
        with self._booking() as books:
            wanted = [purchase for purchase in purchases if not books.is_reserved(purchase)]
            _check_fits(wanted, books.balance)
            self._book([Booking("reserve", purchase) for purchase in wanted])

    def settle(self, received: Mapping[str, int], terms: Mapping[str, Paid] | None = None) -> None:
        """Pay for what arrived: key -> units, at most those reserved; money for the rest is free again. One commit.

        terms: of those labels that cost less than was reserved, or whose rater is known. LedgerError for a higher price.
        """
        terms = terms or {}
        if extra := terms.keys() - received.keys():
            raise LedgerError(f"{self.path}: terms of {min(extra)}, which did not arrive")
        with self._booking() as books:
            self._book([settlement(books.open_purchase(key), units, terms.get(key)) for key, units in received.items()])

    def pay(self, works: Iterable[TimeWorked]) -> list[str]:
        """Pay people's time that brought no label, in its order, each where the money that is left suffices. One commit.

        A key that was paid already is left as it is. -> keys that could not be paid: nothing of them was booked.
        """
        with self._booking() as books:
            wanted, unpaid = books.payable(works)
            self._book([Booking("reserve", purchase) for purchase, _ in wanted])
            self._book([Booking("settle", purchase, note=note) for purchase, note in wanted])
        return unpaid

    def release(self, keys: Iterable[str]) -> None:
        """Give reserved purchases up: nothing of them arrived or will. One commit."""
        keys = list(keys)
        if len(set(keys)) < len(keys):
            raise LedgerError(f"{self.path}: a key stands twice among the {len(keys)} purchases to release")
        with self._booking() as books:
            self._book([Booking("release", books.open_purchase(key)) for key in keys])

    def write_off(self, lost: Mapping[str, int], reason: str) -> None:
        """Note that units that were paid for are lost: key -> units. The money stays spent, the counts fall. One commit."""
        reason = reason.encode("utf-8", "backslashreplace").decode()  # it may name a file whose name is no text
        with self._booking() as books:
            gone = [replace(books.settled_state(key).purchase, units=index(units)) for key, units in lost.items()]
            self._book([Booking("write_off", purchase, note=reason) for purchase in gone])

    def raise_total(self, total_micro: int) -> None:
        """A larger budget. The same one changes nothing; a smaller one is a LedgerError."""
        with self._booking() as books:
            if total_micro < books.balance.total:
                new, old = total_micro / MICRO, books.balance.total / MICRO
                raise LedgerError(f"budget.total: may only grow, from {old:,.6g} coins, got {new:,.6g}")
            if total_micro > books.balance.total:
                self._book([Booking("raise_total", total=index(total_micro))])

    def record_decision(self, phase: int, inputs: dict, outputs: dict) -> None:
        """Keep what an allocator knew and what it answered: plain JSON values, no NaN (ValueError)."""
        texts = json.dumps(inputs, allow_nan=False), json.dumps(outputs, allow_nan=False)
        with self._booking():
            self._decide(Decision(0, time.time(), index(phase), *texts))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make one durable commit of all bookings inside, or, if an error leaves the block, none of them.

        What they rely on is on disk before them: `before_commit`.
        """
        if self._depth:
            yield
            return
        if self.version != VERSION:
            raise LedgerError(
                f"{self.path}: a ledger of version {self.version} is only read, it must be upgraded first"
            )
        self._books_now()
        before = self.position if self.is_ahead else None  # None: the end, wherever others have moved it
        self._consumed = self._written = 0
        self._is_spoilt = False
        try:
            self._depth += 1
            self._execute("BEGIN IMMEDIATE")  # other writers wait from here on
            self._catch_up_with_others()
            yield
            self._check_commit()
            for bring_on_disk in self.before_commit:
                bring_on_disk()
            self._execute("COMMIT")
        except BaseException:
            if self._consumed or self._written:
                self._is_stale, self._go_back = True, before
            raise
        finally:
            self._depth -= 1
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @property
    def position(self) -> Position:
        """Of the last rows that count: the end of the file, or where a rewound ledger has come to."""
        books = self._books_now()
        return Position(books.last_id, len(self._decisions))

    @property
    def is_ahead(self) -> bool:
        """Whether the file holds rows after the position."""
        self._books_now()
        return bool(self._entries_ahead or self._decisions_ahead)

    def rewind(self, position: Position) -> None:
        """Tell and compare everything from `position` on, as if the rows after it were still to come.

        Raises LedgerError for a position that the file does not have.
        """
        assert not self._depth, "a commit is under way"
        if position == self.position:
            return
        ends = self._log.last
        if not (1 <= position.events <= ends["events"] and 0 <= position.decisions <= ends["decisions"]):
            raise DamagedLedger(
                f"{self.path}: {ends['events']} bookings and {ends['decisions']} decisions, fewer than the position that "
                f"is asked for has: {position.events} and {position.decisions}; rows or a newer ledger are missing"
            )
        self._go_to(position)

    def catch_up(self) -> None:
        """Take all rows of the file for done: the position is its end."""
        assert not self._depth, "a commit is under way"
        self._go_to(None)

    def outstanding(self) -> list[Purchase]:
        """Reserved, neither settled nor released, oldest first."""
        return self._books_now().outstanding()

    def state_of_keys(self) -> dict[str, KeyState]:
        """Every key that was ever reserved: its last event, its terms, and the units settled and written off."""
        return dict(self._books_now().keys)

    def balance(self) -> Balance:
        """All of the position in one consistent read."""
        return self._books_now().balance

    @property
    def total(self) -> int:
        return self.balance().total

    @property
    def spent(self) -> int:
        return self.balance().spent

    @property
    def reserved(self) -> int:
        return self.balance().reserved

    @property
    def remaining(self) -> int:
        return self.balance().remaining

    def units(self, kind: Literal["transition", "label"]) -> int:
        """Units of `kind` settled so far and not written off."""
        return {"transition": self.balance().transitions, "label": self.balance().labels}[kind]

    def by_tier(self) -> dict[str, dict[str, int]]:
        """Tier -> {"labels": units settled and not lost, "spent": micro-coins, "written_off": units lost,
        "written_off_spent": of the micro-coins, those for them}. Transitions have no tiers and do not appear."""
        return self._books_now().by_tier()

    def by_rater(self) -> dict[str, dict]:
        """Name -> {"labels", "spent" (micro-coins), "seconds"} of labels given, lost ones too, {"work_spent", "work_seconds"}."""
        return self._books_now().by_rater()

    def mean_price(self, kind: Literal["label"], tier: str = "default") -> int | None:
        """Micro-coins that the last labels of a tier cost on average; None while there are too few to say."""
        return self._books_now().mean_price(tier)

    def summary(self) -> dict:
        """What `tandem ledger` prints: money in coins, counts of units settled."""
        return self._books_now().summary()

    def decisions(self) -> list[dict]:
        """All of them in order: {"time" (seconds since the epoch), "phase", "inputs", "outputs"}."""
        self._books_now()
        return [decision.record() for decision in self._decisions]

    @contextmanager
    def _booking(self) -> Iterator[Books]:
        """Inside `together` or alone: what is refused raises LedgerError and leaves all as it was."""
        with self.together():
            done = self._consumed + self._written
            try:
                with as_ledger_error(self.path):
                    yield self._books
            except BaseException:
                self._is_spoilt |= self._consumed + self._written > done
                raise

    def _book(self, bookings: list[Booking]) -> None:
        """Plan all, then take them from the rows ahead or write them. Their keys are different ones."""
        balance, planned = self._books.balance, []
        for booking in bookings:
            balance = self._books.after(booking, balance)
            planned.append((booking, balance))
        for booking, balance in planned:
            if self._is_next(booking):
                entry = self._entries_ahead.popleft()
                if (entry.booking, entry.balance) != (booking, balance):
                    raise Diverged(
                        f"{self.path}: booking {entry.id} is: {entry.booking}; the resumed run makes: {booking}"
                    )
            else:
                entry = self._log.append_entry(self._db, booking, balance)
            self._books.take(entry.booking, entry.balance, entry.id)

    def _decide(self, decision: Decision) -> None:
        if self._is_next(decision):
            expected = self._decisions_ahead.popleft()
            if difference := first_difference(expected, decision):
                raise Diverged(f"{self.path}: decision {expected.id}: {difference}")
            self._decisions.append(expected)
        else:
            self._decisions.append(self._log.append_decision(self._db, decision))

    def _is_next(self, row: Booking | Decision) -> bool:
        """Whether the file says what comes next; else `row` is to be written, which no row of either kind may follow."""
        ahead, others = self._entries_ahead, self._decisions_ahead
        if isinstance(row, Decision):
            ahead, others = others, ahead
        if ahead:
            self._consumed += 1
            return True
        if others:
            raise Diverged(f"{self.path}: next is: {others[0]}; the resumed run makes: {row}")
        self._written += 1
        return False

    def _check_commit(self) -> None:
        if self._is_spoilt:
            raise LedgerError(f"{self.path}: a booking failed half way, nothing of its commit is written")
        if self._consumed and self._written:  # one commit is in a file whole or not at all
            rows = self._consumed + self._written
            raise Diverged(f"{self.path}: ends after {self._consumed} of {rows} rows that the resumed run makes as one")

    def _books_now(self) -> Books:
        if self._is_stale:
            self._go_to(self._go_back)
            self._is_stale = False
        if not self.is_only_writer:
            self._catch_up_with_others()
        return self._books

    def _catch_up_with_others(self) -> None:
        """Read what other processes have written since the last look."""
        seen = self._data_version()
        if seen != self._seen:
            with as_damage(self.path):
                self._add(self._log.new_entries(self._db), self._log.new_decisions(self._db), None)
            self._seen = seen

    def _data_version(self) -> int:
        """A number that changes when others have written."""
        return self._execute("PRAGMA data_version").fetchone()[0]

    def _go_to(self, position: Position | None) -> None:
        with as_damage(self.path):
            self._load(self._db, position)

    def _load(self, db: sqlite3.Connection, position: Position | None) -> None:
        """All rows anew: up to `position` they are counted, the rest lies ahead. None: nothing does."""
        self._log, self._books = Log(self.version), Books()
        self._decisions: list[Decision] = []
        self._entries_ahead: deque[Entry] = deque()
        self._decisions_ahead: deque[Decision] = deque()
        self._add(self._log.new_entries(db), self._log.new_decisions(db), position)
        if not self._books.last_id:
            raise Refused("no booking, not even of the total")

    def _add(self, entries: list[Entry], decisions: list[Decision], position: Position | None) -> None:
        """Count rows that were read, up to `position` and as long as nothing lies ahead of them."""
        for entry in entries:
            if self._entries_ahead or self._decisions_ahead or (position and entry.id > position.events):
                self._entries_ahead.append(entry)
            else:
                self._books.check_and_take(entry)
        for decision in decisions:
            if self._decisions_ahead or (position and decision.id > position.decisions):
                self._decisions_ahead.append(decision)
            else:
                self._decisions.append(decision)

    def _execute(self, statement: str) -> sqlite3.Cursor:
        with as_ledger_error(self.path):
            return self._db.execute(statement)


def _check_fits(wanted: list[Purchase], balance: Balance) -> None:
    cost = sum(purchase.cost for purchase in wanted)
    if cost > balance.remaining:
        kinds = " and ".join(f"{kind}s" for kind in KINDS if any(purchase.kind == kind for purchase in wanted))
        asked, left, total = (f"{micro / MICRO:,.15g}" for micro in (cost, balance.remaining, balance.total))
        raise BudgetExceeded(f"{kinds}: asked {asked} coins, left {left} of {total}")
