"""Money in whole micro-coins: what is bought with it and where it stands."""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

MICRO = 1_000_000  # micro-coins in a coin
PRICED = ("transition", "label")  # at prices that a ledger is made with
KINDS = (*PRICED, "work")  # work: a person's paid time that brought no label
_LARGEST_COINS = 1e12  # in micro-coins this still fits SQLite's 64-bit integers


def to_micro(coins: float) -> int:
    """Coins to the nearest whole micro-coin."""
    return round(coins * MICRO)


def coins_shown(coins: float) -> str:
    """1,250 or, of amounts below a hundred that are not whole, 12.35: a person's wage makes prices of hundredths."""
    rounded = round(coins, 2)
    return f"{coins:,.0f}" if abs(rounded) >= 100 or rounded == round(rounded) else f"{rounded:.2f}"


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


@dataclass(frozen=True)
class BudgetConfig:
    total: float = 20_000.0  # coins there are to spend; a resumed run may raise it

    def __post_init__(self):
        check_coins("total", self.total)


@dataclass(frozen=True)
class PriceConfig:
    transition: float = 1.0  # coins for one agent step, after action repeat
    label: float = 4.0  # coins for the reward of one agent step, default tier

    def __post_init__(self):
        check_coins("transition", self.transition)
        check_coins("label", self.label)

    def in_micro(self) -> dict[str, int]:
        """Kind -> micro-coins a unit, as `Ledger.create` takes them."""
        return {"transition": price_in_micro(self.transition), "label": price_in_micro(self.label)}


@dataclass(frozen=True, slots=True)
class Purchase:
    """`units` of one kind at one price, under a key that is unique in the run."""

    key: str
    kind: Literal["transition", "label", "work"]
    units: int
    price_micro: int  # per unit
    tier: str = "default"

    @property
    def cost(self) -> int:
        """Micro-coins."""
        return self.units * self.price_micro


@dataclass(frozen=True, slots=True)
class Paid:
    """What a label that arrived cost in truth, and who gave it."""

    price_micro: int | None = None  # from 0 to the reserved price, which None stands for
    rater: str = ""  # empty with 0 seconds: nobody is named
    seconds: float = 0.0  # of active work


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

    def settled(self, purchase: Purchase, units: int, price_micro: int) -> "Balance":
        """After `units` of a reserved purchase arrived at that price each, and the rest of its money was given up."""
        return Balance(  # dataclasses.replace takes several times as long, and a large ledger has many rows
            self.total,
            self.spent + units * price_micro,
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
