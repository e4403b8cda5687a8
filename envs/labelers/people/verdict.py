"""What a rater states about a question, checked, and what it is worth as a label."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from .schema import QueueRefused

CHOICES = {"left": 1.0, "same": 0.5, "right": 0.0}
MIRROR = {"left": "right", "same": "same", "right": "left"}
LONGEST_SECONDS = 86_400.0
LARGEST = 1e300  # of a number that is stated: beyond, a whole one is no float
Verdict = float | str | list[list[int]]  # a score, a choice, or marks


@dataclass(frozen=True)
class Given:
    """An answer as it comes from a page or a program: one of score, choice and marks, in the sides that the rater saw."""

    question: int
    uuid: str  # the client's own; the same one again is the same answer
    seconds: float  # of active work
    value: float | None = None  # step, clip: a score in [0, 1]
    choice: str | None = None  # pair: left, same or right
    marks: list[list[int]] | None = None  # moments: [row, 1 for success or -1 for failure], any number of them

    @classmethod
    def of(cls, body: object) -> Self:
        """From a decoded JSON body: question, uuid, seconds and one of value, choice, marks; other keys are refused."""
        if not isinstance(body, Mapping) or not all(isinstance(key, str) for key in body):
            raise QueueRefused("invalid", f"an answer must be a JSON object, got {type(body).__name__}")
        if unknown := sorted(body.keys() - cls.__dataclass_fields__.keys()):
            raise QueueRefused("invalid", f"{unknown[0][:40]!r}: an answer has no such key")
        if missing := sorted({"question", "uuid", "seconds"} - body.keys()):
            raise QueueRefused("invalid", f"{missing[0]}: is missing")
        return cls(**body)

    def verdict(self, kind: str, num_rows: int) -> Verdict:
        """What is stated about a question of this kind, in the rater's sides. QueueRefused (invalid) for anything else."""
        check_uuid(self.uuid)
        check_seconds(self.seconds)
        name = {"pair": "choice", "moments": "marks"}.get(kind, "value")
        others = [one for one in ("value", "choice", "marks") if one != name and getattr(self, one) is not None]
        if others:
            raise QueueRefused("invalid", f"{others[0]}: a question of kind {kind} is answered by {name}")
        return checked(kind, num_rows, getattr(self, name))


def checked(kind: str, num_rows: int, stated: Any) -> Verdict:
    """The verdict on a question of this kind. QueueRefused (invalid)."""
    if kind == "pair":
        if not isinstance(stated, str) or stated not in CHOICES:
            raise QueueRefused("invalid", f"choice: must be left, same or right, got {_short(stated)}")
        return stated
    if kind == "moments":
        return _marks(stated, num_rows)
    if not _is_number(stated) or not 0 <= stated <= 1:
        raise QueueRefused("invalid", f"value: must be a number from 0 to 1, got {_short(stated)}")
    return float(stated)


def mirrored(verdict: Verdict) -> Verdict:
    """The same with the sides of a pair exchanged."""
    return MIRROR[verdict] if isinstance(verdict, str) else verdict


def worth(
    kind: str, verdict: Verdict, num_rows: int, low: float, high: float
) -> tuple[float, tuple[tuple[int, float], ...]]:
    """The label: its value and, of moments, (row, reward) for each of them. low, high: of a row, raw reward units."""
    if isinstance(verdict, str):
        return CHOICES[verdict], ()
    if isinstance(verdict, list):
        moments = tuple((row, sign * high) for row, sign in verdict)
        return sum(reward for _, reward in moments), moments
    rows = 1 if kind == "step" else num_rows
    return rows * (low + verdict * (high - low)), ()


def check_uuid(uuid: object) -> None:
    try:
        is_one = isinstance(uuid, str) and str(UUID(uuid)) == uuid
    except ValueError:
        is_one = False
    if not is_one:
        raise QueueRefused("invalid", f"uuid: must be one in small letters with dashes, got {_short(uuid)}")


def check_seconds(seconds: object) -> None:
    if not _is_number(seconds) or not 0 <= seconds <= LONGEST_SECONDS:  # type: ignore[operator]
        raise QueueRefused("invalid", f"seconds: must be a number from 0 to {LONGEST_SECONDS:g}, got {_short(seconds)}")


def check_id(question: object) -> None:
    if isinstance(question, bool) or not isinstance(question, int) or not 0 < question < 2**63:
        raise QueueRefused("invalid", f"question: must be its number, got {_short(question)}")


def _marks(stated: Any, num_rows: int) -> list[list[int]]:
    if not isinstance(stated, list | tuple) or len(stated) > num_rows:
        raise QueueRefused("invalid", f"marks: must be a list of at most {num_rows}, got {_short(stated)}")
    for mark in stated:
        is_mark = isinstance(mark, list | tuple) and len(mark) == 2 and all(type(number) is int for number in mark)
        if not is_mark or not 0 <= mark[0] < num_rows or mark[1] not in (-1, 1):
            raise QueueRefused("invalid", f"marks: must be [row below {num_rows}, 1 or -1], got {_short(mark)}")
    if len({row for row, _ in stated}) < len(stated):
        raise QueueRefused("invalid", "marks: a row is marked twice")
    return sorted([row, sign] for row, sign in stated)


def _is_number(stated: object) -> bool:
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        return False
    return abs(stated) <= LARGEST  # not of NaN


def _short(stated: object) -> str:
    text = repr(stated)
    return text if len(text) <= 60 else f"{text[:60]}..."
