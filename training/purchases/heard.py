"""What a labeler said, checked before it is written down, so that the journal can always be read again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...envs.records import Answer, Declined, Question, Reply, Work
from ...errors import UserError
from ...worldmodel.replay.label_store import Asked

LARGEST = float(np.finfo(np.float32).max)  # that a label may be


@dataclass
class Heard:
    """What a labeler said at one call. `unknown`: keys that nobody waits for, never asked or answered before."""

    answers: list[Answer] = field(default_factory=list)
    declined: list[Declined] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    retracted: list[str] = field(default_factory=list)  # people whose labels weigh nothing from now on
    unknown: list[str] = field(default_factory=list)

    @property
    def is_worth_writing(self) -> bool:
        return bool(self.answers or self.declined or self.works or self.retracted)

    def lines(self) -> list[str]:
        """Warnings for a person."""
        lines = []
        if self.declined:
            first = self.declined[0]
            lines.append(
                f"warning: {len(self.declined)} questions declined, their money is back: {first.key}: {first.reason}"
            )
        if self.unknown:
            lines.append(
                f"warning: {len(self.unknown)} answers to questions that nobody asked, or that were answered before, are "
                f"left aside: {self.unknown[0]}"
            )
        if self.retracted:
            lines.append(f"labels of {', '.join(self.retracted)} weigh nothing from now on; what they were paid stays")
        return lines


def checked(replies: Sequence[Reply], pending: Mapping[str, Asked], prices: Mapping[str, int]) -> Heard:
    """Sort replies to the questions that wait. prices: micro-coins that are reserved at least, by tier.

    UserError for a reply that is none of the records: that labeler cannot be understood. An answer that cannot be used
    counts as declined.
    """
    heard, open_keys = Heard(), set(pending)
    for reply in replies:
        if isinstance(reply, Work):
            heard.works.append(_plain_work(reply))
            continue
        if not isinstance(reply, Answer | Declined):
            raise UserError(f"labeler.name: collect() must give Answer, Declined or Work, got {reply!r}")
        if reply.key not in open_keys:
            heard.unknown.append(reply.key)
            continue
        open_keys.remove(reply.key)
        if isinstance(reply, Declined):
            heard.declined.append(reply)
            continue
        question = pending[reply.key].question
        usable = usable_answer(reply, question, prices[question.tier])
        (heard.answers if isinstance(usable, Answer) else heard.declined).append(usable)  # type: ignore[arg-type]
    return heard


def usable_answer(answer: Answer, question: Question, price: int) -> Answer | Declined:
    """With plain Python numbers, its price at most the one reserved; or why it cannot be used."""
    value = number_of(answer.value)
    if value is None:
        return Declined(answer.key, f"the answer is {answer.value!r}")
    if question.kind == "pair" and value not in (0.0, 0.5, 1.0):
        return Declined(answer.key, f"which clip is better is 0, 0.5 or 1, got {value}")
    moments: list[tuple[int, float]] = []
    for row, reward in answer.moments:
        mark = number_of(reward)
        if mark is None or row not in range(question.clip.length):
            return Declined(answer.key, f"a moment is {(row, reward)!r}, of a clip of {question.clip.length} rows")
        moments.append((int(row), mark))
    if question.kind == "moments" and not math.isclose(value, sum(mark for _, mark in moments), abs_tol=1e-6):
        return Declined(answer.key, f"the moments do not add up to {value:g}: every other row is worth nothing")
    seconds = number_of(answer.seconds)
    cost = None if answer.price_micro is None else min(max(0, int(answer.price_micro)), price)
    return replace(
        answer, value=value, rater=str(answer.rater), seconds=seconds or 0.0, price_micro=cost, moments=tuple(moments)
    )


def _plain_work(work: Work) -> Work:
    return replace(work, seconds=number_of(work.seconds) or 0.0, price_micro=max(0, int(work.price_micro)))


def number_of(value: object) -> float | None:
    """The value as a float that the label replay can hold; None for what is none."""
    if isinstance(value, str | bytes | bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  anything may come from outside
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST else None
