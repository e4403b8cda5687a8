"""Taking in answers that were made elsewhere: all of a file, or nothing."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from .. import pay
from ..answers import Stated, keep, state_of
from ..queue import Queue
from ..raters import Rater, add, check_name, rater_of
from ..schema import QueueRefused
from ..verdict import Verdict, check_seconds, check_uuid, checked
from .records import Stranger

MOST_TOLD = 10  # refused lines


@dataclass(frozen=True)
class Imported:
    counted: int = 0  # labels
    others: int = 0  # kept beside: the question had an answer, was closed, or the rater is retracted
    known: int = 0  # were there before


def import_answers(queue: Queue, strangers: Sequence[Stranger]) -> Imported:
    """Keep them as if their raters had given them here; whoever is not known is added, without a token.

    Their seconds are paid as far as those of an answer here would be, and say nothing of how long the next ones may take.

    QueueRefused (invalid) names each line that cannot be kept, and nothing of the file is.
    """
    with queue.writing() as db:
        refused, states = [], []
        for stranger in strangers:
            try:
                states.append(_take(queue, db, stranger))
            except QueueRefused as error:
                refused.append(f"{stranger.place}: {error}")
        if refused:
            more = f"; and {len(refused) - MOST_TOLD} more" if len(refused) > MOST_TOLD else ""
            raise QueueRefused("invalid", f"nothing is imported: {'; '.join(refused[:MOST_TOLD])}{more}")
    counted, known = states.count("counted"), states.count("known")
    return Imported(counted, len(states) - counted - known, known)


def _take(queue: Queue, db: sqlite3.Connection, stranger: Stranger) -> str:
    """-> the state of the answer, or known"""
    question = _question(db, stranger)
    verdict = checked(question["kind"], question["num_rows"], stranger.verdict)
    check_seconds(stranger.seconds)
    check_name(stranger.rater)
    uuid = stranger.uuid or str(uuid5(NAMESPACE_URL, f"{stranger.key}#{stranger.rater}"))
    check_uuid(uuid)
    if db.execute("SELECT 1 FROM answer WHERE uuid = ?", (uuid,)).fetchone():
        return "known"
    row = db.execute("SELECT * FROM rater WHERE name = ?", (stranger.rater,)).fetchone()
    rater = rater_of(row) if row else add(queue, db, stranger.rater, None, None)
    return _keep(queue, db, rater, question, uuid, verdict, float(stranger.seconds))


def _question(db: sqlite3.Connection, stranger: Stranger) -> sqlite3.Row:
    if not isinstance(stranger.key, str):
        raise QueueRefused("invalid", f"key: must be a question's, got {stranger.key!r:.60}")
    question = None
    if stranger.key.isprintable():  # half of a surrogate pair, for one, cannot even be looked up
        question = db.execute("SELECT * FROM question WHERE key = ?", (stranger.key,)).fetchone()
    if question is None:
        told = stranger.key[:60] if stranger.key.isprintable() else f"{stranger.key!a:.60}"
        raise QueueRefused("unknown", f"key: no question {told} was asked in this run")
    return question


def _keep(
    queue: Queue,
    db: sqlite3.Connection,
    rater: Rater,
    question: sqlite3.Row,
    uuid: str,
    verdict: Verdict,
    seconds: float,
) -> str:
    state = state_of(rater.is_retracted, question)
    now = queue.now()
    lease = db.execute(
        "SELECT carried, replaces FROM assignment WHERE question = ? AND rater = ?", (question["id"], rater.id)
    ).fetchone()
    carried, replaces = (lease["carried"], lease["replaces"]) if lease else (0.0, None)
    db.execute(
        "INSERT INTO assignment VALUES (?, ?, 'import', ?, ?, 'answered', 0, NULL) ON CONFLICT DO UPDATE SET carried = 0, "
        "outcome = 'answered', purpose = CASE WHEN outcome = 'answered' THEN purpose ELSE excluded.purpose END",
        (question["id"], rater.id, now, now),
    )
    # An answer of the rater's that was taken back and not given again yet was paid nowhere: its time is this one's.
    seconds = min(seconds + carried, pay.allowance(db, rater.id))
    stated = Stated(rater.id, rater.wage_micro, uuid, verdict, seconds, state, replaces=replaces if carried else None)
    keep(queue, db, question["id"], stated)
    return state
