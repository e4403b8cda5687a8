"""What was checked of a ledger, in words."""

from contextlib import closing
from pathlib import Path

from ..ledger import Ledger


def verify_ledger(path: Path) -> list[str]:
    """Lines for `tandem ledger RUN --verify`; the first fault is a LedgerError. Works while a run writes into the file.

    Opening a ledger checks its structure, the hash of every row and of all rows before it, that every booking is one that
    could be made then, and every balance.
    """
    with closing(Ledger.open(path)) as ledger:
        position, summary, keys = ledger.position, ledger.summary(), ledger.state_of_keys()
        is_hashed = ledger.version > 1
    hashes = "every row's hash" if is_hashed else "no hashes, which version 1 of the file has not"
    money = " + ".join(f"{summary[name]:,.15g} {name}" for name in ("spent", "reserved", "remaining"))
    return [
        f"ok: {position.events:,} bookings of {len(keys):,} purchases, {position.decisions:,} decisions",
        f"checked: the file's structure, {hashes}, every booking against those before it, every balance",
        f"{summary['total']:,.15g} coins = {money}",
    ]
