"""What was said about clips beside what the reward model predicts, for the owner to look at."""

import json
from dataclasses import dataclass
from typing import Literal

from ..queue import Queue
from ..verdict import worth

Order = Literal["residual", "newest"]


@dataclass(frozen=True)
class Exhibit:
    """An answered question. Values are raw reward units, summed over the clip's rows; of a pair from 0 to 1."""

    question: int
    kind: str
    sides: int
    rater: str
    seconds: float
    verdict: float | str | list  # what the rater said
    label: float  # and what that is worth
    prediction: float | None
    low: float  # the least and the most that the label could be
    high: float
    mark: float | str | list | None  # the owner's own answer

    @property
    def residual(self) -> float:
        """What the model misses by, as a part of the scale; without a prediction less than any."""
        return -1.0 if self.prediction is None else abs(self.label - self.prediction) / max(self.high - self.low, 1e-9)


class Gallery:
    """Reads alone."""

    def __init__(self, queue: Queue):
        self.queue = queue

    def exhibits(self, order: Order, after: int, number: int) -> tuple[int, list[Exhibit]]:
        """(how many there are, `number` of them from the `after`-th on): the largest residual or the newest first."""
        rows = self.queue.read(
            "SELECT q.id, q.kind, q.clips, q.num_rows, q.low, q.high, q.prediction, q.mark, a.verdict, a.seconds, r.name AS rater FROM question q JOIN answer a ON a.id = q.answer "
            "JOIN rater r ON r.id = a.rater WHERE a.state IN ('counted', 'retracted') ORDER BY a.id DESC"
        )
        found = [_exhibit(row) for row in rows]
        if order == "residual":
            found.sort(key=lambda one: -one.residual)
        return len(found), found[after : after + number]


def _exhibit(row) -> Exhibit:
    scale = row["low"], row["high"]
    verdict, num_rows = json.loads(row["verdict"]), row["num_rows"]
    label, _ = worth(row["kind"], verdict, num_rows, *scale)
    rows = 1 if row["kind"] == "step" else num_rows
    low, high = (rows * end for end in scale)
    if row["kind"] == "pair":
        low, high = 0.0, 1.0
    elif row["kind"] == "moments":
        low, high = -num_rows * scale[1], num_rows * scale[1]
    mark = json.loads(row["mark"]) if row["mark"] else None
    sides = len(json.loads(row["clips"]))
    return Exhibit(
        row["id"], row["kind"], sides, row["rater"], row["seconds"], verdict, label, row["prediction"], low, high, mark
    )
