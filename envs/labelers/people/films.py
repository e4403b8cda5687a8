"""What raters look at: the sights that the trainer left, and the films that are drawn of them."""

import io
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...records import Clip, Question, QuestionKind, Sight
from .queue import Queue


@dataclass(frozen=True)
class Film:
    """One clip of a question, drawn: a film strip, all frames in a grid in one picture."""

    webp: bytes  # b"": there is nothing to see, facts say why or hold traces
    facts: dict  # plain JSON: frames, width, height, columns, fps, context, ...


class Films:
    """The darkroom draws what `undrawn` names and puts it here; pages show what `film` gives."""

    def __init__(self, queue: Queue):
        self.queue = queue

    def undrawn(self, number: int = 20) -> list[int]:
        """The ids of questions to draw now, so that `number` open ones that nobody holds have films.

        What a rater holds without a film comes first, then the oldest.
        """
        rows = self.queue.read(
            """SELECT q.id, EXISTS (SELECT 1 FROM film f WHERE f.question = q.id) AS is_drawn,
                EXISTS (SELECT 1 FROM assignment a WHERE a.question = q.id AND a.outcome IS NULL AND a.until > ?) AS is_held
            FROM question q JOIN sight s ON s.question = q.id WHERE q.state = 'queued' ORDER BY q.id""",
            (self.queue.now(),),
        )
        ahead = max(0, number - sum(row["is_drawn"] and not row["is_held"] for row in rows))
        held = [row["id"] for row in rows if row["is_held"] and not row["is_drawn"]]
        waiting = [row["id"] for row in rows if not row["is_held"] and not row["is_drawn"]]
        return held + waiting[:ahead]

    def question(self, question: int) -> Question | None:
        """With its sights; None where they are gone, as of one that was closed since `undrawn` named it."""
        rows = self.queue.read(
            "SELECT q.*, s.npz FROM question q JOIN sight s ON s.question = q.id WHERE q.id = ?", (question,)
        )
        if not rows:
            return None
        row = rows[0]
        clip, *others = (Clip(*numbers) for numbers in json.loads(row["clips"]))
        kind: QuestionKind = row["kind"]
        return Question(row["key"], clip, row["tier"], kind, others[0] if others else None, unpacked(row["npz"]))

    def put(self, question: int, films: Sequence[Film]) -> None:
        """Keep the films of all clips of a question, in their order; those before them are replaced."""
        rows = [(question, side, film.webp, json.dumps(film.facts)) for side, film in enumerate(films)]
        with self.queue.writing() as db:
            db.execute("DELETE FROM film WHERE question = ?", (question,))
            db.executemany("INSERT INTO film VALUES (?, ?, ?, ?)", rows)
            self.queue.note(db, "drawn", question)

    def film(self, question: int, side: int = 0) -> Film | None:
        """None where it is not drawn yet. side: as in `Item.sides`."""
        rows = self.queue.read("SELECT webp, facts FROM film WHERE question = ? AND side = ?", (question, side))
        return Film(rows[0]["webp"], json.loads(rows[0]["facts"])) if rows else None

    def open_films(self) -> Iterator[tuple[str, int, Film]]:
        """Of questions that wait for an answer and are drawn: key, side, film."""
        rows = self.queue.read(
            """SELECT q.key, f.side, f.webp, f.facts FROM question q JOIN film f ON f.question = q.id
            WHERE q.state = 'queued' ORDER BY q.id, f.side"""
        )
        for row in rows:
            yield row["key"], row["side"], Film(row["webp"], json.loads(row["facts"]))

    def is_shown_to(self, rater: str, question: int) -> bool:
        """Whether the rater holds or held the question."""
        rows = self.queue.read(
            "SELECT 1 FROM assignment a JOIN rater r ON r.id = a.rater WHERE r.name = ? AND a.question = ?",
            (rater, question),
        )
        return bool(rows)

    def drop_old(self, kept: int = 500) -> None:
        """Drop films of questions that are closed, but for the last `kept` of them and what the owner has marked."""
        old = self.queue.read(
            """SELECT DISTINCT question FROM film WHERE question IN (
                SELECT id FROM question WHERE state IN ('collected', 'expired') AND mark IS NULL
                ORDER BY id DESC LIMIT -1 OFFSET ?)""",
            (kept,),
        )
        if old:  # mostly there are none, and then nobody need wait for this
            with self.queue.writing() as db:
                gone = "DELETE FROM film WHERE question = ? AND (SELECT mark FROM question WHERE id = question) IS NULL"
                db.executemany(gone, [(row["question"],) for row in old])


def drop_sights(db: sqlite3.Connection, question: int) -> None:
    """Of a question that is closed for good, in a transaction of the caller's: whoever asks it again brings them again.

    What is left of it is its film, as long as it is among the newest (`drop_old`) or the owner has marked it: for the gallery,
    practice and gold; and the question with its answers, for exports.
    """
    db.execute("DELETE FROM sight WHERE question = ?", (question,))


def packed(sights: Sequence[Sight]) -> bytes:
    """As npz without pickles: numbers, names as JSON bytes, snapshots one behind the other."""
    arrays: dict[str, np.ndarray] = {}
    facts = []
    for number, sight in enumerate(sights):
        arrays[f"{number}.prev_action"] = sight.prev_action
        for index, values in enumerate(sight.obs.values()):
            arrays[f"{number}.obs.{index}"] = values
        arrays[f"{number}.snapshots"] = np.frombuffer(b"".join(sight.snapshots), np.uint8)
        lengths = [len(snapshot) for snapshot in sight.snapshots]
        facts.append({"obs": list(sight.obs), "num_padding": sight.num_padding, "snapshots": lengths})
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  names are ours
    return buffer.getvalue()


def unpacked(blob: bytes) -> tuple[Sight, ...]:
    """What `packed` packed."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
        facts = json.loads(arrays["facts"].tobytes())
        return tuple(_sight(arrays, number, one) for number, one in enumerate(facts))


def _sight(arrays: np.lib.npyio.NpzFile, number: int, facts: dict) -> Sight:
    joined, snapshots = arrays[f"{number}.snapshots"].tobytes(), []
    for length in facts["snapshots"]:
        snapshots.append(joined[:length])
        joined = joined[length:]
    obs = {key: arrays[f"{number}.obs.{index}"] for index, key in enumerate(facts["obs"])}
    return Sight(obs, arrays[f"{number}.prev_action"], facts["num_padding"], tuple(snapshots))
