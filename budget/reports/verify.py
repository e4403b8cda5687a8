"""The check of a whole ledger for `tandem ledger RUN --verify`: its file, its hashes and its money."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..books.log import Log, read_prices
from ..books.rows import Booking, Decision, Entry, Refused
from ..books.state import Books
from ..ledger_file import as_damage, checked_copy, file_version, open_file
from ..money import MICRO, Purchase

_DEFAULT_TIER = "default"  # sold at the ledger's price; other tiers have prices of their own


@dataclass(frozen=True)
class Rows:
    """All that a ledger file holds, at one instant."""

    version: int
    prices: dict[str, int]
    entries: list[Entry]
    decisions: list[Decision]
    hashes: dict[str, bytes]  # of the last rows


def verify_ledger(path: str | Path) -> list[str]:
    """Check every invariant of a ledger file, also while another process writes to it. -> what was checked, in lines.

    Raises LedgerError with the first fault, in one line.
    """
    path = Path(path)
    rows = read_all(path)
    books = Books()
    with as_damage(path):
        for entry in rows.entries:
            _check_price(entry, rows.prices)
            books.check_and_take(entry)
            _check_sum(entry)
    prices = ", ".join(f"{price / MICRO:,.15g} coins a {kind}" for kind, price in rows.prices.items())
    return [
        f"ok: {len(rows.entries):,} bookings of {len(books.keys):,} purchases, {len(rows.decisions):,} decisions",
        "file: whole by SQLite's own check, its tables and triggers as they were made",
        _hash_line(rows),
        "money: total = spent + reserved + remaining at every booking, each balance follows from the one before",
        "purchases: none paid twice, none paid, released or written off that was not bought before",
        f"prices: {prices}, as recorded at every purchase of the default tier{_measured(rows)}",
    ]


def read_all(path: Path) -> Rows:
    """The rows with their hashes checked. The file is locked only while it is copied to memory."""
    with closing(open_file(path)) as db:
        copy = checked_copy(path, db)
    with closing(copy), as_damage(path):
        version = file_version(path, copy)
        log = Log(version)
        prices, entries, decisions = read_prices(copy, version), log.new_entries(copy), log.new_decisions(copy)
        if not entries:
            raise Refused("no booking, not even of the total")
        return Rows(version, prices, entries, decisions, log.hashes)


def _hash_line(rows: Rows) -> str:
    if rows.version == 1:
        return "hashes: none, version 1 has none: damaged keys, tiers and texts cannot be told"
    ends = " and ".join(f"{table} end in {digest.hex()[:16]}" for table, digest in rows.hashes.items())
    return f"hashes: every row as it was written, in unbroken chains: {ends}"


def _measured(rows: Rows) -> str:
    """What people were paid by what it took them, and labels about rows of a data set that have a price of their own."""
    number = sum(_is_measured(entry.booking, rows.prices) for entry in rows.entries)
    return (
        f", but for {number:,} that were measured, or about a data set, within what was reserved for them"
        if number
        else ""
    )


def _is_measured(booking: Booking, prices: dict[str, int]) -> bool:
    bought = booking.purchase
    if bought is None or booking.event != "settle" or not _is_default(bought):
        return False
    return bought.kind == "work" or bought.price_micro != prices[bought.kind]


def _is_default(bought: Purchase) -> bool:
    return bought.tier == _DEFAULT_TIER


def _check_price(entry: Entry, prices: dict[str, int]) -> None:
    """A label's is the least that is reserved: for people it is a ceiling. Below it what was reserved may be settled."""
    bought, event = entry.booking.purchase, entry.booking.event
    if bought is None or not _is_default(bought) or bought.kind == "work":
        return
    paid, price = bought.price_micro, prices[bought.kind]
    is_wrong = event == "reserve" and paid < price if bought.kind == "label" else paid != price
    if is_wrong:
        raise Refused(
            f"booking {entry.id}: {bought.key} at {paid / MICRO:,.15g} coins each, the price is {price / MICRO:,.15g}"
        )


def _check_sum(entry: Entry) -> None:
    balance = entry.balance
    if min(balance.spent, balance.reserved, balance.remaining, balance.transitions, balance.labels) < 0:
        raise Refused(f"booking {entry.id}: an amount is below zero: {balance}")
