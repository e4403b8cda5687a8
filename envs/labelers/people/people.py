"""The labeler that asks people: the trainer's side of RUN/questions.db."""

import json
import math
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ...records import Answer, Declined, Question, QuestionKind, Reply, Work
from ..base import LabelerConfig
from . import pay
from .answers import demote, owe, promote
from .counter import give_up_skipped
from .films import drop_sights, packed
from .overview import GIVEN_UP, Overview
from .queue import FILE, IDENTITY, Queue
from .raters import Raters
from .schema import QueueRefused
from .verdict import worth

HEARTBEAT_SECONDS = 5.0
PROMPTS = {
    "step": "How good is what happens in the last picture?",
    "clip": "How good is what happens in this clip?",
    "pair": "Which of the two is better?",
    "moments": "Mark each moment of success and each of failure.",
}


class People:
    """Leaves questions in the queue and brings what raters say.

    An answer is handed out once its undo time is over, and counts as collected at the next call, which shows that the
    trainer has kept what it got before. A trainer that was killed in between submits the question again and gets the same
    answer; work that it may have lost is handed out again under its key. So nothing is lost, and a key tells what is twice.
    """

    def __init__(self, folder: Path, config: LabelerConfig, label_micro: int, now: Callable[[], float] = time.time):
        """Opens nothing yet: the run's folder may still have to be made. label_micro: price.label."""
        self._folder, self._config, self._now = Path(folder), config, now
        self._prices = {
            "ceiling_micro": math.ceil(config.ceiling * label_micro),
            "fee_micro": pay.to_micro("labeler.fee", config.fee),
        }
        self._queue: Queue | None = None
        self._has_begun = False  # whether a call has told what the trainer before this one had kept
        self._heard_of = 0.0  # when the queue was last told that the trainer lives

    @property
    def queue(self) -> Queue:
        """QueueRefused where the run's folder holds another run's."""
        if self._queue is None:
            self._queue = Queue.create(self._folder, self._now)
            self._queue.set_meta(
                prices=self._prices,
                wage_micro=pay.to_micro("labeler.wage", self._config.wage),
                kind=self._config.kind,
                prompt=self._prompt(self._config.kind),
                scale=[self._config.low, self._config.high],
            )
        return self._queue

    def submit(self, questions: list[Question]) -> None:
        """Ask. A key that was asked before is the same question: its answer comes again where there is one."""
        seen_keys = {row["key"] for row in self.queue.read("SELECT key FROM sight JOIN question ON id = question")}
        # Before the transaction: it takes about a millisecond each, in which nobody else could write.
        sights = {one.key: packed(one.sights) for one in questions if one.key not in seen_keys}
        with self.queue.writing() as db:
            self._confirm(db, {question.key for question in questions})
            for question in questions:
                known = db.execute("SELECT * FROM question WHERE key = ?", (question.key,)).fetchone()
                if known is None:
                    self._ask(db, question, sights[question.key])
                else:
                    self._ask_again(db, question, known, sights.get(question.key))

    def collect(self) -> list[Reply]:
        """What has been answered, declined and worked since; what was handed out at the call before counts as kept."""
        with self.queue.writing() as db:
            self._confirm(db, set())
            self._pay_lapsed(db)
            give_up_skipped(self.queue, db)
            self._live(db)
            return [*self._answers(db), *self._declined(db), *self._work(db)]

    def expire(self, keys: Sequence[str]) -> None:
        """Nobody waits for these any more. What was or will be answered about them is paid as work."""
        with self.queue.writing() as db:
            for key in keys:
                row = db.execute("SELECT * FROM question WHERE key = ?", (key,)).fetchone()
                if row is not None and row["state"] != "collected":
                    self._expire(db, row)

    def status(self) -> str:
        return Overview(self.queue).line()

    def told(self, facts: dict) -> None:
        """Keep what the trainer knows of raters and clips, for the owner's page; what it said before stays where it says nothing."""
        plain = json.loads(json.dumps({name: value for name, value in facts.items() if name != "predictions"}))
        self.queue.set_meta(facts=self.queue.meta("facts", {}) | plain)
        with self.queue.writing() as db:
            rows = [(float(value), key) for key, value in facts.get("predictions", {}).items()]
            db.executemany("UPDATE question SET prediction = ? WHERE key = ?", rows)

    def retracted(self) -> set[str]:
        """The raters whose labels are to weigh nothing."""
        return Raters(self.queue).retracted()

    def close(self) -> None:
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    def _prompt(self, kind: QuestionKind) -> str:
        return self._config.prompt_of(kind) or PROMPTS[kind]

    def _ask(self, db: sqlite3.Connection, question: Question, sights: bytes) -> None:
        values = (
            question.key,
            question.kind,
            question.tier,
            self._prompt(question.kind),
            _clips(question),
            question.clip.length,
            self._config.low,
            self._config.high,
            self.queue.now(),
        )
        row = db.execute(
            "INSERT INTO question (key, kind, tier, prompt, clips, num_rows, low, high, asked) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        db.execute("INSERT INTO sight VALUES (?, ?)", (row.lastrowid, sights))
        self.queue.note(db, "queued", row.lastrowid)

    def _ask_again(self, db: sqlite3.Connection, question: Question, known: sqlite3.Row, sights: bytes | None) -> None:
        """sights: where those that it was asked with are gone."""
        if (known["kind"], known["clips"]) != (question.kind, _clips(question)):
            place = self.queue.path
            raise QueueRefused(
                "foreign", f"{place}: {question.key} is another question there: move {FILE} and {IDENTITY} away"
            )
        state = known["state"]
        if state in ("handed", "collected"):
            state = "declined" if known["answer"] is None else "answered"
            db.execute("UPDATE question SET state = ?, undo_until = 0 WHERE id = ?", (state, known["id"]))
            self.queue.note(db, state, known["id"], detail="asked again")
        elif state == "expired" and not promote(self.queue, db, known["id"]):
            db.execute("UPDATE question SET state = 'queued' WHERE id = ?", (known["id"],))
            if sights is not None:
                db.execute("INSERT INTO sight VALUES (?, ?)", (known["id"], sights))
            self.queue.note(db, "queued", known["id"], detail="asked again")

    def _confirm(self, db: sqlite3.Connection, asked_again: set[str]) -> None:
        """What was handed out and is not asked again was kept. Work of a trainer that ended may have been lost with it."""
        handed = db.execute("SELECT id, key FROM question WHERE state = 'handed'").fetchall()
        for row in handed:
            if row["key"] not in asked_again:
                db.execute("UPDATE question SET state = 'collected' WHERE id = ?", (row["id"],))
                self.queue.note(db, "collected", row["id"])
                drop_sights(db, row["id"])
        state = "collected" if self._has_begun else "open"
        db.execute("UPDATE work SET state = ? WHERE state = 'handed'", (state,))
        self._has_begun = True

    def _pay_lapsed(self, db: sqlite3.Connection) -> None:
        """Leases that are over are noted; of an answer that was taken back and never given again the time is paid."""
        over = db.execute(
            "SELECT a.*, r.wage_micro FROM assignment a JOIN rater r ON r.id = a.rater "
            "WHERE a.outcome IS NULL AND a.until <= ?",
            (self.queue.now(),),
        ).fetchall()
        for one in over:
            whose = one["question"], one["rater"]
            db.execute("UPDATE assignment SET outcome = 'lapsed', carried = 0 WHERE question = ? AND rater = ?", whose)
            self.queue.note(db, "lapsed", *whose)
            if one["carried"]:
                price = pay.price(self.queue, one["wage_micro"], one["carried"], has_fee=False)
                owe(self.queue, db, one["replaces"], one["rater"], one["carried"], price, "taken back")

    def _answers(self, db: sqlite3.Connection) -> list[Answer]:
        rows = db.execute(
            "SELECT q.*, a.verdict, a.seconds, a.price_micro, r.name AS rater FROM question q JOIN answer a ON a.id = q.answer "
            "JOIN rater r ON r.id = a.rater WHERE q.state = 'answered' AND q.undo_until <= ? ORDER BY a.id",
            (self.queue.now(),),
        ).fetchall()
        self._hand(db, rows)
        return [_answer(row) for row in rows]

    def _declined(self, db: sqlite3.Connection) -> list[Declined]:
        rows = db.execute("SELECT * FROM question WHERE state = 'declined' ORDER BY id").fetchall()
        self._hand(db, rows)
        return [Declined(row["key"], row["reason"], row["reason"] == GIVEN_UP) for row in rows]

    def _hand(self, db: sqlite3.Connection, rows: list[sqlite3.Row]) -> None:
        for row in rows:
            db.execute("UPDATE question SET state = 'handed', undo_until = 0 WHERE id = ?", (row["id"],))
            self.queue.note(db, "handed", row["id"])

    def _work(self, db: sqlite3.Connection) -> list[Work]:
        rows = db.execute(
            "SELECT w.*, r.name FROM work w JOIN rater r ON r.id = w.rater WHERE w.state = 'open' ORDER BY w.time, w.key"
        ).fetchall()
        db.execute("UPDATE work SET state = 'handed' WHERE state = 'open'")
        return [Work(row["key"], row["name"], row["seconds"], row["price_micro"], row["reason"]) for row in rows]

    def _expire(self, db: sqlite3.Connection, row: sqlite3.Row) -> None:
        if row["state"] == "handed":  # the trainer has it and says so
            return
        if row["state"] == "answered":
            demote(
                self.queue,
                db,
                db.execute("SELECT * FROM answer WHERE id = ?", (row["answer"],)).fetchone(),
                "duplicate",
            )
        db.execute("UPDATE question SET state = 'expired', answer = NULL WHERE id = ?", (row["id"],))
        self.queue.note(db, "expired", row["id"])
        drop_sights(db, row["id"])

    def _live(self, db: sqlite3.Connection) -> None:
        """Say now and then that the trainer is there."""
        if self._now() - self._heard_of < HEARTBEAT_SECONDS:
            return
        self._heard_of = self._now()
        value = json.dumps({"seen": self._heard_of, "pid": os.getpid()})
        db.execute("INSERT OR REPLACE INTO meta VALUES ('trainer', ?)", (value,))


def _clips(question: Question) -> str:
    return json.dumps([[clip.env, clip.step, clip.length] for clip in question.clips])


def _answer(row: sqlite3.Row) -> Answer:
    value, moments = worth(row["kind"], json.loads(row["verdict"]), row["num_rows"], row["low"], row["high"])
    return Answer(row["key"], value, row["rater"], row["seconds"], row["price_micro"], moments)
