"""Where every purchase and every coin stands after some bookings, and which booking may come next."""

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol

from ..money import KINDS, MICRO, Balance, Purchase
from .earned import Earned, Note
from .rows import Booking, Entry, Event, Refused, exact

TERMS = ("key", "kind", "price_micro", "tier")  # of a purchase, all but the units: fewer may arrive
NEWLY_BOUGHT = Purchase("", "transition", 0, 0).tier  # of transitions that the run collects
WORK = "work/"  # before the keys of people's time that brought no label, which are unique among themselves
NEWEST, FEWEST = 200, 10  # labels that a mean price is of: those settled last, and none while there are fewer


class TimeWorked(Protocol):
    """A person's paid time that brought no label."""

    @property
    def key(self) -> str: ...
    @property
    def rater(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def price_micro(self) -> int: ...
    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True)
class KeyState:
    """All that is known of one key."""

    event: Event  # the last one
    purchase: Purchase  # as it was reserved; once it is settled, at the price that was paid
    settled: int = 0  # units paid for
    written_off: int = 0  # of those, units lost since

    @property
    def is_open(self) -> bool:
        """Reserved, neither settled nor released."""
        return self.event == "reserve"

    @property
    def held(self) -> int:
        """Units that were paid for and are still there."""
        return self.settled - self.written_off


@dataclass(frozen=True, slots=True)
class Sold:
    """Of one kind and tier: units and micro-coins."""

    units: int = 0  # settled and still there
    spent: int = 0
    lost: int = 0  # units written off
    lost_spent: int = 0  # of `spent`, for those

    def plus(self, units: int, price_micro: int) -> "Sold":
        """With so many more units paid for."""
        return replace(self, units=self.units + units, spent=self.spent + units * price_micro)

    def less(self, units: int, price_micro: int) -> "Sold":
        """With so many units lost."""
        lost_spent = self.lost_spent + units * price_micro
        return replace(self, units=self.units - units, lost=self.lost + units, lost_spent=lost_spent)


@dataclass
class Books:
    """The sum of the bookings so far. `after` says what the next one leads to, `take` makes it so."""

    balance: Balance = field(default_factory=Balance)
    keys: dict[str, KeyState] = field(default_factory=dict)
    sold: dict[tuple[str, str], Sold] = field(default_factory=dict)  # by kind and tier
    raters: dict[str, Earned] = field(default_factory=dict)  # by name
    newest: dict[str, deque[int]] = field(default_factory=dict)  # tier -> prices paid for the last labels, micro-coins
    last_id: int = 0

    def copy(self) -> "Books":
        """Books of their own that go on from here."""
        newest = {tier: prices.copy() for tier, prices in self.newest.items()}
        return replace(self, keys=dict(self.keys), sold=dict(self.sold), raters=dict(self.raters), newest=newest)

    def by_tier(self) -> dict[str, dict[str, int]]:
        """Of labels alone: tier -> counts and micro-coins."""
        return {
            tier: {
                "labels": row.units,
                "spent": row.spent,
                "written_off": row.lost,
                "written_off_spent": row.lost_spent,
            }
            for (kind, tier), row in sorted(self.sold.items())
            if kind == "label"
        }

    def by_source(self) -> dict[str, dict[str, int]]:
        """Of transitions that were there before the run: the name of where they come from -> counts and micro-coins."""
        return {
            source: {"transitions": row.units, "spent": row.spent}
            for (kind, source), row in sorted(self.sold.items())
            if kind == "transition" and source != NEWLY_BOUGHT
        }

    def summary(self) -> dict:
        """Money in coins, counts of units."""
        balance = self.balance
        return {
            "total": balance.total / MICRO,
            "spent": balance.spent / MICRO,
            "reserved": balance.reserved / MICRO,
            "remaining": balance.remaining / MICRO,
            "transitions": balance.transitions,
            "labels": balance.labels,
            "written_off": sum(row.lost_spent for row in self.sold.values()) / MICRO,
            "transitions_written_off": self._lost("transition"),
            "labels_written_off": self._lost("label"),
            "by_tier": {tier: _in_coins(row) for tier, row in self.by_tier().items()},
            "by_source": {source: _in_coins(row) for source, row in self.by_source().items()},
            "work_spent": sum(one.work_spent for one in self.raters.values()) / MICRO,
            "raters": {name: _in_coins(row) for name, row in self.by_rater().items()},
        }

    def by_rater(self) -> dict[str, dict]:
        """Name -> counts, micro-coins and seconds, those of lost labels included."""
        return {name: asdict(one) for name, one in sorted(self.raters.items())}

    def mean_price(self, tier: str) -> int | None:
        """Micro-coins that the tier's last labels cost, rounded up and at least 1; None while there are few."""
        paid = self.newest.get(tier, ())
        return max(1, -(-sum(paid) // len(paid))) if len(paid) >= FEWEST else None

    def payable(self, works: Iterable[TimeWorked]) -> tuple[list[tuple[Purchase, str]], list[str]]:
        """What is to be paid now, with its note, as far as the money goes; and the keys of what it does not suffice for."""
        money, wanted, unpaid = self.balance.remaining, {}, []
        for work in works:
            bought = exact(Purchase(WORK + work.key, "work", 1, work.price_micro))
            state = self.keys.get(bought.key)
            if bought.key in wanted or (state and state.event == "settle"):
                continue
            if bought.cost > money:
                unpaid.append(work.key)
                continue
            money -= bought.cost
            wanted[bought.key] = bought, Note(work.rater, work.seconds, work.reason).text()
        return list(wanted.values()), unpaid

    def _lost(self, kind: str) -> int:
        return sum(row.lost for (of_kind, _), row in self.sold.items() if of_kind == kind)

    def outstanding(self) -> list[Purchase]:
        """Open purchases, the oldest reservation first: a key that is reserved again moves to the end."""
        return [state.purchase for state in self.keys.values() if state.is_open]

    def open_purchase(self, key: str) -> Purchase:
        """Raises Refused unless `key` is reserved."""
        state = self.keys.get(key)
        if state is None or not state.is_open:
            raise Refused(f"{key} is not reserved (last booking: {state.event if state else None})")
        return state.purchase

    def settled_state(self, key: str) -> KeyState:
        """Raises Refused unless `key` was paid for."""
        state = self.keys.get(key)
        if state is None or state.event not in ("settle", "write_off"):
            raise Refused(f"{key} is not paid for (last booking: {state.event if state else None})")
        return state

    def is_reserved(self, purchase: Purchase) -> bool:
        """Whether `purchase` is open already; raises Refused where its key cannot be reserved at all."""
        if purchase.kind not in KINDS or purchase.units < 1 or purchase.price_micro < 0:
            raise Refused(f"not a purchase: {purchase}")
        if not all(isinstance(text, str) and _is_storable(text) for text in (purchase.key, purchase.tier)):
            raise Refused(f"not a purchase, its key and tier must be text: {purchase}")
        state = self.keys.get(purchase.key)
        if state is None or state.event == "release":
            return False
        if not state.is_open:
            raise Refused(f"{purchase.key} is paid for already, it cannot be bought twice")
        if state.purchase != purchase:
            raise Refused(f"{purchase.key} is reserved as {state.purchase}, got {purchase}")
        return True

    def after(self, booking: Booking, balance: Balance) -> Balance:
        """What `booking` makes of `balance`; raises Refused where it may not come now.

        A balance of its own, so that several bookings about different keys can be planned before the first is taken.
        """
        purchase = booking.purchase
        if purchase is None:
            return _with_total(balance, booking.total)
        if booking.event == "reserve":
            if self.is_reserved(purchase):
                raise Refused(f"{purchase.key} is reserved already")
            if purchase.cost > balance.remaining:
                raise Refused(
                    f"{purchase.key} costs {purchase.cost / MICRO:,.15g} of {balance.remaining / MICRO:,.15g}"
                )
            return replace(balance, reserved=balance.reserved + purchase.cost)
        if booking.event == "write_off":
            if not booking.note:
                raise Refused(f"{purchase.key} cannot be written off without a reason")
            state = self.settled_state(purchase.key)
            _check_terms(purchase, state.purchase)
            if purchase.kind == "work":
                raise Refused(f"{purchase.key} is a person's time, which nobody holds and nobody loses")
            if not 1 <= purchase.units <= state.held:
                raise Refused(f"{purchase.key} cannot lose {purchase.units} units, {state.held} are held")
            return balance.written_off(purchase)
        reserved = self.open_purchase(purchase.key)
        if booking.event == "release":
            _check_terms(purchase, reserved)
            if purchase.units != reserved.units:
                raise Refused(f"{purchase.key} gives up {purchase.units} units, reserved were {reserved.units}")
            return balance.settled(reserved, 0, 0)
        _check_settled(booking, purchase, reserved)
        return balance.settled(reserved, purchase.units, purchase.price_micro)

    def check_and_take(self, entry: Entry) -> None:
        """Count a row of the file; raises Refused where it does not follow from those before it."""
        try:
            balance = self.after(entry.booking, self.balance)
        except Refused as error:
            raise Refused(f"booking {entry.id}: {error}") from error
        if balance != entry.balance:
            raise Refused(f"booking {entry.id}: the events add up to {balance}, the balance says {entry.balance}")
        self.take(entry.booking, balance, entry.id)

    def take(self, booking: Booking, balance: Balance, number: int) -> None:
        """Go on to `balance`, which `after` gave for `booking`, the row `number` of the file."""
        self.balance, self.last_id = balance, number
        if booking.purchase is None:
            return
        bought, event = booking.purchase, booking.event
        if event == "reserve":
            self.keys.pop(bought.key, None)  # to the end
            self.keys[bought.key] = KeyState(event, bought)
            return
        state, what = self.keys[bought.key], (bought.kind, bought.tier)
        if event == "settle":
            self.sold[what] = self.sold.get(what, Sold()).plus(bought.units, bought.price_micro)
            self._credit(bought, booking.note)
            if bought.price_micro != state.purchase.price_micro:
                state = replace(state, purchase=replace(state.purchase, price_micro=bought.price_micro))
            state = replace(state, settled=bought.units)
        elif event == "write_off":
            self.sold[what] = self.sold[what].less(bought.units, bought.price_micro)
            state = replace(state, written_off=state.written_off + bought.units)
        self.keys[bought.key] = replace(state, event=event)

    def _credit(self, bought: Purchase, note: str | None) -> None:
        if bought.kind == "label":
            newest = self.newest.setdefault(bought.tier, deque(maxlen=NEWEST))
            newest.extend([bought.price_micro] * min(bought.units, NEWEST))
        if note is not None:
            by = Note.from_text(note)
            earned = self.raters.get(by.rater, Earned())
            self.raters[by.rater] = earned.plus(bought.units, bought.cost, by.seconds, bought.kind == "work")


def _with_total(balance: Balance, total: int | None) -> Balance:
    if total is None or total <= balance.total:
        raise Refused(f"the total may only grow, from {balance.total / MICRO:,.15g} coins, got {total}")
    return replace(balance, total=total)


def _check_terms(purchase: Purchase, reserved: Purchase) -> None:
    if any(getattr(purchase, name) != getattr(reserved, name) for name in TERMS):
        raise Refused(f"{purchase.key} is reserved as {reserved}, got {purchase}")


def _check_settled(booking: Booking, purchase: Purchase, reserved: Purchase) -> None:
    """A label may cost less than was reserved for it, and says who gave it; all else costs what was reserved."""
    if purchase.price_micro != reserved.price_micro and purchase.kind == "label":
        if not 0 <= purchase.price_micro <= reserved.price_micro:
            paid, most = purchase.price_micro / MICRO, reserved.price_micro / MICRO
            raise Refused(f"{purchase.key} costs {paid:,.15g} coins each, reserved were {most:,.15g}")
        purchase = replace(purchase, price_micro=reserved.price_micro)
    _check_terms(purchase, reserved)
    if not 0 <= purchase.units <= reserved.units:
        raise Refused(f"{purchase.key} received {purchase.units} units, reserved were {reserved.units}")
    if booking.note is not None:
        Note.from_text(booking.note)


def _is_storable(text: str) -> bool:
    """Whether it is valid Unicode: a lone surrogate cannot be written in UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text) if not text.isascii() else True


def _in_coins(row: dict[str, int]) -> dict:
    return {name: value / MICRO if name.endswith("spent") else value for name, value in row.items()}
