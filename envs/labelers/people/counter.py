"""Where raters are served: they get questions, answer, take back and skip."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass

from . import pay
from .answers import Stated, keep, owe, state_of
from .queue import Queue
from .raters import PRIME, Rater, find
from .schema import QueueRefused
from .verdict import Given, Verdict, check_id, check_seconds, check_uuid, mirrored

UNDO_SECONDS = 10.0  # that an answer stays with the rater at least
MOST_HELD = 2  # questions of a rater at a time: the one looked at and the next
LONGEST_HOLD = 20  # allowances, after which a heartbeat does not hold a question any longer
PRACTICE = 5  # questions that a rater begins with, as far as the owner has marked some
GOLD_EVERY = 20  # about so many questions hold one that the owner has marked
SEEN_SECONDS = 5.0  # how exactly it is known when a rater was last heard of
PRESENT_SECONDS = 3600.0  # since a rater was last heard of, who counts as there for others to be left
CHOSEN_FROM = 200  # open questions, the oldest: to order all of them anew for everybody who asks takes too long
SKIPS = 2  # raters after whom a question is given up
OUTCOMES = ("skipped", "cannot_tell")


@dataclass(frozen=True)
class Item:
    """A question as a rater sees it. Practice, gold and directed questions look like any other."""

    question: int
    kind: str
    prompt: str
    rows: int  # of a clip
    sides: tuple[int, ...]  # of the films, in the order in which they are shown: (0,), (0, 1) or (1, 0)
    until: float  # seconds since the epoch: how long it is held
    replaces: str | None  # the uuid of the rater's answer that was taken back


@dataclass(frozen=True)
class Receipt:
    """What became of an answer: counted, duplicate (somebody was before), practice, gold, retracted or undone."""

    uuid: str
    state: str
    undo_until: float  # seconds since the epoch; afterwards, until the trainer fetches it; 0: it cannot be taken back
    today: int  # answers of the rater since midnight
    median_seconds: float
    feedback: Verdict | None = None  # of practice: the owner's own answer, in the sides that the rater saw


class Counter:
    """The rater's verbs. Each is one transaction and may be repeated: a second time it changes nothing.

    All raise QueueRefused: of a rater, question or uuid that is not known, of what makes no sense, while paused.
    """

    def __init__(self, queue: Queue):
        self.queue = queue

    def next(self, rater: str, held: Collection[int] = ()) -> Item | None:
        """The question that the rater holds and does not name in `held`, or another one in an order of the rater's own.

        Never one that somebody else holds; those with films first. None: there is nothing to do now. QueueRefused (paused,
        retracted).
        """
        with self.queue.writing() as db:
            who = find(db, rater)
            self._see(db, who)
            holding = self._holding(db, who)
            for question in holding:
                if question not in held:
                    return self._item(db, who, question)
            self._check_works(who)
            if len(holding) >= MOST_HELD:
                return None
            found = self._draw(db, who)
            if found is None:
                return None
            question, purpose = found
            until = self.queue.now() + pay.allowance(db, who.id)
            db.execute(
                "INSERT INTO assignment VALUES (?, ?, ?, ?, ?, NULL, 0, NULL) ON CONFLICT DO UPDATE SET "
                "since = excluded.since, until = excluded.until, outcome = NULL, purpose = excluded.purpose",
                (question, who.id, purpose, self.queue.now(), until),
            )
            self.queue.note(db, "leased", question, who.id, purpose)
            return self._item(db, who, question)

    def answer(self, rater: str, given: Given) -> Receipt:
        """Keep an answer. The same uuid again has the same receipt; seconds are capped by the time since the question was
        given and by three medians. One that comes too late is kept and paid too.

        QueueRefused: closed where the rater has answered or skipped it already, unknown where it never was the rater's.
        """
        check_id(given.question)
        with self.queue.writing() as db:
            who = find(db, rater)
            self._see(db, who)
            question = db.execute("SELECT * FROM question WHERE id = ?", (given.question,)).fetchone()
            lease = self._lease(db, given.question, who)
            verdict = given.verdict(question["kind"], question["num_rows"])
            if self._is_swapped(question, who):
                verdict = mirrored(verdict)
            known = db.execute("SELECT * FROM answer WHERE uuid = ?", (given.uuid,)).fetchone()
            if known is not None:
                if (known["question"], known["rater"], json.loads(known["verdict"])) != (
                    question["id"],
                    who.id,
                    verdict,
                ):
                    raise QueueRefused("invalid", f"uuid: {given.uuid} is another answer's")
                return self._receipt(db, who, question, known)
            if lease["outcome"] in ("answered", *OUTCOMES):
                raise QueueRefused(
                    "closed", f"question {given.question}: you have {lease['outcome'].replace('_', ' ')} it"
                )
            kept = self._keep(db, who, question, lease, given, verdict)
            question = db.execute("SELECT * FROM question WHERE id = ?", (given.question,)).fetchone()
            return self._receipt(db, who, question, kept)

    def undo(self, rater: str, uuid: str) -> Item:
        """Take an answer back: its question is the rater's again. QueueRefused (closed) once the trainer has it."""
        check_uuid(uuid)
        with self.queue.writing() as db:
            who = find(db, rater)
            answer = db.execute("SELECT * FROM answer WHERE uuid = ? AND rater = ?", (uuid, who.id)).fetchone()
            if answer is None:
                raise QueueRefused("unknown", f"uuid: {uuid} is no answer of yours")
            if answer["state"] == "undone":
                return self._item(db, who, answer["question"])
            question = db.execute("SELECT * FROM question WHERE id = ?", (answer["question"],)).fetchone()
            if answer["state"] != "counted" or question["state"] != "answered" or not question["undo_until"]:
                raise QueueRefused("closed", "this answer cannot be taken back any more")
            db.execute("UPDATE answer SET state = 'undone' WHERE id = ?", (answer["id"],))
            db.execute("UPDATE question SET state = 'queued', answer = NULL WHERE id = ?", (question["id"],))
            db.execute(
                "UPDATE assignment SET outcome = NULL, since = ?, until = ?, carried = ?, replaces = ? "
                "WHERE question = ? AND rater = ?",
                (
                    self.queue.now(),
                    self.queue.now() + pay.allowance(db, who.id),
                    answer["seconds"],
                    uuid,
                    question["id"],
                    who.id,
                ),
            )
            self.queue.note(db, "undone", question["id"], who.id, uuid)
            return self._item(db, who, question["id"])

    def skip(self, rater: str, question: int, uuid: str, seconds: float = 0.0, outcome: str = "skipped") -> None:
        """Leave a question to somebody else; outcome cannot_tell says why. The time is paid.

        After two raters, or all that are there, it is given up.
        """
        check_id(question)
        check_uuid(uuid)
        check_seconds(seconds)
        if outcome not in OUTCOMES:
            raise QueueRefused("invalid", f"outcome: must be skipped or cannot_tell, got {outcome!r:.60}")
        with self.queue.writing() as db:
            who = find(db, rater)
            self._see(db, who)
            lease = self._lease(db, question, who)
            if lease["outcome"] in OUTCOMES:
                return
            if lease["outcome"] == "answered":
                raise QueueRefused("closed", f"question {question}: you have answered it")
            paid = self._seconds(db, who, lease, seconds)
            db.execute(
                "UPDATE assignment SET outcome = ?, carried = 0 WHERE question = ? AND rater = ?",
                (outcome, question, who.id),
            )
            self.queue.note(db, outcome, question, who.id, uuid)
            price = pay.price(self.queue, who.wage_micro, paid, has_fee=False)
            owe(self.queue, db, uuid, who.id, paid, price, outcome)
            give_up_skipped(self.queue, db)

    def heartbeat(self, rater: str, question: int | None = None) -> None:
        """Say that the page is open and, with a question, that it is looked at: it is held a minute more, not for ever."""
        with self.queue.writing() as db:
            who = find(db, rater)
            self._see(db, who)
            if question is not None:
                check_id(question)
                now = self.queue.now()
                db.execute(
                    "UPDATE assignment SET until = MAX(until, MIN(?, since + ?)) "
                    "WHERE question = ? AND rater = ? AND outcome IS NULL AND until > ?",
                    (now + pay.LEAST_SECONDS, LONGEST_HOLD * pay.allowance(db, who.id), question, who.id, now),
                )

    def today(self, rater: str) -> tuple[int, float]:
        """How many answers the rater has given since midnight, and the median seconds of each."""
        with self.queue.writing() as db:
            return self._today(db, find(db, rater))

    def _see(self, db: sqlite3.Connection, who: Rater) -> None:
        """Not at every call: a page that asks again and again must not make the disk write each time."""
        if who.seen is None or self.queue.now() - who.seen >= SEEN_SECONDS:
            db.execute("UPDATE rater SET seen = ? WHERE id = ?", (self.queue.now(), who.id))

    def _check_works(self, who: Rater) -> None:
        if who.is_retracted:
            raise QueueRefused("retracted", "your answers are not counted any more; ask the owner of the run")
        if who.is_paused or self.queue.meta("is_paused", False):
            raise QueueRefused("paused", "there is a pause; what you have done is saved")
        if self._is_left(who):
            raise QueueRefused(
                "paused", "no more of your answers are needed now; thank you, what you have done is saved"
            )

    def _is_left(self, who: Rater) -> bool:
        """Whether the trainer has found the rater biased, and somebody else is there whom it has not."""
        return not who.is_owner and who.name not in _working(self.queue)

    def _holding(self, db: sqlite3.Connection, who: Rater) -> list[int]:
        """Questions that the rater holds and whose answers would be of use, the oldest first."""
        rows = db.execute(
            "SELECT q.id FROM question q JOIN assignment a ON a.question = q.id WHERE a.rater = ? AND a.outcome IS NULL "
            "AND a.until > ? AND (q.state = 'queued' OR a.purpose != 'label') ORDER BY a.since, q.id",
            (who.id, self.queue.now()),
        )
        return [row["id"] for row in rows]

    def _draw(self, db: sqlite3.Connection, who: Rater) -> tuple[int, str] | None:
        """(question, purpose) of what the rater is to do next."""
        purpose = "label" if who.is_owner or not self._is_going_on(db) else self._purpose(db, who)
        if purpose != "label" and (marked := self._marked(db, who)) is not None:
            return marked, purpose
        values = self._order(db, who) | {"now": self.queue.now()}
        for which in ("AND EXISTS (SELECT 1 FROM film f WHERE f.question = q.id)", ""):
            row = db.execute(
                f"""SELECT q.id FROM (
                    SELECT q.id FROM question q WHERE q.state = 'queued' {which} AND q.tier IN ('default', :name)
                    AND NOT EXISTS (SELECT 1 FROM assignment a WHERE a.question = q.id AND (
                        (a.outcome IS NULL AND a.until > :now)
                        OR (a.rater = :rater AND a.outcome IN ('answered', 'skipped', 'cannot_tell'))))
                    ORDER BY q.id LIMIT {CHOSEN_FROM}) q
                ORDER BY {OWN_ORDER} LIMIT 1""",
                values,
            ).fetchone()
            if row is not None:
                return row["id"], "label"
        return None

    def _is_going_on(self, db: sqlite3.Connection) -> bool:
        """Whether what a rater learns in practice will be of use, and paid by a trainer who is there or comes back."""
        is_open = db.execute("SELECT 1 FROM question WHERE state = 'queued' LIMIT 1").fetchone()
        return is_open is not None or self.queue.has_trainer()

    def _purpose(self, db: sqlite3.Connection, who: Rater) -> str:
        number = db.execute("SELECT COUNT(*) FROM assignment WHERE rater = ?", (who.id,)).fetchone()[0]
        if number < PRACTICE:
            return "practice"
        chance = hashlib.sha256(f"{who.name}/{number}".encode()).digest()
        return "gold" if int.from_bytes(chance[:4]) % GOLD_EVERY == 0 else "label"

    def _marked(self, db: sqlite3.Connection, who: Rater) -> int | None:
        row = db.execute(
            f"""SELECT q.id FROM question q WHERE q.mark IS NOT NULL AND q.state NOT IN ('queued', 'answered')
            AND q.id IN (SELECT question FROM film) AND NOT EXISTS (SELECT 1 FROM assignment a WHERE a.question = q.id AND a.rater = :rater)
            ORDER BY {OWN_ORDER} LIMIT 1""",
            self._order(db, who),
        ).fetchone()
        return None if row is None else row["id"]

    def _order(self, db: sqlite3.Connection, who: Rater) -> dict:
        row = db.execute("SELECT slope, offset FROM rater WHERE id = ?", (who.id,)).fetchone()
        return {"slope": row["slope"], "offset": row["offset"], "name": who.name, "rater": who.id}

    def _lease(self, db: sqlite3.Connection, question: int, who: Rater) -> sqlite3.Row:
        row = db.execute("SELECT * FROM assignment WHERE question = ? AND rater = ?", (question, who.id)).fetchone()
        if row is None:
            raise QueueRefused("unknown", f"question {question}: was not given to you")
        return row

    def _seconds(self, db: sqlite3.Connection, who: Rater, lease: sqlite3.Row, seconds: float) -> float:
        """Those that are paid: no more than have passed, and with what an undone answer took no more than the allowance."""
        passed = max(0.0, self.queue.now() - lease["since"])
        return min(min(float(seconds), passed) + lease["carried"], pay.allowance(db, who.id))

    def _keep(
        self,
        db: sqlite3.Connection,
        who: Rater,
        question: sqlite3.Row,
        lease: sqlite3.Row,
        given: Given,
        verdict: Verdict,
    ) -> sqlite3.Row:
        state = state_of(who.is_retracted, question, lease["purpose"])
        seconds, undo_until = self._seconds(db, who, lease, given.seconds), self.queue.now() + UNDO_SECONDS
        db.execute(
            "UPDATE assignment SET outcome = 'answered', carried = 0 WHERE question = ? AND rater = ?",
            (question["id"], who.id),
        )
        stated = Stated(who.id, who.wage_micro, given.uuid, verdict, seconds, state, undo_until, lease["replaces"])
        return keep(self.queue, db, question["id"], stated)

    def _item(self, db: sqlite3.Connection, who: Rater, question: int) -> Item:
        row = db.execute("SELECT * FROM question WHERE id = ?", (question,)).fetchone()
        lease = self._lease(db, question, who)
        sides = tuple(range(len(json.loads(row["clips"]))))
        if self._is_swapped(row, who):
            sides = sides[::-1]
        return Item(question, row["kind"], row["prompt"], row["num_rows"], sides, lease["until"], lease["replaces"])

    def _is_swapped(self, question: sqlite3.Row, who: Rater) -> bool:
        """Whether the rater sees a pair's right clip on the left: by chance, and the same at every look."""
        chance = hashlib.sha256(f"{question['key']}/{who.name}".encode()).digest()
        return question["kind"] == "pair" and bool(chance[0] & 1)

    def _receipt(self, db: sqlite3.Connection, who: Rater, question: sqlite3.Row, answer: sqlite3.Row) -> Receipt:
        is_open = answer["state"] == "counted" and question["state"] == "answered"
        feedback = None
        if answer["state"] == "practice" and question["mark"] is not None:
            feedback = json.loads(question["mark"])
            feedback = mirrored(feedback) if self._is_swapped(question, who) else feedback
        undo_until = question["undo_until"] if is_open else 0.0
        return Receipt(answer["uuid"], answer["state"], undo_until, *self._today(db, who), feedback)

    def _today(self, db: sqlite3.Connection, who: Rater) -> tuple[int, float]:
        row = db.execute(
            "SELECT COUNT(*) FROM answer WHERE rater = ? AND time >= ? AND state != 'undone'",
            (who.id, midnight(self.queue.now())),
        ).fetchone()
        return row[0], pay.median_seconds(db, who.id)


# A permutation of the questions' numbers for each rater, then squared, so that neighbours part.
_X = f"((q.id * :slope + :offset) % {PRIME})"
OWN_ORDER = f"({_X} * {_X}) % {PRIME}"


def midnight(now: float) -> float:
    """The beginning of the day, where the machine stands."""
    day = time.localtime(now)
    return time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))


def _working(queue: Queue) -> set[str]:
    """Names of the raters who are there and get questions; those found biased only while nobody else is there."""
    rows = queue.read(
        "SELECT name FROM rater WHERE NOT (is_owner OR is_paused OR is_retracted) AND seen > ?",
        (queue.now() - PRESENT_SECONDS,),
    )
    present, known = {row["name"] for row in rows}, queue.meta("facts", {}).get("raters", {})
    return {name for name in present if not known.get(name, {}).get("is_left")} or present


def give_up_skipped(queue: Queue, db: sqlite3.Connection) -> None:
    """Decline what two raters have skipped, or everybody who is there and might answer it."""
    rows = db.execute(
        """SELECT q.id, COUNT(*) AS skips, MAX(a.outcome) AS last FROM assignment a CROSS JOIN question q
        WHERE a.outcome IN ('skipped', 'cannot_tell') AND q.id = a.question AND q.state = 'queued' GROUP BY q.id
        HAVING skips >= ? OR NOT EXISTS (
            SELECT 1 FROM rater r WHERE r.name IN (SELECT value FROM json_each(?)) AND q.tier IN ('default', r.name)
            AND NOT EXISTS (SELECT 1 FROM assignment b WHERE b.question = q.id AND b.rater = r.id
                            AND b.outcome IN ('skipped', 'cannot_tell')))""",
        (SKIPS, json.dumps(sorted(_working(queue)))),
    ).fetchall()
    for row in rows:
        reason = f"{row['skips']} {'rater has' if row['skips'] == 1 else 'raters have'} skipped it"
        db.execute("UPDATE question SET state = 'declined', reason = ? WHERE id = ?", (reason, row["id"]))
        queue.note(db, "declined", row["id"], detail=reason)
