"""The people who answer: their tokens, wages and pauses."""

import hashlib
import hmac
import re
import secrets
import sqlite3
from dataclasses import dataclass

from ..question_keys import DEFAULT
from .answers import take_back_retracted
from .pay import to_micro
from .queue import Queue
from .schema import QueueRefused

OWNER = "owner"
PRIME = 2**31 - 1


@dataclass(frozen=True)
class Rater:
    id: int
    name: str
    wage_micro: int  # micro-coins an hour
    is_owner: bool
    is_paused: bool
    is_retracted: bool
    seen: float | None  # seconds since the epoch


class Raters:
    """Who may answer. A token is told once, to whoever adds a rater; the file holds its hash alone."""

    def __init__(self, queue: Queue):
        self.queue = queue

    def add(self, name: str, wage: float | None = None, is_owner: bool = False) -> str:
        """A new rater. wage: coins an hour; None: the run's. -> the token. QueueRefused for a name that is taken or odd."""
        check_name(name)
        token = secrets.token_urlsafe(24)
        with self.queue.writing() as db:
            if db.execute("SELECT 1 FROM rater WHERE name = ?", (name,)).fetchone():
                raise QueueRefused("invalid", f"name: {name} is a rater already")
            add(self.queue, db, name, wage, token, is_owner)
        return token

    def renew(self, name: str, wage: float | None = None) -> str:
        """Another token in place of the rater's. -> it. What was logged in by the old one is not any more.

        wage: coins an hour of what is answered from now on; None: as before.
        """
        token = secrets.token_urlsafe(24)
        with self.queue.writing() as db:
            rater = find(db, name)
            wage_micro = rater.wage_micro if wage is None else to_micro("wage", wage)
            db.execute(
                "UPDATE rater SET token_hash = ?, wage_micro = ? WHERE id = ?", (_hash(token), wage_micro, rater.id)
            )
            self.queue.note(db, "renewed", rater=rater.id, detail=f"{wage_micro} micro-coins an hour")
        return token

    def owner(self) -> str:
        """A fresh token for the owner, who is added where there is none yet. The one before stops working."""
        with self.queue.writing() as db:  # an import that named one had made a rater of the name once
            known = db.execute("UPDATE rater SET is_owner = 1 WHERE name = ?", (OWNER,)).rowcount
        return self.renew(OWNER) if known else self.add(OWNER, is_owner=True)

    def by_token(self, token: str) -> Rater | None:
        """Whose token it is. Each rater's hash is held against its own in a time that tells nothing of where they differ."""
        guess, rows = _hash(token), self.queue.read("SELECT * FROM rater WHERE token_hash IS NOT NULL")
        found = [row for row in rows if hmac.compare_digest(row["token_hash"], guess)]
        return rater_of(found[0]) if found else None

    def find(self, name: str) -> Rater:
        """QueueRefused (unknown) where nobody has that name."""
        with self.queue.writing() as db:
            return find(db, name)

    def all(self) -> list[Rater]:
        return [rater_of(row) for row in self.queue.read("SELECT * FROM rater ORDER BY name")]

    def pause(self, name: str | None = None, is_paused: bool = True) -> None:
        """Give one rater, or nobody at all (name None), questions no more, or again. What is held can still be answered."""
        with self.queue.writing() as db:
            if name is None:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('is_paused', ?)", ("true" if is_paused else "false",))
                self.queue.note(db, "paused" if is_paused else "resumed", detail="all")
                return
            rater = _answering(db, name)
            db.execute("UPDATE rater SET is_paused = ? WHERE id = ?", (is_paused, rater.id))
            self.queue.note(db, "paused" if is_paused else "resumed", rater=rater.id)

    def retract(self, name: str) -> None:
        """Count nothing that the rater has answered or will answer; the pay stays. What the trainer has not got is asked anew."""
        with self.queue.writing() as db:
            rater = _answering(db, name)
            if rater.is_retracted:
                return
            db.execute("UPDATE rater SET is_retracted = 1 WHERE id = ?", (rater.id,))
            self.queue.note(db, "retracted", rater=rater.id)
            take_back_retracted(self.queue, db, rater.id)

    def retracted(self) -> set[str]:
        return {row["name"] for row in self.queue.read("SELECT name FROM rater WHERE is_retracted")}


def check_name(name: object) -> None:
    """QueueRefused (invalid) for what cannot be a rater's."""
    if not is_name(name):
        raise QueueRefused("invalid", f"name: up to 40 letters, digits, _, . and -, not {DEFAULT}, got {name!r:.60}")


def is_name(name: object) -> bool:
    """Whether a rater could be called so; nothing else is ever looked up: a lone surrogate cannot even be written."""
    return isinstance(name, str) and bool(re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name)) and name != DEFAULT


def login_address(base: str, token: str) -> str:
    """Where a rater begins: the server takes the token from there once, and a cookie afterwards."""
    return f"{base.rstrip('/')}/?token={token}"


def find(db: sqlite3.Connection, name: str) -> Rater:
    """In a transaction of the caller's."""
    row = db.execute("SELECT * FROM rater WHERE name = ?", (name,)).fetchone() if is_name(name) else None
    if row is None:
        told = name if is_name(name) else f"{name!a:.60}"
        raise QueueRefused("unknown", f"{told}: nobody of that name was added")
    return rater_of(row)


def _answering(db: sqlite3.Connection, name: str) -> Rater:
    """As `find`; QueueRefused (invalid) for the owner, whom nobody asks."""
    rater = find(db, name)
    if rater.is_owner:
        raise QueueRefused("invalid", f"{name}: is whoever serves the page, and no rater")
    return rater


def add(
    queue: Queue, db: sqlite3.Connection, name: str, wage: float | None, token: str | None, is_owner: bool = False
) -> Rater:
    """In a transaction of the caller's. token None: one who cannot log in. -> the new rater. QueueRefused (invalid)."""
    if name == OWNER and not is_owner:
        raise QueueRefused("invalid", f"name: {OWNER} is whoever serves the page, choose another")
    wage_micro = to_micro("wage", wage) if wage is not None else queue.meta("wage_micro", 0)
    chance = hashlib.sha256(name.encode()).digest()  # of the name alone: an experiment can be repeated
    order = int.from_bytes(chance[:8]) % (PRIME - 1) + 1, int.from_bytes(chance[8:16]) % PRIME
    row = db.execute(
        "INSERT INTO rater (name, token_hash, wage_micro, is_owner, slope, offset) VALUES (?, ?, ?, ?, ?, ?)",
        (name, _hash(token) if token else None, wage_micro, is_owner, *order),
    )
    queue.note(db, "added", rater=row.lastrowid)
    return find(db, name)


def rater_of(row: sqlite3.Row) -> Rater:
    is_owner, is_paused, is_retracted = (bool(row[flag]) for flag in ("is_owner", "is_paused", "is_retracted"))
    return Rater(row["id"], row["name"], row["wage_micro"], is_owner, is_paused, is_retracted, row["seen"])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
