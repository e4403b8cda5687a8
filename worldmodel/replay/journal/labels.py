"""The journal of labels: questions with their copies, sealed before a labeler hears of them, and answers, sealed before
they are settled. Read again after a crash, it says what is still pending and what was already received."""

from pathlib import Path

import numpy as np

from ....envs.records import Answer, Clip, Declined, Question
from ..copies import Copy
from ..label_store import Asked
from .npz import ChunkError, read_npz, write_npz

SCALARS = ("env", "step", "episode", "is_heldout", "context_step")
ARRAYS = ("prev_action", "is_first", "start_deter", "start_stoch")


class LabelJournal:
    """Files asked-<number>.npz, answers-<number>.npz and declined-<number>.npz in one folder."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.next_number = {kind: len(self._paths(kind)) for kind in ("asked", "answers", "declined")}

    def seal_asked(self, asked: list[Asked]) -> None:
        """Questions of one purchase; either all of them carry a copy or none does (coupled mode)."""
        assert len({item.copy is None for item in asked}) <= 1
        if not asked:
            return
        questions = [item.question for item in asked]
        arrays = {
            "key": np.array([question.key for question in questions]),
            "tier": np.array([question.tier for question in questions]),
            "segment": np.array([(q.clip.env, q.clip.step, q.clip.length) for q in questions], np.int64),
            "is_uniform": np.array([item.is_uniform for item in asked]),
        }
        copies = [item.copy for item in asked if item.copy is not None]
        if copies:
            arrays |= _copy_arrays(copies)
        self._seal("asked", arrays)

    def seal_answers(self, labels: list[Answer]) -> None:
        if not labels:
            return
        arrays = {"key": np.array([answer.key for answer in labels])}
        self._seal("answers", arrays | {"value": np.array([answer.value for answer in labels], np.float64)})

    def seal_declined(self, declined: list[Declined]) -> None:
        if not declined:
            return
        keys, reasons = [one.key for one in declined], [one.reason for one in declined]
        self._seal("declined", {"key": np.array(keys), "reason": np.array(reasons)})

    def read_declined(self) -> list[Declined]:
        """Every question ever declined, in order."""
        chunks = [read_npz(path) for path in self._paths("declined")]
        return [
            Declined(str(key), str(reason))
            for chunk in chunks
            for key, reason in zip(chunk["key"], chunk["reason"], strict=True)
        ]

    def read_asked(self) -> list[Asked]:
        """Every question ever sealed, in order."""
        return [asked for path in self._paths("asked") for asked in _asked(read_npz(path))]

    def read_answers(self) -> list[Answer]:
        """Every answer ever sealed, in order."""
        chunks = [read_npz(path) for path in self._paths("answers")]
        return [
            Answer(str(key), float(value))
            for chunk in chunks
            for key, value in zip(chunk["key"], chunk["value"], strict=True)
        ]

    def _seal(self, kind: str, arrays: dict[str, np.ndarray]) -> None:
        write_npz(self.folder / f"{kind}-{self.next_number[kind]:08d}.npz", arrays)
        self.next_number[kind] += 1

    def _paths(self, kind: str) -> list[Path]:
        paths = sorted(self.folder.glob(f"{kind}-*.npz"))
        for number, path in enumerate(paths):
            if path.stem != f"{kind}-{number:08d}":
                raise ChunkError(f"{self.folder}: {kind}-{number:08d}.npz is missing")
        return paths


def _copy_arrays(copies: list[Copy]) -> dict[str, np.ndarray]:
    arrays = {f"copy/{name}": np.array([getattr(copy, name) for copy in copies]) for name in SCALARS + ARRAYS}
    return arrays | {f"copy/obs/{name}": np.stack([copy.obs[name] for copy in copies]) for name in copies[0].obs}


def _asked(arrays: dict[str, np.ndarray]) -> list[Asked]:
    asked = []
    for i, (env, step, length) in enumerate(arrays["segment"].tolist()):
        question = Question(str(arrays["key"][i]), Clip(env, step, length), str(arrays["tier"][i]))
        copy = _copy(arrays, i) if "copy/env" in arrays else None
        asked.append(Asked(question, copy, bool(arrays["is_uniform"][i])))
    return asked


def _copy(arrays: dict[str, np.ndarray], i: int) -> Copy:
    prefix = "copy/obs/"
    obs = {name.removeprefix(prefix): value[i] for name, value in arrays.items() if name.startswith(prefix)}
    scalars = {name: arrays[f"copy/{name}"][i].item() for name in SCALARS}
    return Copy(obs=obs, **scalars, **{name: arrays[f"copy/{name}"][i] for name in ARRAYS})
