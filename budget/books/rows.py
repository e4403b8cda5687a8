"""The rows of a ledger as records, how they are hashed, and the one that a damaged file cannot give back."""

import hashlib
import json
from dataclasses import astuple, dataclass, field, replace
from functools import cache
from operator import index
from typing import Literal

from ..money import KINDS, MICRO, Balance, Purchase

Event = Literal["reserve", "settle", "release", "raise_total", "write_off"]
EVENTS = ("reserve", "settle", "release", "raise_total", "write_off")
_TEXT, _OPTIONAL_TEXT, _OPTIONAL_INT = (str,), (str, type(None)), (int, type(None))
_ENTRY_TYPES = (
    ((int,), (float,), _TEXT)  # id, time, event
    + (_OPTIONAL_TEXT, _OPTIONAL_TEXT, _OPTIONAL_INT, _OPTIONAL_INT, _OPTIONAL_TEXT)  # what was bought
    + (_OPTIONAL_TEXT,)  # note
    + ((int,),) * 5  # the balance
)
_DECISION_TYPES = ((int,), (float,), (int,), _TEXT, _TEXT)


class Refused(Exception):
    """A booking or a row that makes no sense. Who catches it knows the file and says so."""


@dataclass(frozen=True, slots=True)
class Booking:
    """One thing that happened to a purchase, or a larger total."""

    event: Event
    purchase: Purchase | None = (
        None  # settle: what arrived, at the price paid; write_off: the units lost; raise_total: None
    )
    total: int | None = None  # raise_total: micro-coins
    note: str | None = None  # write_off: the reason; settle: who earned it, see `Note`
    time: float | None = field(default=None, compare=False)  # seconds since the epoch; None: when it is written

    def __str__(self) -> str:
        if self.purchase is None:
            return f"{self.event} to {(self.total or 0) / MICRO:,.15g} coins"
        bought, reason = self.purchase, "" if self.note is None else f", {self.note}"
        price = f"{bought.price_micro / MICRO:,.15g} coins each"
        units = f"{bought.units:,} {bought.kind}{'s' * (bought.units != 1)}"
        return f"{self.event} {bought.key} ({units} at {price}, tier {bought.tier}{reason})"


@dataclass(frozen=True, slots=True)
class Entry:
    """A booking as it stands in the file."""

    id: int
    booking: Booking
    balance: Balance  # after it

    def __str__(self) -> str:
        return str(self.booking)

    def values(self) -> tuple:
        """Its columns without the hash, in the order of `from_values`."""
        booking = self.booking
        bought = (None,) * 5 if booking.purchase is None else astuple(booking.purchase)
        return (self.id, booking.time, booking.event, *bought, booking.note, *astuple(self.balance))

    @classmethod
    def from_values(cls, values: tuple) -> "Entry":
        """Raises Refused for what no booking looks like."""
        _check_types(values, _ENTRY_TYPES)
        number, time, event, key, kind, units, price_micro, tier, note, *balance = values
        is_purchase = event in EVENTS and event != "raise_total"
        if event not in EVENTS or any(
            (one is not None) != is_purchase for one in (key, kind, units, price_micro, tier)
        ):
            raise Refused(f"no such booking: {event!r} of {key!r}")
        if is_purchase and kind not in KINDS:
            raise Refused(f"{key} is of no known kind: {kind!r}")
        bought = Purchase(key, kind, units, price_micro, tier) if is_purchase else None
        after = Balance(*balance)
        return cls(number, Booking(event, bought, None if is_purchase else after.total, note, time), after)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an allocator knew and what it answered, in JSON."""

    id: int
    time: float  # seconds since the epoch
    phase: int
    inputs: str
    outputs: str

    def values(self) -> tuple:
        """Its columns without the hash."""
        return astuple(self)

    @classmethod
    def from_values(cls, values: tuple) -> "Decision":
        """Raises Refused for what no decision looks like."""
        _check_types(values, _DECISION_TYPES)
        decision = cls(*values)
        try:
            record = decision.record()
        except ValueError as error:
            raise Refused(f"not JSON: {error}") from error
        if not all(isinstance(record[part], dict) for part in ("inputs", "outputs")):
            raise Refused("inputs and outputs must be JSON objects")
        return decision

    def record(self) -> dict:
        """As plain values: {"time", "phase", "inputs", "outputs"}."""
        inputs, outputs = json.loads(self.inputs), json.loads(self.outputs)
        return {"time": self.time, "phase": self.phase, "inputs": inputs, "outputs": outputs}

    def __str__(self) -> str:
        return f"the decision of phase {self.phase}"


def first_difference(expected: Decision, got: Decision) -> str:
    """Where two decisions say different things, at whatever time they were made; empty where they do not."""
    before, after = expected.record(), got.record()
    if before["phase"] != after["phase"]:
        return f"is of phase {before['phase']}, the resumed run makes one of phase {after['phase']}"
    for part in ("inputs", "outputs"):
        for name in before[part] | after[part]:
            old, new = (record[part].get(name, "nothing") for record in (before, after))
            if old != new:
                return f"{part}.{name} is {old}, the resumed run has {new}"
    return ""


def exact(purchase: Purchase) -> Purchase:
    """With Python's own integers: those of arrays look the same and cannot be written."""
    return replace(purchase, units=index(purchase.units), price_micro=index(purchase.price_micro))


def root(table: str) -> bytes:
    """What stands in for the hash before a table's first row."""
    return hashlib.sha256(f"tandem ledger 2 {table}".encode()).digest()


def link(previous: bytes, values: tuple) -> bytes:
    """The hash of a row: of the hash before it and the row's other columns. JSON tells 1, 1.0, "1" and null apart."""
    return hashlib.sha256(previous + json.dumps(values).encode()).digest()


def _check_types(values: tuple, types: tuple[tuple[type, ...], ...]) -> None:
    wrong = _first_wrong(tuple(map(type, values)), types)
    if wrong:
        raise Refused(wrong)


@cache  # thousands of rows have the same few types
def _first_wrong(found: tuple[type, ...], types: tuple[tuple[type, ...], ...]) -> str:
    for number, (one, allowed) in enumerate(zip(found, types, strict=True), 1):
        if one not in allowed:
            return f"column {number} holds {one.__name__} where {allowed[0].__name__} belongs"
    return ""
