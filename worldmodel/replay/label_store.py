"""What a store of labels is: one that keeps copies (decoupled mode), or one that joins answers to rows (coupled mode)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from ...envs.records import Answer, Clip, Question
from ..records import Batch, LabelBatch
from .copies import Copy
from .transitions import TransitionReplay


@dataclass(frozen=True)
class Asked:
    """A question on its way: its copy was taken when it was asked, because the answer may outlive the row."""

    question: Question
    copy: Copy | None  # None in coupled mode, where the answer joins the row itself
    is_uniform: bool  # the first answer about a row that was drawn uniformly, so that it may serve as a measurement
    right: Copy | None = None  # of a pair: that of the right clip

    @property
    def copies(self) -> tuple[Copy, ...]:
        return tuple(copy for copy in (self.copy, self.right) if copy is not None)


class LabelStore(Protocol):
    """Ask, answer, draw, state. A question's money is spent when its answer is here, and not before."""

    pending: dict[str, Asked]  # by the key of the question, in the order asked
    num_stock: int  # of those received: labels that another run has paid for

    @property
    def received(self) -> int: ...  # answers since the run began: what the ledger must have sold

    def copies(self, transitions: TransitionReplay, clips: Sequence[Clip]) -> Sequence[Copy | None]: ...

    def ask(self, asked: Asked) -> None: ...

    def answer(self, answer: Answer) -> None:
        """KeyError where nobody is waiting for this answer: never asked, or answered already. ValueError: no number."""
        ...

    def decline(self, key: str) -> None:
        """Nobody waits for an answer to this question any more. KeyError where nobody did."""
        ...

    def whole(self, key: str) -> Asked:
        """A pending question with its copies as they were when it was asked. KeyError where nobody waits for it."""
        ...

    @property
    def retracted(self) -> frozenset[str]: ...  # people whose labels weigh nothing

    def retract(self, raters: frozenset[str]) -> None:
        """The labels of these people weigh nothing from now on."""
        ...

    def draw(self, batch: Batch, number: int, rng: np.random.Generator) -> tuple[Batch, LabelBatch | None]:
        """What an update learns reward from: the batch with its rewards, or `number` labels beside it."""
        ...

    def refresh(self, transitions: TransitionReplay) -> None:
        """Take over what the replay's rows have learned since they were copied."""
        ...

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict, is_exact: bool = True) -> None:
        """After the refill from the journal, which without exactness may have gone further. ValueError names what differs."""
        ...

    def fingerprint(self) -> str:
        """The same for two stores that hold and wait for the same, bit for bit."""
        ...


def asked_arrays(asked: Iterable[Asked]) -> Iterator[tuple[str, np.ndarray]]:
    """Questions with their copies as named arrays, for a fingerprint."""
    for one in asked:
        clip, key = one.question.clip, one.question.key
        yield f"{key} of {one.question.tier}", np.array([clip.env, clip.step, clip.length, one.is_uniform])
        for copy in one.copies:
            for field in fields(copy):
                value = getattr(copy, field.name)
                inside = sorted(value.items()) if isinstance(value, dict) else [("", value)]
                yield from ((f"{key} {field.name} {name}", np.asarray(part)) for name, part in inside)
