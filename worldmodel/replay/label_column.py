"""Coupled mode's labels: one number for each row, joined to the windows that the dynamics model trains on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ...envs.records import Answer, Clip
from ..records import Batch
from .fingerprint import fingerprint
from .label_store import Asked, asked_arrays
from .rows.rings import check_keys
from .transitions import TransitionReplay

FIRST_STEPS = 1024  # allocated at the start; doubled on demand


class LabelColumn:
    """Answers by (env, step). They outlive their rows: four bytes a step are not worth evicting."""

    def __init__(self, num_streams: int):
        self.received = 0  # answers
        self.retracted: frozenset[str] = frozenset()
        self.num_stock = 0
        self.pending: dict[str, Asked] = {}  # by the key of the question, in the order asked
        self.values = np.full((num_streams, FIRST_STEPS), np.nan, np.float32)  # NaN: no answer yet

    def copies(self, transitions: TransitionReplay, clips: Sequence[Clip]) -> list[None]:
        """None: an answer joins its row."""
        return [None] * len(clips)

    def ask(self, asked: Asked) -> None:
        """The answer will belong to the row of the question."""
        assert asked.question.key not in self.pending, asked.question
        self.pending[asked.question.key] = asked

    def decline(self, key: str) -> None:
        """Nobody waits for an answer to this question any more."""
        del self.pending[key]

    def whole(self, key: str) -> Asked:
        """There are no copies in it."""
        return self.pending[key]

    def retract(self, raters: frozenset[str]) -> None:
        """Not in coupled mode, which asks nobody by name."""
        assert not raters, raters

    def answer(self, answer: Answer) -> None:
        """KeyError where nobody is waiting for this answer: never asked, or answered already."""
        if answer.key not in self.pending:
            raise KeyError(f"label {answer.key!r}: not asked, or answered already")
        clip = self.pending[answer.key].question.clip
        self.put(clip.env, clip.step, answer.value)
        del self.pending[answer.key]

    def put(self, env: int, step: int, value: float) -> None:
        """ValueError for an answer that is no number; a second answer for the same row is a bug."""
        if not np.isfinite(value):
            raise ValueError(f"label of env {env}, step {step}: must be finite, got {value}")
        while step >= self.values.shape[1]:
            self.values = np.pad(self.values, ((0, 0), (0, self.values.shape[1])), constant_values=np.nan)
        assert np.isnan(self.values[env, step]), (env, step, self.values[env, step], value)
        self.values[env, step] = value
        self.received += 1

    def draw(self, batch: Batch, number: int, rng: np.random.Generator) -> tuple[Batch, None]:
        """The batch with its rewards: there are no labels beside it."""
        return self.join(batch), None

    def refresh(self, transitions: TransitionReplay) -> None:
        """Nothing to do: the rows themselves are trained on."""

    def state_dict(self) -> dict:
        """How many answers there are: the journal knows them."""
        return {"received": self.received}

    def load_state_dict(self, state: dict, is_exact: bool = True) -> None:
        """After the refill from the journal. ValueError where it does not have the answers."""
        check_keys(state, {"received"}, "labels")
        if self.received < state["received"] or (is_exact and self.received > state["received"]):
            raise ValueError(f"labels: the checkpoint knows {state['received']} answers, the journal {self.received}")

    def fingerprint(self) -> str:
        """The same for two columns with the same answers and pending questions, however much room they have."""
        env, step = np.nonzero(~np.isnan(self.values))
        held = [("env", env), ("step", step), ("value", self.values[env, step])]
        return fingerprint([*held, ("received", np.array(self.received)), *asked_arrays(self.pending.values())])

    def join(self, batch: Batch) -> Batch:
        """The batch with `reward` and `reward_weight` (B, T): first rows are a free target 0, unanswered ones weigh 0."""
        env, step = batch.address.stream.numpy()[:, None], batch.address.step.numpy()
        is_known = step < self.values.shape[1]
        value = np.where(is_known, self.values[env, np.where(is_known, step, 0)], np.nan)
        is_first = batch.is_first.numpy()
        has_answer = ~np.isnan(value) & ~is_first
        reward = torch.from_numpy(np.where(has_answer, value, 0).astype(np.float32))
        return replace(batch, reward=reward, reward_weight=torch.from_numpy((has_answer | is_first).astype(np.float32)))
