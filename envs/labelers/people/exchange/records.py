"""Questions with their answers as plain records: what is exported, and what may be imported."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..queue import Queue
from ..verdict import worth

COLUMNS: tuple[str, ...] = (
    "key",
    "kind",
    "tier",
    "prompt",
    "clips",
    "rater",
    "verdict",
    "label",
    "moments",
    "seconds",
    "price_micro",
    "time",
    "uuid",
    "state",
)


@dataclass(frozen=True)
class Stranger:
    """An answer that was made elsewhere, as it was found; nothing is checked yet."""

    place: str  # for a person: "line 3"
    key: Any
    rater: Any
    verdict: Any
    seconds: Any = 0.0
    uuid: Any = None


def records(queue: Queue) -> list[dict[str, Any]]:
    """One for each answer that was not taken back, and one without rater and verdict for each question without any.

    verdict: a score from 0 to 1, left, same or right, or [[row, 1 or -1], ...]; label: what it is worth, raw reward units.
    state: of the answer (counted, duplicate, practice, gold, retracted), else of the question.
    """
    rows = queue.read(
        """SELECT q.*, a.verdict, a.seconds, a.price_micro, a.time, a.uuid, a.state AS answer_state, r.name
        FROM question q LEFT JOIN answer a ON a.question = q.id AND a.state != 'undone'
        LEFT JOIN rater r ON r.id = a.rater ORDER BY q.id, a.id"""
    )
    return [_record(dict(row)) for row in rows]


def _record(row: dict[str, Any]) -> dict[str, Any]:
    found = {name: row[name] for name in ("key", "kind", "tier", "prompt")} | {"clips": json.loads(row["clips"])}
    if row["verdict"] is None:
        return dict.fromkeys(COLUMNS) | found | {"state": row["state"]}
    verdict = json.loads(row["verdict"])
    label, moments = worth(row["kind"], verdict, row["num_rows"], row["low"], row["high"])
    return found | {
        "rater": row["name"],
        "verdict": verdict,
        "label": label,
        "moments": [list(one) for one in moments],
        "seconds": row["seconds"],
        "price_micro": row["price_micro"],
        "time": datetime.fromtimestamp(row["time"], UTC).isoformat(),
        "uuid": row["uuid"],
        "state": row["answer_state"],
    }
