"""A queue in a folder of its own, whose time a test sets."""

from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.people.counter import Counter, Item, Receipt
from tandem.envs.labelers.people.people import People
from tandem.envs.labelers.people.queue import Queue
from tandem.envs.labelers.people.raters import Raters
from tandem.envs.labelers.people.verdict import Given
from tandem.envs.records import Clip, Question, QuestionKind, Sight

LABEL_MICRO = 1_000_000  # a coin; an answer costs at most three


def asked(kind: QuestionKind, *steps: int, tier: str = "default", rows: int = 4) -> list[Question]:
    """Questions key/STEP about clips that end there."""
    sight = Sight({"x": np.arange(6, dtype=np.float32).reshape(3, 2)}, np.zeros((3, 1), np.float32), 1)
    right = Clip(1, 7, rows) if kind == "pair" else None
    sights = (sight, sight) if right else (sight,)
    return [Question(f"key/{step}", Clip(0, step, rows), tier, kind, right, sights) for step in steps]


@dataclass
class Booth:
    """A trainer's labeler, the raters ann and bob, and a clock that stands still."""

    folder: Path
    config: LabelerConfig
    time: float = 1e9
    uuids: int = 0
    trainers: list[People] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def trainer(self) -> People:
        """A trainer that has just been started."""
        self.trainers.append(People(self.folder, self.config, LABEL_MICRO, self.now))
        return self.trainers[-1]

    @property
    def queue(self) -> Queue:
        return self.trainers[0].queue

    @property
    def raters(self) -> Raters:
        return Raters(self.queue)

    @property
    def counter(self) -> Counter:
        return Counter(self.queue)

    def uuid(self) -> str:
        self.uuids += 1
        return str(UUID(int=self.uuids))

    def take(self, rater: str) -> Item:
        """The next question, which there must be."""
        item = self.counter.next(rater)
        assert item is not None
        return item

    def score(self, rater: str, value: float = 0.5, seconds: float = 6.0) -> Receipt:
        """Takes the next question, looks for so long, and answers."""
        item = self.take(rater)
        self.time += seconds
        return self.counter.answer(rater, Given(item.question, self.uuid(), seconds, value=value))

    def state(self, key: str) -> str:
        return self.queue.read("SELECT state FROM question WHERE key = ?", (key,))[0][0]

    def events(self, key: str) -> list[str]:
        rows = self.queue.read(
            "SELECT e.what FROM event e JOIN question q ON q.id = e.question WHERE q.key = ? ORDER BY e.id", (key,)
        )
        return [row["what"] for row in rows]


@pytest.fixture
def booth(tmp_path):
    one = Booth(tmp_path, LabelerConfig(name="people", kind="clip", wage=12.0, low=-1.0, high=1.0))
    one.trainer()
    for name in ("ann", "bob"):
        one.raters.add(name)
    yield one
    for trainer in one.trainers:
        trainer.close()
