"""The journal of labels: questions with their copies, written before a labeler hears of them, and replies, written before
they are settled. Each says at which call of the labeler it came, so that a run that is done again hears it there.

A row that several copies share is written once (`rows.py`). In journals of before version 0.3 every copy has its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ....envs.records import Answer, Clip, Declined, Question, Work
from ....frames import DamagedLog, Frame, FrameLog
from ..copies import Copy
from ..label_store import Asked
from .replies import replies_of, reply_arrays
from .rows import FIRST, NUMBERS, ReadRows, WrittenRows

SCALARS = ("env", "step", "episode", "is_heldout", "context_step")
LATENT = ("start_deter", "start_stoch")
EXPIRY = "is_expiry"
NO_CLIP = Clip(-1, -1, 0)  # stands where a question has no right one


@dataclass(frozen=True)
class Entry:
    """What was asked at once, or what was replied at once. `call`: how often the labeler had been heard before."""

    call: int
    asked: tuple[Asked, ...] = ()
    answers: tuple[Answer, ...] = ()
    declined: tuple[Declined, ...] = ()
    works: tuple[Work, ...] = ()
    retracted: tuple[str, ...] = ()  # people whose labels weigh nothing from here on
    is_expiry: bool = False  # whether nobody said this: the run had waited for long enough
    cut: frozenset[str] = field(default=frozenset(), compare=False)  # keys of questions whose copies have lost rows


class LabelJournal:
    """Entries of an append-only log, safe after `log.sync`."""

    def __init__(self, folder: Path):
        self.log = FrameLog(folder)
        self._read: ReadRows | None = None  # of the whole log, until something is written
        self._written: WrittenRows | None = None

    @property
    def count(self) -> int:
        """Entries held."""
        return self.log.count

    def read(self) -> Iterator[Entry]:
        """All of them in their order. DamagedLog names a damaged file."""
        self._read = self._written = None
        rows = ReadRows()
        for frame in self.log.read():
            entry = entry_of(frame, rows)
            if entry.cut:
                raise DamagedLog(self.log.folder, frame.number, "rows that its copies name are missing")
            yield entry
        self._read = rows

    def read_asked(self) -> list[Asked]:
        """Every question ever asked."""
        return [asked for entry in self.read() for asked in entry.asked]

    def read_answers(self) -> list[Answer]:
        """Every answer ever given."""
        return [answer for entry in self.read() for answer in entry.answers]

    def read_declined(self) -> list[Declined]:
        """Every question ever declined."""
        return [one for entry in self.read() for one in entry.declined]

    def write(self, entry: Entry) -> None:
        """Either all questions of an entry carry a copy or none does (coupled mode). OSError leaves the journal as it was."""
        arrays = reply_arrays(entry.answers, entry.declined, entry.works, entry.retracted)
        if entry.asked:
            self._write_asked(entry, arrays | _question_arrays(entry.asked))
        else:
            why = {EXPIRY: True} if entry.is_expiry else {}
            self.log.append("heard", arrays, call=entry.call, **why)

    def _write_asked(self, entry: Entry, arrays: dict[str, np.ndarray]) -> None:
        copies = [copy for item in entry.asked for copy in item.copies]
        if not copies:
            self.log.append("asked", arrays, call=entry.call)
            return
        assert all(len(item.copies) == len(item.question.clips) for item in entry.asked), (
            "all carry copies, or none does"
        )
        known = self._known_rows()
        rows = known.arrays(copies)
        arrays |= {f"copy/{name}": np.array([getattr(copy, name) for copy in copies]) for name in SCALARS + LATENT}
        self.log.append("asked", arrays | rows, call=entry.call, **{FIRST: known.count})
        known.keep(rows)

    def _known_rows(self) -> WrittenRows:
        """What need not be written again; the log is read where nobody has."""
        if self._written is None:
            if self._read is None:
                for _ in self.read():
                    pass
            assert self._read is not None
            self._written, self._read = self._read.written(), None
        return self._written


def _question_arrays(asked: tuple[Asked, ...]) -> dict[str, np.ndarray]:
    """Kinds and right clips only where a question is not about a single step."""
    questions = [item.question for item in asked]
    arrays = {
        "asked/key": np.array([question.key for question in questions]),
        "asked/tier": np.array([question.tier for question in questions]),
        "asked/clip": _clip_array([question.clip for question in questions]),
        "asked/is_uniform": np.array([item.is_uniform for item in asked]),
    }
    if any(question.kind != "step" for question in questions):
        arrays["asked/kind"] = np.array([question.kind for question in questions])
        arrays["asked/right"] = _clip_array([question.right or NO_CLIP for question in questions])
    return arrays


def _clip_array(clips: list[Clip]) -> np.ndarray:
    return np.array([(clip.env, clip.step, clip.length) for clip in clips], np.int64)


def entry_of(frame: Frame, rows: ReadRows) -> Entry:
    """What a frame holds; rows: of the frames before it. A question whose labelled row is lost is left out."""
    asked, cut = _asked_of(frame, rows) if "asked/key" in frame.arrays else ([], frozenset[str]())
    answers, declined, works, retracted = replies_of(frame.arrays)
    is_expiry = bool(frame.values.get(EXPIRY, False))
    return Entry(frame.values["call"], tuple(asked), answers, declined, works, retracted, is_expiry, cut)


def _asked_of(frame: Frame, rows: ReadRows) -> tuple[list[Asked], frozenset[str]]:
    """The questions, and the keys of those whose copies have lost rows."""
    if NUMBERS not in frame.arrays:
        return list(_asked(frame.arrays)), frozenset()
    found = rows.take(frame)
    items = list(_asked(frame.arrays | {f"copy/{name}": values for name, values in found.rows.items()}))
    first = iter([int(np.flatnonzero(lost)[-1]) + 1 if lost.any() else 0 for lost in found.is_lost])
    starts = [tuple(next(first) for _ in item.copies) for item in items]
    cut = frozenset(item.question.key for item, start in zip(items, starts, strict=True) if any(start))
    kept = [_shortened(item, start) if any(start) else item for item, start in zip(items, starts, strict=True)]
    return [item for item in kept if item is not None], cut


def _shortened(asked: Asked, starts: tuple[int, ...]) -> Asked | None:
    """With the copies beginning at these rows of their windows, as those whose history was evicted; None where a row that the
    question is about is gone."""
    copies = []
    for copy, clip, start in zip(asked.copies, asked.question.clips, starts, strict=True):
        if start > len(copy.is_first) - clip.length:
            return None
        copies.append(_begun_at(copy, start) if start else copy)
    return replace(asked, copy=copies[0], right=copies[1] if asked.right else None)


def _begun_at(copy: Copy, start: int) -> Copy:
    obs = {name: values.copy() for name, values in copy.obs.items()}
    prev_action, is_first = copy.prev_action.copy(), copy.is_first.copy()
    for values in (*obs.values(), prev_action, is_first):
        values[:start] = 0
    is_first[start], prev_action[start] = True, 0
    nothing = {name: np.zeros_like(getattr(copy, name)) for name in LATENT}
    return replace(copy, context_step=-1, obs=obs, prev_action=prev_action, is_first=is_first, **nothing)


def _asked(arrays: dict[str, np.ndarray]) -> Iterator[Asked]:
    number = 0  # of the next copy
    kinds, rights = arrays.get("asked/kind"), arrays.get("asked/right")
    for i, clip in enumerate(arrays["asked/clip"].tolist()):
        kind: Any = "step" if kinds is None else str(kinds[i])
        right = Clip(*rights[i].tolist()) if rights is not None and kind == "pair" else None
        question = Question(str(arrays["asked/key"][i]), Clip(*clip), str(arrays["asked/tier"][i]), kind, right)
        copies = []
        for _ in question.clips if "copy/env" in arrays else ():
            copies.append(_copy(arrays, number))
            number += 1
        left, right_copy = (*copies, None, None)[:2]
        yield Asked(question, left, bool(arrays["asked/is_uniform"][i]), right_copy)


def _copy(arrays: dict[str, np.ndarray], i: int) -> Copy:
    prefix = "copy/obs/"
    obs = {name.removeprefix(prefix): value[i] for name, value in arrays.items() if name.startswith(prefix)}
    scalars = {name: arrays[f"copy/{name}"][i].item() for name in SCALARS}
    return Copy(
        obs=obs, **scalars, **{name: arrays[f"copy/{name}"][i] for name in ("prev_action", "is_first", *LATENT)}
    )
