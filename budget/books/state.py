"""Where every purchase and every coin stands after some bookings, and which booking may come next."""

from dataclasses import dataclass, field, replace

from ..money import KINDS, MICRO, Balance, Purchase
from .rows import Booking, Entry, Event, Refused

TERMS = ("key", "kind", "price_micro", "tier")  # of a purchase, all but the units: fewer may arrive


@dataclass(frozen=True, slots=True)
class KeyState:
    """All that is known of one key."""

    event: Event  # the last one
    purchase: Purchase  # as it was reserved
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
    last_id: int = 0

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
        }

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
            if not 1 <= purchase.units <= state.held:
                raise Refused(f"{purchase.key} cannot lose {purchase.units} units, {state.held} are held")
            return balance.written_off(purchase)
        reserved = self.open_purchase(purchase.key)
        _check_terms(purchase, reserved)
        if booking.event == "release":
            if purchase.units != reserved.units:
                raise Refused(f"{purchase.key} gives up {purchase.units} units, reserved were {reserved.units}")
            return balance.settled(reserved, 0)
        if not 0 <= purchase.units <= reserved.units:
            raise Refused(f"{purchase.key} received {purchase.units} units, reserved were {reserved.units}")
        return balance.settled(reserved, purchase.units)

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
            state = replace(state, settled=bought.units)
        elif event == "write_off":
            self.sold[what] = self.sold[what].less(bought.units, bought.price_micro)
            state = replace(state, written_off=state.written_off + bought.units)
        self.keys[bought.key] = replace(state, event=event)


def _with_total(balance: Balance, total: int | None) -> Balance:
    if total is None or total <= balance.total:
        raise Refused(f"the total may only grow, from {balance.total / MICRO:,.15g} coins, got {total}")
    return replace(balance, total=total)


def _check_terms(purchase: Purchase, reserved: Purchase) -> None:
    if any(getattr(purchase, name) != getattr(reserved, name) for name in TERMS):
        raise Refused(f"{purchase.key} is reserved as {reserved}, got {purchase}")


def _is_storable(text: str) -> bool:
    """Whether it is valid Unicode: a lone surrogate cannot be written in UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text) if not text.isascii() else True


def _in_coins(row: dict[str, int]) -> dict:
    return {name: value / MICRO if name.endswith("spent") else value for name, value in row.items()}
