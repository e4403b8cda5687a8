"""The label replay: bought answers, and copies of what the reward model must see for them. Nothing here is free.

Copies overlap where labels are neighbours in an episode. The rows of all of them lie in one store, each once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ...envs.records import Answer, Clip, Spaces
from ..records import Batch, LabelBatch
from .copies import Copy
from .fingerprint import fingerprint
from .label_store import Asked, asked_arrays
from .rows.rings import Columns, Rings, check_keys
from .rows.shared_rows import SharedRows
from .rows.storage import Storage
from .transitions import TransitionReplay

# Refreshed since they were copied, or estimated, so the journal does not know them.
SAVED = ("start_deter", "start_stoch", "correction")
NO_FOLD = -1  # of a label that every member of the reward ensemble learns from
COPIED = ("start_deter", "start_stoch", "env", "step", "context_step", "episode")  # of a copy, beside its rows
PIECE = 256  # labels whose rows are put side by side for a fingerprint


@dataclass(frozen=True)
class LabelReplayConfig:
    capacity: int = 1_000_000  # labels; the oldest go first
    burn_in: int = 8  # rows before the labelled one that warm the latent up
    choice: Literal["uniform", "disagreement"] = "uniform"  # which rows to label; disagreement: of the reward ensemble
    uniform: float = 0.2  # least part of the rows that is drawn uniformly all the same: these alone estimate errors

    def __post_init__(self):
        if not 0.2 <= self.uniform <= 1:
            raise ValueError(f"uniform: must be from 0.2 to 1, got {self.uniform}")
        if self.capacity < 1:
            raise ValueError(f"capacity: must be at least 1, got {self.capacity}")
        if self.burn_in < 0:
            raise ValueError(f"burn_in: must be at least 0, got {self.burn_in}")


@dataclass(frozen=True)
class Answers:
    """The answers held, as they were given (raw), in the order received: n of them about one row each."""

    env: np.ndarray  # (n,) int64
    step: np.ndarray  # (n,) int64: (env, step) is the item
    tier: np.ndarray  # (n,) int64, index into LabelReplay.tiers
    value: np.ndarray  # (n,) float64
    is_uniform: np.ndarray  # (n,) bool

    @cached_property
    def item(self) -> np.ndarray:
        """(n,) int64, the same number for all answers about a row."""
        return np.unique(np.stack([self.env, self.step], 1), axis=0, return_inverse=True)[1].reshape(-1)


class LabelReplay:
    """Labels of training episodes, to sample from, and of held-out episodes, to measure with.

    Repeated and gold answers are labels like any other: they train too. What is known of a tier's noise and bias weighs
    and corrects its labels when they are drawn; what is stored stays as it was answered.
    """

    def __init__(
        self,
        config: LabelReplayConfig,
        spaces: Spaces,
        deter: int,
        stoch: int,
        tiers: Sequence[str] = ("default",),
        folds: int = 1,
        latents: Literal["float32", "bfloat16"] = "float32",
        scratch: Path | None = None,
    ):
        """folds: of the episodes, one a member of the reward ensemble, which leaves it out. latents: how the copies keep
        recurrent states, as the transition replay does. scratch: the folder to map the copies' rows into; None: main
        memory."""
        self.config, self.spaces, self.tiers = config, spaces, tuple(tiers)
        self.per_fold = np.zeros(folds, np.int64)  # labels of training episodes held
        self.precision = np.ones(len(self.tiers), np.float32)  # weight of a label by tier
        length = config.burn_in + 1
        of_row: Columns = {f"obs/{k}": (s.shape, s.dtype) for k, s in spaces.obs.items()}
        of_row |= {"prev_action": ((spaces.action_size,), np.float32), "is_first": ((), bool)}
        self.shared = SharedRows(of_row, Storage(scratch))
        columns: Columns = {"rows": ((length,), np.int32)}  # slots of the shared rows
        columns |= {"start_deter": ((deter,), latents), "start_stoch": ((stoch,), np.uint8)}
        columns |= {name: ((), np.int64) for name in ("env", "step", "context_step", "episode")}
        columns |= {"value": ((), np.float32), "is_uniform": ((), bool)}
        columns |= {"tier": ((), np.int64), "correction": ((), np.float32)}
        self.training, self.heldout = (Rings(columns, 1, config.capacity) for _ in range(2))
        # By the key of the question, in the order asked. The rows of their copies lie with all others, in the slots (L,).
        self.pending: dict[str, Asked] = {}
        self._slots: dict[str, np.ndarray] = {}

    @property
    def received(self) -> int:
        """Answers received since the run began, evicted ones included: what the ledger must have sold."""
        return int(self.training.count[0] + self.heldout.count[0])

    @property
    def num_training(self) -> int:
        return int(self.training.alive[0])

    @property
    def num_heldout(self) -> int:
        return int(self.heldout.alive[0])

    def copies(self, transitions: TransitionReplay, clips: Sequence[Clip]) -> list[Copy]:
        """What the labels of these clips will need, in their order. KeyError where a row is gone."""
        return transitions.copies(clips, self.config.burn_in)

    def ask(self, asked: Asked) -> None:
        """The answer will belong to the copy that comes with the question."""
        question, copy = asked.question, asked.copy
        assert copy is not None, question
        assert question.key not in self.pending, question
        assert question.tier in self.tiers, (question, self.tiers)
        assert (question.clip.env, question.clip.step) == (copy.env, copy.step), (question, copy.env, copy.step)
        assert len(copy.is_first) == self.config.burn_in + 1, (len(copy.is_first), self.config.burn_in)
        self._slots[question.key] = self.shared.hold(copy)
        self.pending[question.key] = replace(asked, copy=_without_rows(copy))

    def decline(self, key: str) -> None:
        """Nobody waits for an answer to this question any more."""
        del self.pending[key]
        self.shared.release(self._slots.pop(key))

    def answer(self, answer: Answer) -> None:
        """KeyError where nobody is waiting for this answer: never asked, or answered already. ValueError for a NaN."""
        if not np.isfinite(answer.value):
            raise ValueError(f"label {answer.key!r}: must be finite, got {answer.value}")
        if answer.key not in self.pending:
            raise KeyError(f"label {answer.key!r}: not asked, or answered already")
        asked = self.pending.pop(answer.key)
        copy = asked.copy
        assert copy is not None, asked  # `ask` has seen it
        values = {name: np.asarray(getattr(copy, name))[None] for name in COPIED}
        values |= {"rows": self._slots.pop(answer.key)[None]}
        values |= {"value": np.array([answer.value]), "is_uniform": np.array([asked.is_uniform])}
        values |= {"tier": np.array([self.tiers.index(asked.question.tier)]), "correction": np.zeros(1)}
        if not copy.is_heldout:
            self._deal(copy.env + copy.episode)
        rings = self.heldout if copy.is_heldout else self.training
        if rings.alive[0] == rings.capacity:
            self.shared.release(rings.columns["rows"][rings.slot(np.zeros(1, np.int64), rings.oldest)][0])
        rings.append(np.zeros(1, np.int64), values)

    def _deal(self, fold: int) -> None:
        """Count a label of a training episode that is about to come, and no more the one that goes for it."""
        rings, folds = self.training, len(self.per_fold)
        if self.num_training == rings.capacity:
            slot = rings.slot(np.zeros(1, np.int64), rings.oldest)
            self.per_fold[(rings.columns["env"][slot] + rings.columns["episode"][slot]) % folds] -= 1
        self.per_fold[fold % folds] += 1

    def sample(self, batch: int, rng: np.random.Generator) -> LabelBatch:
        """`batch` labels of training episodes, uniform with replacement; rows of weight 0 while there are none.

        While all that are held are of one fold, none has a fold: the member that leaves it out would learn nothing.
        """
        if not self.num_training:
            labels = self._batch(self.training, np.zeros(batch, np.int64))
            return replace(labels, weight=torch.zeros(batch))
        labels = self._batch(self.training, rng.integers(self.num_training, size=batch))
        is_one_fold = len(self.per_fold) > 1 and np.count_nonzero(self.per_fold) == 1
        return replace(labels, fold=torch.full_like(labels.fold, NO_FOLD)) if is_one_fold else labels

    def draw(self, batch: Batch, number: int, rng: np.random.Generator) -> tuple[Batch, LabelBatch]:
        """The batch as it is, and `number` labels to learn reward from."""
        return batch, self.sample(number, rng)

    def heldout_labels(self, most: int | None = None) -> LabelBatch:
        """Labels bought inside held-out episodes, which train nothing: all, or the newest `most`."""
        return self._batch(self.heldout, _newest(self.heldout, most))

    def newest(self, most: int, is_heldout: bool = False) -> tuple[LabelBatch, Tensor]:
        """The newest `most` labels of training (or held-out) episodes, and which of them were drawn uniformly, (K,) bool:
        these alone may estimate an error."""
        rings = self.heldout if is_heldout else self.training
        slot = _newest(rings, most)
        return self._batch(rings, slot), rings.take("is_uniform", slot)

    def answers(self, is_heldout: bool = False, most: int | None = None) -> Answers:
        """All that are held of training (or held-out) episodes, or the newest `most`."""
        rings = self.heldout if is_heldout else self.training
        slot = _newest(rings, most)
        columns = {name: rings.columns[name][slot] for name in ("env", "step", "tier", "is_uniform")}
        return Answers(**columns, value=rings.columns["value"][slot].astype(np.float64))

    def rows(self, index: np.ndarray, is_heldout: bool = False) -> LabelBatch:
        """The labels in these places (n,) of `answers`."""
        rings = self.heldout if is_heldout else self.training
        return self._batch(rings, _newest(rings, None)[index])

    def weigh(self, precision: Mapping[str, float]) -> None:
        """Relative precision of a label by tier, above 0. Those of the most precise tier that holds labels weigh
        exactly 1, so that a run with a single tier trains as if there were no weights."""
        weight = np.array([precision[tier] for tier in self.tiers])
        assert np.isfinite(weight).all() and weight.min() > 0, precision
        held = np.unique(self.training.columns["tier"][: self.num_training])
        best = weight[held].max() if len(held) else weight.max()
        self.precision = (weight / best).astype(np.float32)

    def correct(self, index: np.ndarray, amount: np.ndarray, is_heldout: bool = False) -> None:
        """Take `amount` (n,), reward units, off the labels in these places (n,) of `answers` whenever they are drawn."""
        rings = self.heldout if is_heldout else self.training
        rings.columns["correction"][_newest(rings, None)[index]] = amount

    def _batch(self, rings: Rings, slot: np.ndarray) -> LabelBatch:
        """The labels in these slots (one ring holds them, so slots 0 .. alive-1 are exactly the ones held)."""
        rows = self.shared.take(rings.columns["rows"][slot])  # each (n, L, ...)
        return LabelBatch(
            obs={name: rows[f"obs/{name}"] for name in self.spaces.obs},
            prev_action=rows["prev_action"],
            is_first=rows["is_first"],
            start_deter=rings.take("start_deter", slot),
            start_stoch=rings.take("start_stoch", slot).long(),
            value=rings.take("value", slot) - rings.take("correction", slot),
            weight=torch.from_numpy(self.precision[rings.columns["tier"][slot]]),
            fold=rings.take("env", slot) + rings.take("episode", slot),
        )

    def refresh(self, transitions: TransitionReplay) -> None:
        """Copy the context latents anew from the rows that still exist: write-back never reaches a copy."""
        for rings, is_heldout in ((self.training, False), (self.heldout, True)):
            slot = np.flatnonzero(rings.columns["context_step"][: int(rings.alive[0])] >= 0)
            env, step = rings.columns["env"][slot], rings.columns["context_step"][slot]
            is_found, deter, stoch = transitions.latents(env, step, is_heldout)
            rings.write("start_deter", slot[is_found], deter)
            rings.write("start_stoch", slot[is_found], stoch)

    def state_dict(self) -> dict:
        """The refreshed latents, corrections and weights; questions and answers come back from the journal."""
        rings = {"training": self.training.state_dict(SAVED), "heldout": self.heldout.state_dict(SAVED)}
        numbers = {name: torch.from_numpy(getattr(self, name).copy()) for name in ("precision", "per_fold")}
        return rings | numbers

    def load_state_dict(self, state: dict, is_exact: bool = True) -> None:
        """After the refill from the journal. ValueError names what does not fit.

        Without exactness the refill may have gone further: newer labels are as they were answered.
        """
        if not is_exact:
            state = {"per_fold": torch.from_numpy(self.per_fold)} | state  # version 0.2 did not keep it
        check_keys(state, {"training", "heldout", "precision", "per_fold"}, "labels")
        for name, what in (("precision", "tiers"), ("per_fold", "folds")):
            if len(state[name]) != len(getattr(self, name)):
                raise ValueError(
                    f"labels: the checkpoint knows {len(state[name])} {what}, the run {len(getattr(self, name))}"
                )
        if is_exact and state["per_fold"].tolist() != self.per_fold.tolist():
            saved, held = state["per_fold"].tolist(), self.per_fold.tolist()
            raise ValueError(f"labels: the checkpoint knows {saved} labels by fold, the journal {held}")
        self.training.load_state_dict(state["training"], SAVED, "labels: of training episodes", is_exact)
        self.heldout.load_state_dict(state["heldout"], SAVED, "labels: of held-out episodes", is_exact)
        self.precision = state["precision"].numpy().copy()

    def fingerprint(self) -> str:
        """The same for two replays that hold the same labels, copies, weights and pending questions, bit for bit."""
        return fingerprint(
            [
                ("precision", self.precision),
                ("per_fold", self.per_fold),
                *self._held("training", self.training),
                *self._held("heldout", self.heldout),
                *asked_arrays(self._whole(asked) for asked in self.pending.values()),
            ]
        )

    def _held(self, which: str, rings: Rings) -> Iterator[tuple[str, np.ndarray]]:
        """Every label's columns and rows, wherever the rows lie."""
        yield from ((f"{which}/{name}", value) for name, value in rings.held() if name != "rows")
        slot = _newest(rings, None)
        for start in range(0, len(slot), PIECE):
            rows = self.shared.read(rings.columns["rows"][slot[start : start + PIECE]])
            yield from ((f"{which}/{name}/{start}", rows[name]) for name in sorted(rows))

    def _whole(self, asked: Asked) -> Asked:
        """A pending question with its copy as it was when it was asked."""
        slot, copy = self._slots[asked.question.key], asked.copy
        assert copy is not None, asked
        rows = self.shared.read(slot)
        obs = {name: rows[f"obs/{name}"] for name in self.spaces.obs}
        copy = replace(copy, obs=obs, prev_action=rows["prev_action"], is_first=rows["is_first"])
        return replace(asked, copy=copy)


def _without_rows(copy: Copy) -> Copy:
    return replace(copy, obs={}, prev_action=copy.prev_action[:0], is_first=copy.is_first[:0])


def _newest(rings: Rings, most: int | None) -> np.ndarray:
    """Slots of the newest `most` rows of the only ring, all of them where `most` is None; oldest first."""
    row = np.arange(int(rings.oldest[0]), int(rings.count[0]))[-most if most else None :]
    return rings.slot(np.zeros(len(row), np.int64), row)
