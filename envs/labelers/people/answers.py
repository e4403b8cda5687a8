"""Answers in the file: how one is kept and paid, and how it gives way."""

import json
import sqlite3
from dataclasses import dataclass

from . import pay
from .queue import Queue
from .verdict import Verdict


@dataclass(frozen=True)
class Stated:
    """What is going to be kept about a question."""

    rater: int
    wage_micro: int  # the rater's, an hour
    uuid: str
    verdict: Verdict  # in the question's own sides
    seconds: float
    state: str
    undo_until: float = 0.0
    replaces: str | None = None


def state_of(is_retracted: bool, question: sqlite3.Row, purpose: str = "label") -> str:
    """Of a new answer: the first one to a question counts."""
    if purpose != "label":
        return purpose
    if is_retracted:
        return "retracted"
    return "counted" if question["state"] == "queued" else "duplicate"


def keep(queue: Queue, db: sqlite3.Connection, question: int, stated: Stated) -> sqlite3.Row:
    """Write an answer and what it costs: as a label's price where it counts, else as work. -> its row"""
    price = pay.price(queue, stated.wage_micro, stated.seconds, has_fee=True)
    values = (stated.uuid, question, stated.rater, json.dumps(stated.verdict), stated.seconds, price, queue.now())
    row = db.execute(
        "INSERT INTO answer VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, stated.state, stated.replaces)
    )
    if stated.state == "counted":
        db.execute(
            "UPDATE question SET state = 'answered', answer = ?, undo_until = ? WHERE id = ?",
            (row.lastrowid, stated.undo_until, question),
        )
    else:
        owe(queue, db, stated.uuid, stated.rater, stated.seconds, price, stated.state)
    queue.note(db, "answered" if stated.state == "counted" else stated.state, question, stated.rater, stated.uuid)
    return db.execute("SELECT * FROM answer WHERE id = ?", (row.lastrowid,)).fetchone()


def owe(
    queue: Queue, db: sqlite3.Connection, uuid: str, rater: int, seconds: float, price_micro: int, reason: str
) -> None:
    """Owe a rater for time that brought no label, once for each uuid of an answer or a skip."""
    row = (work_key(rater, uuid), rater, seconds, price_micro, reason, queue.now())
    db.execute("INSERT OR IGNORE INTO work VALUES (?, ?, ?, ?, ?, ?, 'open')", row)


def work_key(rater: int, uuid: str) -> str:
    return f"work/{rater}/{uuid}"


def demote(queue: Queue, db: sqlite3.Connection, answer: sqlite3.Row, state: str) -> None:
    """An answer that counted, and that the trainer has not got, becomes paid work. Its question is the caller's."""
    db.execute("UPDATE answer SET state = ? WHERE id = ?", (state, answer["id"]))
    owe(queue, db, answer["uuid"], answer["rater"], answer["seconds"], answer["price_micro"], state)


def promote(queue: Queue, db: sqlite3.Connection, question: int) -> bool:
    """Let a duplicate count that the trainer has not paid as work yet. -> whether there was one."""
    rows = db.execute(
        "SELECT a.*, w.key AS work FROM answer a JOIN work w ON w.key = 'work/' || a.rater || '/' || a.uuid "
        "WHERE a.question = ? AND a.state = 'duplicate' AND w.state = 'open' ORDER BY a.id",
        (question,),
    ).fetchall()
    if not rows:
        return False
    first = rows[0]
    db.execute("DELETE FROM work WHERE key = ?", (first["work"],))
    db.execute("UPDATE answer SET state = 'counted' WHERE id = ?", (first["id"],))
    db.execute(
        "UPDATE question SET state = 'answered', answer = ?, undo_until = 0 WHERE id = ?", (first["id"], question)
    )
    queue.note(db, "answered", question, first["rater"], first["uuid"])
    return True


def take_back_retracted(queue: Queue, db: sqlite3.Connection, rater: int) -> None:
    """What a retracted rater answered and the trainer has not got is asked anew; the pay stays."""
    own = db.execute(
        "SELECT a.* FROM question q JOIN answer a ON a.id = q.answer WHERE q.state = 'answered' AND q.undo_until > 0 "
        "AND a.rater = ?",
        (rater,),
    ).fetchall()
    for one in own:
        demote(queue, db, one, "retracted")
        db.execute("UPDATE question SET state = 'queued', answer = NULL WHERE id = ?", (one["question"],))
        queue.note(db, "queued", one["question"], rater, "retracted")
