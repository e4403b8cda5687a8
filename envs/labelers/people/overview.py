"""What the owner sees: what is open, who answers how fast, what it costs."""

import json
import sqlite3
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .counter import midnight
from .pay import HOUR, MICRO
from .queue import Queue
from .raters import Rater, Raters
from .schema import QueueRefused
from .serving import where
from .verdict import CHOICES, check_id, checked

ACTIVE_SECONDS = 120.0  # since a rater was last heard of
LEAST_GOLDS, POOR_GOLD = 5, 0.75  # off by more than a key of five on average, over so many clips
GIVEN_UP = "given up by the owner"


@dataclass(frozen=True)
class Shift:
    """A rater and what the rater has done."""

    rater: Rater
    is_active: bool
    today: int  # answers
    answers: int  # all of them
    median_seconds: float
    coins: float  # earned, all of it
    owed: float  # of these: time that is not booked, as the trainer has not heard of it or the budget has nothing free
    skips: int
    agreement: float | None  # with others on the same clips, from 0 to 1; None: there are none
    gold: float | None  # the same with the owner, on marked clips that looked like any other
    golds: int  # how many such clips the rater has answered

    @property
    def hourly(self) -> float:
        """Answers an hour of active work."""
        return HOUR / self.median_seconds if self.median_seconds else 0.0

    @property
    def is_off_gold(self) -> bool:
        """Whether the rater sees clips otherwise than the owner, as far as enough of them tell."""
        return self.gold is not None and self.golds >= LEAST_GOLDS and self.gold < POOR_GOLD

    @property
    def wage(self) -> float:
        """Coins an hour."""
        return self.rater.wage_micro / MICRO


class Overview:
    """Reads; `mark` and `expire` write."""

    def __init__(self, queue: Queue):
        self.queue = queue

    def counts(self) -> dict[str, int]:
        """state -> questions, beside leased: those of them that somebody holds."""
        found = {
            row["state"]: row["number"]
            for row in self.queue.read("SELECT state, COUNT(*) AS number FROM question GROUP BY state")
        }
        leased = self.queue.read(
            "SELECT COUNT(DISTINCT a.question) FROM assignment a JOIN question q ON q.id = a.question "
            "WHERE a.outcome IS NULL AND a.until > ? AND q.state = 'queued'",
            (self.queue.now(),),
        )
        return found | {"leased": leased[0][0]}

    def oldest_seconds(self) -> float:
        """How long the oldest open question has waited; 0 without any."""
        first = self.queue.read("SELECT MIN(asked) FROM question WHERE state = 'queued'")[0][0]
        return 0.0 if first is None else max(0.0, self.queue.now() - first)

    def shifts(self) -> list[Shift]:
        """Of the raters; the owner is none."""
        return [self._shift(rater) for rater in Raters(self.queue).all() if not rater.is_owner]

    def last_hour(self) -> int:
        """Answers that came in the last hour."""
        since = self.queue.now() - HOUR
        return self.queue.read("SELECT COUNT(*) FROM answer WHERE time > ? AND state != 'undone'", (since,))[0][0]

    def last_hour_coins(self) -> float:
        """What answers and other work of the last hour cost."""
        rows = self.queue.read(
            "SELECT (SELECT TOTAL(price_micro) FROM answer WHERE time > :since AND state = 'counted') + "
            "(SELECT TOTAL(price_micro) FROM work WHERE time > :since)",
            {"since": self.queue.now() - HOUR},
        )
        return rows[0][0] / MICRO

    def line(self) -> str:
        """Such as "37 open, oldest 12 min, 2 raters, 410/h, http://127.0.0.1:8600"; at last how to serve it while nobody does."""
        shifts = [shift for shift in self.shifts() if shift.is_active]
        number = self.counts().get("queued", 0)
        parts = [f"{number} open"]
        if number:
            parts.append(f"oldest {self.oldest_seconds() / 60:.0f} min")
        parts.append(f"{len(shifts)} rater{'s' * (len(shifts) != 1)}")
        if self.queue.meta("is_paused", False):
            parts.append("paused")
        return ", ".join([*parts, f"{self.last_hour()}/h", where(self.queue)])

    def mark(self, question: int, verdict: Any) -> None:
        """The owner's own answer, in the question's own sides: raters practise on it. None takes it away. QueueRefused."""
        check_id(question)
        with self.queue.writing() as db:
            row = db.execute("SELECT * FROM question WHERE id = ?", (question,)).fetchone()
            if row is None:
                raise QueueRefused("unknown", f"question {question}: there is none")
            stated = None if verdict is None else json.dumps(checked(row["kind"], row["num_rows"], verdict))
            db.execute("UPDATE question SET mark = ? WHERE id = ?", (stated, question))
            self.queue.note(db, "marked", question, detail=stated or "")

    def expire(self) -> int:
        """Give up what is open: the trainer hears that it was declined. -> how many. Who looks at one still is paid."""
        with self.queue.writing() as db:
            rows = db.execute("SELECT id FROM question WHERE state = 'queued'").fetchall()
            for row in rows:
                db.execute("UPDATE question SET state = 'declined', reason = ? WHERE id = ?", (GIVEN_UP, row["id"]))
                self.queue.note(db, "declined", row["id"], detail=GIVEN_UP)
        return len(rows)

    def _shift(self, rater: Rater) -> Shift:
        now = self.queue.now()
        rows = self.queue.read(
            "SELECT seconds, price_micro, time, state FROM answer WHERE rater = ? AND state != 'undone' ORDER BY id",
            (rater.id,),
        )
        work = self.queue.read("SELECT SUM(price_micro) FROM work WHERE rater = ?", (rater.id,))[0][0] or 0
        late = self.queue.read("SELECT TOTAL(price_micro) FROM work WHERE rater = ? AND state = 'open'", (rater.id,))
        owed = self.queue.meta("facts", {}).get("owed", {}).get(rater.name, 0.0)
        golds = self._golds(rater)
        counted = sum(row["price_micro"] for row in rows if row["state"] == "counted")
        skips = self.queue.read(
            "SELECT COUNT(*) FROM event WHERE rater = ? AND what IN ('skipped', 'cannot_tell')", (rater.id,)
        )[0][0]
        return Shift(
            rater=rater,
            is_active=rater.seen is not None and now - rater.seen < ACTIVE_SECONDS,
            today=sum(row["time"] >= midnight(now) for row in rows),
            answers=len(rows),
            median_seconds=statistics.median([row["seconds"] for row in rows[-50:]] or [0.0]),
            coins=(counted + work) / MICRO,
            owed=owed + late[0][0] / MICRO,
            skips=skips,
            agreement=self._agreement(rater),
            gold=_nearness(golds),
            golds=len(golds),
        )

    def _agreement(self, rater: Rater) -> float | None:
        """1 less the mean distance of the rater's scores from those of others on the same questions."""
        rows = self.queue.read(
            "SELECT a.verdict AS own, b.verdict AS other FROM answer a JOIN answer b ON a.question = b.question "
            "JOIN question q ON q.id = a.question WHERE a.rater = ? AND b.rater != a.rater AND q.kind != 'moments' "
            "AND a.state != 'undone' AND b.state != 'undone'",
            (rater.id,),
        )
        return _nearness(rows)

    def _golds(self, rater: Rater) -> list[sqlite3.Row]:
        """own: what the rater said of clips that the owner has marked; other: the mark. Practice is told, and so counts not."""
        return self.queue.read(
            "SELECT a.verdict AS own, q.mark AS other FROM answer a JOIN question q ON q.id = a.question "
            "WHERE a.rater = ? AND a.state = 'gold' AND q.mark IS NOT NULL AND q.kind != 'moments'",
            (rater.id,),
        )


def _nearness(rows: Sequence[sqlite3.Row]) -> float | None:
    scores = [[_score(json.loads(text)) for text in (row["own"], row["other"])] for row in rows]
    return 1 - statistics.fmean(abs(own - other) for own, other in scores) if scores else None


def _score(verdict: float | str) -> float:
    return CHOICES[verdict] if isinstance(verdict, str) else verdict
