"""The journal of labels: questions with their copies, written before a labeler hears of them, and replies, written before
they are settled. Each says at which call of the labeler it came, so that a run that is done again hears it there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....envs.records import Answer, Clip, Declined, Question
from ....frames import Frame, FrameLog
from ..copies import Copy
from ..label_store import Asked

SCALARS = ("env", "step", "episode", "is_heldout", "context_step")
ARRAYS = ("prev_action", "is_first", "start_deter", "start_stoch")


@dataclass(frozen=True)
class Entry:
    """What was asked at once, or what was replied at once. `call`: how often the labeler had been heard before."""

    call: int
    asked: tuple[Asked, ...] = ()
    answers: tuple[Answer, ...] = ()
    declined: tuple[Declined, ...] = ()


class LabelJournal:
    """Entries of an append-only log, safe after `log.sync`."""

    def __init__(self, folder: Path):
        self.log = FrameLog(folder)

    @property
    def count(self) -> int:
        """Entries held."""
        return self.log.count

    def read(self) -> Iterator[Entry]:
        """All of them in their order. DamagedLog names a damaged file."""
        return (entry_of(frame) for frame in self.log.read())

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
        append(self.log, entry)


def append(log: FrameLog, entry: Entry) -> None:
    """Either all questions of an entry carry a copy or none does (coupled mode)."""
    assert len({item.copy is None for item in entry.asked}) <= 1
    arrays: dict[str, np.ndarray] = {}
    if entry.asked:
        arrays |= _question_arrays(entry.asked)
    if entry.answers:
        arrays["answers/key"] = np.array([answer.key for answer in entry.answers])
        arrays["answers/value"] = np.array([answer.value for answer in entry.answers], np.float64)
    if entry.declined:
        arrays["declined/key"] = np.array([one.key for one in entry.declined])
        arrays["declined/reason"] = np.array([one.reason for one in entry.declined])
    log.append("asked" if entry.asked else "heard", arrays, call=entry.call)


def _question_arrays(asked: tuple[Asked, ...]) -> dict[str, np.ndarray]:
    questions = [item.question for item in asked]
    arrays = {
        "asked/key": np.array([question.key for question in questions]),
        "asked/tier": np.array([question.tier for question in questions]),
        "asked/clip": np.array([(q.clip.env, q.clip.step, q.clip.length) for q in questions], np.int64),
        "asked/is_uniform": np.array([item.is_uniform for item in asked]),
    }
    copies = [item.copy for item in asked if item.copy is not None]
    if not copies:
        return arrays
    arrays |= {f"copy/{name}": np.array([getattr(copy, name) for copy in copies]) for name in SCALARS + ARRAYS}
    return arrays | {f"copy/obs/{name}": np.stack([copy.obs[name] for copy in copies]) for name in copies[0].obs}


def entry_of(frame: Frame) -> Entry:
    """What a frame holds."""
    arrays = frame.arrays
    answers = zip(arrays.get("answers/key", ()), arrays.get("answers/value", ()), strict=True)
    declined = zip(arrays.get("declined/key", ()), arrays.get("declined/reason", ()), strict=True)
    return Entry(
        frame.values["call"],
        tuple(_asked(arrays)) if "asked/key" in arrays else (),
        tuple(Answer(str(key), float(value)) for key, value in answers),
        tuple(Declined(str(key), str(reason)) for key, reason in declined),
    )


def _asked(arrays: dict[str, np.ndarray]) -> Iterator[Asked]:
    for i, (env, step, length) in enumerate(arrays["asked/clip"].tolist()):
        question = Question(str(arrays["asked/key"][i]), Clip(env, step, length), str(arrays["asked/tier"][i]))
        copy = _copy(arrays, i) if "copy/env" in arrays else None
        yield Asked(question, copy, bool(arrays["asked/is_uniform"][i]))


def _copy(arrays: dict[str, np.ndarray], i: int) -> Copy:
    prefix = "copy/obs/"
    obs = {name.removeprefix(prefix): value[i] for name, value in arrays.items() if name.startswith(prefix)}
    scalars = {name: arrays[f"copy/{name}"][i].item() for name in SCALARS}
    return Copy(obs=obs, **scalars, **{name: arrays[f"copy/{name}"][i] for name in ARRAYS})
