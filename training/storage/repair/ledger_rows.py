"""A damaged ledger: bookings that can still be read, each proved by its hash, put into a new file."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ....budget.books.rebuild import rebuild
from ....budget.books.rows import Booking, Decision, Entry, Refused, link, root
from ....budget.books.state import Books
from ....budget.ledger_file import LedgerError
from ....budget.money import MICRO, PRICED, to_micro
from ....budget.reports.verify import verify_ledger
from ....durable import publish
from ...config import Config
from .bench import Bench
from .pages import rows_in

# Columns of a row by table and version; version 1 has no notes and no hashes.
EVENTS, OLD_EVENTS, DECISIONS, OLD_DECISIONS, PRICES = 15, 13, 6, 5, 3
NOTE = 8  # column of an event
Record = TypeVar("Record", Entry, Decision)


@dataclass
class Rescued:
    """What a damaged ledger still says."""

    entries: list[Entry] = field(default_factory=list)  # in their order, with gaps
    decisions: list[Decision] = field(default_factory=list)
    prices: dict[str, int] | None = None


def mend_ledger(bench: Bench, config: Config, decisions: int) -> bool:
    """Replace a damaged or missing ledger by one of the bookings that can be read. -> whether it was one

    What the journals know beside them is booked afterwards, by `settle_accounts`. decisions: there were at least so many.
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
    found = rescued(path) if path.exists() else Rescued()
    _write(unfinished, found, config)
    journal = path.with_name(path.name + "-journal")
    if journal.exists():
        bench.set_aside(journal, "it belongs to the damaged ledger")
    bench.replace(path, why, lambda new: publish(unfinished, new))
    bench.say(f"rescued: {len(found.entries):,} bookings and {len(found.decisions):,} decisions of the damaged ledger")
    if len(found.decisions) < decisions:
        bench.say(f"lost: {decisions - len(found.decisions):,} of {decisions:,} decisions of the allocator")
    return True


def _write(path: Path, found: Rescued, config: Config) -> None:
    """A new ledger. A booking that no longer makes sense where it comes has what it needs put before it, or is left out."""
    entries, books = found.entries, Books()
    is_begun = bool(entries) and entries[0].id == 1
    first = entries[0].booking if is_begun else Booking("raise_total", total=_total(found, config))
    prices = found.prices or config.price.in_micro()
    bookings: list[Booking] = []
    _take(books, first)
    for entry in entries[int(is_begun) :]:
        for booking in _with_what_it_needs(books, entry.booking, prices):
            _take(books, booking)
            bookings.append(booking)
    assert first.total is not None, "a ledger begins with its total"
    rebuild(path, first.total, prices, bookings, [decision.record() for decision in found.decisions])


def _total(found: Rescued, config: Config) -> int:
    return max([to_micro(config.budget.total), *(entry.balance.total for entry in found.entries)])


def _take(books: Books, booking: Booking) -> None:
    books.take(booking, books.after(booking, books.balance), books.last_id + 1)


def _with_what_it_needs(books: Books, booking: Booking, prices: dict[str, int]) -> list[Booking]:
    """The booking, after those that it follows from and that are lost; nothing where it cannot be."""
    try:
        books.after(booking, books.balance)
    except Refused:
        before = _before(books, booking, prices)
    else:
        return [booking]
    trial = books.copy()
    try:
        for one in (*before, booking):
            _take(trial, one)
    except Refused:
        return []
    return [*before, booking]


def _before(books: Books, booking: Booking, prices: dict[str, int]) -> list[Booking]:
    """A label of the default tier may have cost less than its price, at which it is reserved at least."""
    bought = booking.purchase
    if bought is None or booking.event == "reserve":
        return []
    state, before = books.keys.get(bought.key), []
    if state is None or state.event == "release":
        is_usual = bought.kind == "label" and bought.tier == "default"
        price = max(bought.price_micro, prices["label"]) if is_usual else bought.price_micro
        before.append(Booking("reserve", replace(bought, price_micro=price), time=booking.time))
    if booking.event == "write_off" and (state is None or state.event in ("reserve", "release")):
        before.append(Booking("settle", bought, time=booking.time))
    return before


def rescued(path: Path) -> Rescued:
    """All rows that prove themselves; of version 1, which has no hashes, those that add up from the first one on."""
    tables: dict[int, dict[int, tuple]] = {size: {} for size in (EVENTS, OLD_EVENTS, DECISIONS, OLD_DECISIONS, PRICES)}
    for number, values in rows_in(path):
        if len(values) in tables and (values[0] is None or len(values) == PRICES):  # else it tells of a table
            tables[len(values)].setdefault(number, values)
    events, old_events = _numbered(tables[EVENTS]), _numbered(tables[OLD_EVENTS])
    old = {number: (*row[:NOTE], None, *row[NOTE:]) for number, row in old_events.items()}
    return Rescued(
        entries=list(_records(Entry.from_values, _proved("events", events))) or list(_summed(old)),
        decisions=list(
            _records(Decision.from_values, _proved("decisions", _numbered(tables[DECISIONS])))
            if tables[DECISIONS]
            else _records(Decision.from_values, _numbered(tables[OLD_DECISIONS]).values())
        ),
        prices=_prices(tables[PRICES]),
    )


def _numbered(rows: dict[int, tuple]) -> dict[int, tuple]:
    """With the number of the row, which SQLite keeps apart, and a time that is a float, which it may keep as an integer."""
    return {
        number: (number, float(values[1]), *values[2:])
        for number, values in sorted(rows.items())
        if values[0] is None and isinstance(values[1], int | float)
    }


def _proved(table: str, rows: dict[int, tuple]) -> Iterator[tuple]:
    """Those whose hash follows from that of the row before."""
    for number, (*columns, written) in rows.items():
        before = root(table) if number == 1 else rows.get(number - 1, (None,))[-1]
        values = tuple(columns)
        is_plain = not any(isinstance(value, bytes) for value in values)
        if isinstance(before, bytes) and is_plain and link(before, values) == written:
            yield values


def _records(make: Callable[[tuple], Record], rows: Iterable[tuple]) -> Iterator[Record]:
    """Of those rows that look like one."""
    for values in rows:
        try:
            yield make(values)
        except Refused:
            continue


def _summed(rows: dict[int, tuple]) -> Iterator[Entry]:
    books = Books()
    for values in rows.values():
        try:
            entry = Entry.from_values(values)
            books.check_and_take(entry)
        except Refused:
            return
        yield entry


def _prices(rows: dict[int, tuple]) -> dict[str, int] | None:
    found = {kind: price for kind, price, written in rows.values() if written == link(root("prices"), (kind, price))}
    return found if sorted(found) == sorted(PRICED) else None


def in_coins(micro: int) -> str:
    """As a person reads it."""
    return f"{micro / MICRO:,.15g} coins"
