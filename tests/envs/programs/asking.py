"""Questions that carry a sight, and the wait for what is said to them."""

import time

import numpy as np

from tandem.envs.records import Clip, Question, QuestionKind, Sight


def asked(*steps: int, kind: QuestionKind = "step", length: int = 1) -> list[Question]:
    """Questions q3, q7, ... about rows 3, 7, ..., whose one observation is the row's number."""
    return [Question(f"q{step}", Clip(0, step, length), kind=kind, sights=(seen(step, length),)) for step in steps]


def seen(step: int, rows: int) -> Sight:
    numbers = np.arange(step - rows + 1, step + 1, dtype=np.float32)[:, None]
    return Sight({"row": numbers}, np.zeros((rows, 1), np.float32))


def all_of(labeler, number: int, seconds: float = 20.0) -> dict:
    """key -> reply, once there are so many."""
    replies, until = [], time.monotonic() + seconds
    while len(replies) < number and time.monotonic() < until:
        begun = time.monotonic()
        replies += labeler.collect()
        assert time.monotonic() - begun < 1.0, "collect waited"
        time.sleep(0.01)
    assert len(replies) == number, (replies, labeler.status())
    return {reply.key: reply for reply in replies}
