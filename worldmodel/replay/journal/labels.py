"""The journal of labels: questions with their copies, written before a labeler hears of them, and replies, written before
they are settled. Each says at which call of the labeler it came, so that a run that is done again hears it there.

A row that several copies share is written once (`rows.py`). In journals of before version 0.3 every copy has its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ....envs.records import Answer, Clip, Declined, Question
from ....frames import DamagedLog, Frame, FrameLog
from ..copies import Copy
from ..label_store import Asked
from .rows import FIRST, NUMBERS, ReadRows, WrittenRows

SCALARS = ("env", "step", "episode", "is_heldout", "context_step")
LATENT = ("start_deter", "start_stoch")


@dataclass(frozen=True)
class Entry:
    """What was asked at once, or what was replied at once. `call`: how often the labeler had been heard before."""

    call: int
    asked: tuple[Asked, ...] = ()
    answers: tuple[Answer, ...] = ()
    declined: tuple[Declined, ...] = ()
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
        arrays: dict[str, np.ndarray] = {}
        if entry.answers:
            arrays["answers/key"] = np.array([answer.key for answer in entry.answers])
            arrays["answers/value"] = np.array([answer.value for answer in entry.answers], np.float64)
        if entry.declined:
            arrays["declined/key"] = np.array([one.key for one in entry.declined])
            arrays["declined/reason"] = np.array([one.reason for one in entry.declined])
        if entry.asked:
            self._write_asked(entry, arrays | _question_arrays(entry.asked))
        else:
            self.log.append("heard", arrays, call=entry.call)

    def _write_asked(self, entry: Entry, arrays: dict[str, np.ndarray]) -> None:
        copies = [item.copy for item in entry.asked if item.copy is not None]
        if not copies:
            self.log.append("asked", arrays, call=entry.call)
            return
        assert len(copies) == len(entry.asked), "all questions carry a copy, or none does"
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
    questions = [item.question for item in asked]
    return {
        "asked/key": np.array([question.key for question in questions]),
        "asked/tier": np.array([question.tier for question in questions]),
        "asked/clip": np.array([(q.clip.env, q.clip.step, q.clip.length) for q in questions], np.int64),
        "asked/is_uniform": np.array([item.is_uniform for item in asked]),
    }


def entry_of(frame: Frame, rows: ReadRows) -> Entry:
    """What a frame holds; rows: of the frames before it. A question whose labelled row is lost is left out."""
    arrays = frame.arrays
    answers = zip(arrays.get("answers/key", ()), arrays.get("answers/value", ()), strict=True)
    declined = zip(arrays.get("declined/key", ()), arrays.get("declined/reason", ()), strict=True)
    asked, cut = _asked_of(frame, rows) if "asked/key" in arrays else ([], frozenset[str]())
    return Entry(
        frame.values["call"],
        tuple(asked),
        tuple(Answer(str(key), float(value)) for key, value in answers),
        tuple(Declined(str(key), str(reason)) for key, reason in declined),
        cut,
    )


def _asked_of(frame: Frame, rows: ReadRows) -> tuple[list[Asked], frozenset[str]]:
    """The questions, and the keys of those whose copies have lost rows."""
    if NUMBERS not in frame.arrays:
        return list(_asked(frame.arrays)), frozenset()
    found = rows.take(frame)
    items = list(_asked(frame.arrays | {f"copy/{name}": values for name, values in found.rows.items()}))
    first = [int(np.flatnonzero(lost)[-1]) + 1 if lost.any() else 0 for lost in found.is_lost]
    cut = frozenset(item.question.key for item, start in zip(items, first, strict=True) if start)
    kept = [_shortened(item, start) if start else item for item, start in zip(items, first, strict=True)]
    return [item for item in kept if item is not None], cut


def _shortened(asked: Asked, start: int) -> Asked | None:
    """With the copy beginning at row `start` of its window, as one whose history was evicted; None where nothing is left."""
    copy = asked.copy
    assert copy is not None
    if start == len(copy.is_first):
        return None
    obs = {name: values.copy() for name, values in copy.obs.items()}
    prev_action, is_first = copy.prev_action.copy(), copy.is_first.copy()
    for values in (*obs.values(), prev_action, is_first):
        values[:start] = 0
    is_first[start], prev_action[start] = True, 0
    nothing = {name: np.zeros_like(getattr(copy, name)) for name in LATENT}
    copy = replace(copy, context_step=-1, obs=obs, prev_action=prev_action, is_first=is_first, **nothing)
    return replace(asked, copy=copy)


def _asked(arrays: dict[str, np.ndarray]) -> Iterator[Asked]:
    for i, (env, step, length) in enumerate(arrays["asked/clip"].tolist()):
        question = Question(str(arrays["asked/key"][i]), Clip(env, step, length), str(arrays["asked/tier"][i]))
        copy = _copy(arrays, i) if "copy/env" in arrays else None
        yield Asked(question, copy, bool(arrays["asked/is_uniform"][i]))


def _copy(arrays: dict[str, np.ndarray], i: int) -> Copy:
    prefix = "copy/obs/"
    obs = {name.removeprefix(prefix): value[i] for name, value in arrays.items() if name.startswith(prefix)}
    scalars = {name: arrays[f"copy/{name}"][i].item() for name in SCALARS}
    return Copy(
        obs=obs, **scalars, **{name: arrays[f"copy/{name}"][i] for name in ("prev_action", "is_first", *LATENT)}
    )
