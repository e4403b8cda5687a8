"""What the money bought: an append-only ledger in SQLite, in whole micro-coins, that refuses to pass the budget."""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, dataclass, replace
from operator import index
from pathlib import Path
from typing import Literal

from ..errors import UserError
from .ledger_file import LedgerError, as_ledger_error, create_file, open_file
from .money import KINDS, MICRO, Balance, Purchase, check_coins, price_in_micro

_OUTSTANDING = """SELECT key, kind, units, price_micro, tier FROM events AS e WHERE event = 'reserve'
    AND NOT EXISTS (SELECT 1 FROM events AS later WHERE later.key = e.key AND later.id > e.id) ORDER BY id"""
_SETTLED = "SELECT COALESCE(SUM(units * price_micro), 0), COALESCE(SUM(units), 0) FROM events WHERE event = 'settle'"


class BudgetExceeded(UserError):
    """A reservation did not fit into what is left; nothing of it was written."""


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


class Ledger:
    """The one till of a run. Reserve before asking the seller, settle once what arrived is safe on disk under its key.

    Whatever crashes in between, `outstanding()` names the purchases whose fate has to be looked up, and they count as
    not available until then. Any number of processes may have the file open; each booking is one durable commit.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection):
        """Use `create` or `open`."""
        self.path = path
        self._db = connection
        self.prices: dict[str, int] = dict(self._rows("SELECT kind, price_micro FROM prices"))  # micro-coins a unit

    @classmethod
    def create(cls, path: str | Path, total_micro: int, prices: dict[str, int]) -> "Ledger":
        """A new ledger with nothing bought. It appears under its name complete or not at all; never replaces one."""
        path = Path(path)
        if set(prices) != set(KINDS) or min(prices.values()) <= 0 or total_micro <= 0:
            raise LedgerError(f"{path}: needs a positive total and prices of {KINDS}, got {total_micro} and {prices}")

        def fill(db: sqlite3.Connection) -> None:
            db.executemany("INSERT INTO prices VALUES (?, ?)", [(kind, index(prices[kind])) for kind in KINDS])
            _append(db, "raise_total", None, Balance(total=index(total_micro)))

        create_file(path, fill)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "Ledger":
        """An existing ledger, checked: a damaged file or a sum that does not add up is a LedgerError."""
        path = Path(path)
        ledger = cls(path, open_file(path))
        ledger._check_sums()
        return ledger

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
        purchases = list(purchases)
        if len({purchase.key for purchase in purchases}) < len(purchases):
            raise LedgerError(f"{self.path}: a key stands twice among the {len(purchases)} purchases to reserve")
        with self._commit():
            wanted = [purchase for purchase in purchases if not self._is_open(purchase)]
            balance = self.balance()
            _check_fits(wanted, balance)
            for purchase in wanted:
                balance = replace(balance, reserved=balance.reserved + purchase.cost)
                _append(self._db, "reserve", purchase, balance)

    def settle(self, received: dict[str, int]) -> None:
        """Pay for what arrived: key -> units, at most those reserved; money for the rest is free again. One commit."""
        with self._commit():
            balance = self.balance()
            for key, units in received.items():
                purchase = self._open_purchase(key)
                if not 0 <= units <= purchase.units:
                    raise LedgerError(f"{self.path}: {key} received {units} units, reserved were {purchase.units}")
                balance = balance.settled(purchase, index(units))
                _append(self._db, "settle", replace(purchase, units=index(units)), balance)

    def release(self, keys: Iterable[str]) -> None:
        """Give reserved purchases up: nothing of them arrived or will. One commit."""
        with self._commit():
            balance = self.balance()
            for key in keys:
                purchase = self._open_purchase(key)
                balance = balance.settled(purchase, 0)
                _append(self._db, "release", purchase, balance)

    def raise_total(self, total_micro: int) -> None:
        """A larger budget. The same one changes nothing; a smaller one is a LedgerError."""
        with self._commit():
            balance = self.balance()
            if total_micro < balance.total:
                new, old = total_micro / MICRO, balance.total / MICRO
                raise LedgerError(f"budget.total: may only grow, from {old:,.6g} coins, got {new:,.6g}")
            if total_micro > balance.total:
                _append(self._db, "raise_total", None, replace(balance, total=index(total_micro)))

    def outstanding(self) -> list[Purchase]:
        """Reserved, neither settled nor released, oldest first. Reads the whole file: for starts and phase ends."""
        return [Purchase(*row) for row in self._rows(_OUTSTANDING)]

    def balance(self) -> Balance:
        """All of the position in one consistent read."""
        columns = "total, spent, reserved, transitions, labels"
        return Balance(*self._rows(f"SELECT {columns} FROM events ORDER BY id DESC LIMIT 1")[0])

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
        """Units of `kind` settled so far."""
        return {"transition": self.balance().transitions, "label": self.balance().labels}[kind]

    def by_tier(self) -> dict[str, dict[str, int]]:
        """Tier -> {"labels": units settled, "spent": micro-coins}. Transitions have no tiers and do not appear."""
        rows = self._rows(
            "SELECT tier, SUM(units), SUM(units * price_micro) FROM events "
            "WHERE event = 'settle' AND kind = 'label' GROUP BY tier ORDER BY tier"
        )
        return {tier: {"labels": units, "spent": spent} for tier, units, spent in rows}

    def summary(self) -> dict:
        """What `tandem ledger` prints: money in coins, counts of units settled."""
        balance = self.balance()
        return {
            "total": balance.total / MICRO,
            "spent": balance.spent / MICRO,
            "reserved": balance.reserved / MICRO,
            "remaining": balance.remaining / MICRO,
            "transitions": balance.transitions,
            "labels": balance.labels,
            "by_tier": {tier: {**row, "spent": row["spent"] / MICRO} for tier, row in self.by_tier().items()},
        }

    def record_decision(self, phase: int, inputs: dict, outputs: dict) -> None:
        """Keep what an allocator knew and what it answered: plain JSON values, no NaN (ValueError)."""
        row = (time.time(), index(phase), json.dumps(inputs, allow_nan=False), json.dumps(outputs, allow_nan=False))
        with self._commit():
            self._db.execute("INSERT INTO decisions (time, phase, inputs, outputs) VALUES (?, ?, ?, ?)", row)

    def decisions(self) -> list[dict]:
        """All of them in order: {"time" (seconds since the epoch), "phase", "inputs", "outputs"}."""
        rows = self._rows("SELECT time, phase, inputs, outputs FROM decisions ORDER BY id")
        return [
            {"time": when, "phase": phase, "inputs": json.loads(inputs), "outputs": json.loads(outputs)}
            for when, phase, inputs, outputs in rows
        ]

    def _is_open(self, purchase: Purchase) -> bool:
        """Whether `purchase` is reserved already; raises LedgerError where its key cannot be reserved at all."""
        if purchase.kind not in KINDS or purchase.units < 1 or purchase.price_micro < 0:
            raise LedgerError(f"{self.path}: not a purchase: {purchase}")
        event, last = self._last(purchase.key)
        if event == "settle":
            raise LedgerError(f"{self.path}: {purchase.key} is paid for already, it cannot be bought twice")
        if event == "reserve" and last != purchase:
            raise LedgerError(f"{self.path}: {purchase.key} is reserved as {last}, got {purchase}")
        return event == "reserve"

    def _open_purchase(self, key: str) -> Purchase:
        event, purchase = self._last(key)
        if purchase is None or event != "reserve":
            raise LedgerError(f"{self.path}: {key} is not reserved (last booking: {event})")
        return purchase

    def _last(self, key: str) -> tuple[str, Purchase] | tuple[None, None]:
        rows = self._rows(
            "SELECT event, key, kind, units, price_micro, tier FROM events WHERE key = ? ORDER BY id DESC LIMIT 1", key
        )
        return (rows[0][0], Purchase(*rows[0][1:])) if rows else (None, None)

    def _check_sums(self) -> None:
        """The running balance equals the sum of the events it ran over, both read at one instant: others may be writing."""
        with self._transaction("BEGIN"):
            counts = {kind: self._rows(f"{_SETTLED} AND kind = ?", kind)[0] for kind in KINDS}
            found = Balance(
                total=self._rows("SELECT MAX(total) FROM events")[0][0],
                spent=sum(spent for spent, _ in counts.values()),
                reserved=sum(purchase.cost for purchase in self.outstanding()),
                transitions=counts["transition"][1],
                labels=counts["label"][1],
            )
            balance = self.balance()
        if found != balance:
            raise LedgerError(f"{self.path}: damaged: events add up to {found}, the balance says {balance}")

    def _rows(self, query: str, *values) -> list[tuple]:
        with as_ledger_error(self.path):
            return self._db.execute(query, values).fetchall()

    def _commit(self) -> AbstractContextManager[None]:
        """One durable write transaction, all or nothing; other writers wait from its first line on."""
        return self._transaction("BEGIN IMMEDIATE")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        try:
            with as_ledger_error(self.path):
                self._db.execute(begin)
                yield
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _check_fits(wanted: list[Purchase], balance: Balance) -> None:
    cost = sum(purchase.cost for purchase in wanted)
    if cost > balance.remaining:
        kinds = " and ".join(f"{kind}s" for kind in KINDS if any(purchase.kind == kind for purchase in wanted))
        asked, left, total = (f"{micro / MICRO:,.15g}" for micro in (cost, balance.remaining, balance.total))
        raise BudgetExceeded(f"{kinds}: asked {asked} coins, left {left} of {total}")


def _append(db: sqlite3.Connection, event: str, purchase: Purchase | None, balance: Balance) -> None:
    if purchase is None:
        bought = (None,) * 5
    else:
        bought = (purchase.key, purchase.kind, index(purchase.units), index(purchase.price_micro), purchase.tier)
    columns = "time, event, key, kind, units, price_micro, tier, total, spent, reserved, transitions, labels"
    values = (time.time(), event, *bought, *map(index, astuple(balance)))
    db.execute(f"INSERT INTO events ({columns}) VALUES ({', '.join('?' * len(values))})", values)
