"""What a run's labels are about, and so which columns the label replay keeps of each."""

import math
from dataclasses import dataclass

import numpy as np

from ...envs.records import Answer, QuestionKind
from .copies import Copy
from .label_store import Asked
from .rows.rings import Columns

COPIED = ("start_deter", "start_stoch", "env", "step", "context_step", "episode")  # of a copy, beside its rows
RIGHT = "right_"  # before the names of the right clip's columns
LATENTS = ("start_deter", "start_stoch")


@dataclass(frozen=True)
class LabelForm:
    """One kind of question in a run; only a run of pairs has clips that are scored too, its anchors."""

    kind: QuestionKind = "step"
    length: int = 1  # rows that an answer is about, at most
    reach: float = math.inf  # reward units, as in LabelBatch

    def __post_init__(self):
        assert (self.kind == "step") == (self.length == 1), (self.kind, self.length)

    @property
    def sides(self) -> tuple[str, ...]:
        """What stands before the names of the columns of each clip."""
        return ("", RIGHT) if self.kind == "pair" else ("",)

    @property
    def saved(self) -> tuple[str, ...]:
        """Columns that are refreshed since they were copied, or estimated, so that the journal does not know them."""
        return (*(side + name for side in self.sides for name in LATENTS), "correction")

    def capacity(self, rows: int) -> int:
        """Labels that so many labelled rows are."""
        return max(1, rows // (self.length * len(self.sides)))

    def columns(self, burn_in: int, deter: int, stoch: int, latents: str) -> Columns:
        """Beside the rows themselves, which lie in a store of their own."""
        columns: Columns = {"value": ((), np.float32), "is_uniform": ((), bool)}
        columns |= {"tier": ((), np.int64), "correction": ((), np.float32)}
        for side in self.sides:
            columns |= {f"{side}rows": ((burn_in + self.length,), np.int32)}  # slots of the shared rows
            columns |= {f"{side}start_deter": ((deter,), latents), f"{side}start_stoch": ((stoch,), np.uint8)}
            columns |= {f"{side}{name}": ((), np.int64) for name in ("env", "step", "context_step", "episode")}
            columns |= {f"{side}num_rows": ((), np.int64)} if self.length > 1 else {}
        columns |= {"is_pair": ((), bool)} if self.kind == "pair" else {}
        columns |= {"marks": ((self.length,), np.float32)} if self.kind == "moments" else {}
        return columns

    def values(self, asked: Asked, answer: Answer) -> dict[str, np.ndarray]:
        """A label's columns, without its tier and the slots of its rows: (1, ...) each."""
        values: dict[str, np.ndarray] = {"value": np.array([answer.value]), "correction": np.zeros(1)}
        values |= {"is_uniform": np.array([asked.is_uniform])}
        for side, copy, clip in zip(self.sides, self.copies(asked), self.clips(asked), strict=True):
            values |= {side + name: np.asarray(getattr(copy, name))[None] for name in COPIED}
            values |= {f"{side}num_rows": np.array([clip.length])} if self.length > 1 else {}
        values |= {"is_pair": np.array([asked.right is not None])} if self.kind == "pair" else {}
        values |= {"marks": self._marks(answer, asked.question.clip.length)[None]} if self.kind == "moments" else {}
        return values

    def copies(self, asked: Asked) -> list[Copy]:
        """One a side: of a question about one clip in a run of pairs, that clip twice."""
        assert asked.copy is not None, asked
        return [asked.copy, asked.right or asked.copy][: len(self.sides)]

    def clips(self, asked: Asked):
        clip = asked.question.clip
        return [clip, asked.question.right or clip][: len(self.sides)]

    def _marks(self, answer: Answer, rows: int) -> np.ndarray:
        """(R,): the clip's own rows are the last ones."""
        marks = np.zeros(self.length, np.float32)
        for row, value in answer.moments:
            assert 0 <= row < rows, (row, rows)
            marks[self.length - rows + row] = value
        return marks
