"""Money in whole micro-coins: what is bought with it and where it stands."""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

MICRO = 1_000_000  # micro-coins in a coin
KINDS = ("transition", "label")
_LARGEST_COINS = 1e12  # in micro-coins this still fits SQLite's 64-bit integers


def to_micro(coins: float) -> int:
    """Coins to the nearest whole micro-coin."""
    return round(coins * MICRO)


def price_in_micro(coins: float) -> int:
    """A price in whole micro-coins, rounded up: so many units as its micro-coins pay for can be paid for in truth."""
    return math.ceil(_as_written(coins) * MICRO)


def budget_in_micro(coins: float) -> int:
    """Money to spend in whole micro-coins, rounded down for the same reason."""
    return math.floor(_as_written(coins) * MICRO)


def _as_written(coins: float) -> Decimal:
    """The decimal number that a person wrote: in floats 4.03 * 1e6 is 4030000.0000000005, which rounds up
    to one more."""
    return Decimal(repr(float(coins)))


def check_coins(field: str, coins: float) -> None:
    """Raise ValueError naming `field` unless `coins` is positive and an amount that the ledger can hold."""
    if not (math.isfinite(coins) and 1 / MICRO <= coins <= _LARGEST_COINS):
        raise ValueError(f"{field}: must be positive (from {1 / MICRO:f} to {_LARGEST_COINS:g} coins), got {coins}")


@dataclass(frozen=True, slots=True)
class Purchase:
    """`units` of one kind at one price, under a key that is unique in the run."""

    key: str
    kind: Literal["transition", "label"]
    units: int
    price_micro: int  # per unit
    tier: str = "default"

    @property
    def cost(self) -> int:
        """Micro-coins."""
        return self.units * self.price_micro


@dataclass(frozen=True, slots=True)
class Balance:
    """Where the money stands: micro-coins, and units settled of either kind."""

    total: int = 0
    spent: int = 0
    reserved: int = 0
    transitions: int = 0  # settled, those written off taken out
    labels: int = 0  # the same

    @property
    def remaining(self) -> int:
        return self.total - self.spent - self.reserved

    def settled(self, purchase: Purchase, units: int) -> "Balance":
        """After `units` of a reserved purchase arrived and the rest of it was given up."""
        return Balance(  # dataclasses.replace takes several times as long, and a large ledger has many rows
            self.total,
            self.spent + units * purchase.price_micro,
            self.reserved - purchase.cost,
            self.transitions + units * (purchase.kind == "transition"),
            self.labels + units * (purchase.kind == "label"),
        )

    def written_off(self, purchase: Purchase) -> "Balance":
        """After the units of a settled purchase were lost: the money stays spent."""
        return replace(
            self,
            transitions=self.transitions - purchase.units * (purchase.kind == "transition"),
            labels=self.labels - purchase.units * (purchase.kind == "label"),
        )
