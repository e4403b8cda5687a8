"""The label replay: bought answers, and copies of what the reward model must see for them. Nothing here is free.

Copies overlap where labels are neighbours in an episode. The rows of all of them lie in one store, each once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ...envs.records import Answer, Clip, Spaces
from ..records import Batch, LabelBatch, Side
from .copies import Copy
from .fingerprint import fingerprint
from .label_form import RIGHT, LabelForm
from .label_store import Asked, asked_arrays
from .rows.rings import Columns, Rings, check_keys
from .rows.shared_rows import SharedRows
from .rows.storage import Storage
from .transitions import TransitionReplay

NO_FOLD = -1  # of a label that every member of the reward ensemble learns from
PIECE = 256  # labels whose rows are put side by side for a fingerprint
FIRST_JUDGEMENT = (1.0, 0.05)  # of a rater of pairs before anything is known: sensitivity in 1 / reward, lapse rate


@dataclass(frozen=True)
class LabelReplayConfig:
    capacity: int = 1_000_000  # labelled rows; the oldest labels go first
    burn_in: int = 8  # rows before the labelled ones that warm the latent up
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
    episode: np.ndarray  # (n,) int64: (env, episode) is where it happened
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
        form: LabelForm = LabelForm(),  # noqa: B008  frozen
    ):
        """tiers: who can be asked; people who answer as one of them are tiers of their own from their first answer on.
        folds: of the episodes, one a member of the reward ensemble, which leaves it out. latents: how the copies keep
        recurrent states, as the transition replay does. scratch: the folder to map the copies' rows into; None: main
        memory."""
        self.config, self.spaces, self.tiers = config, spaces, tuple(tiers)
        self.per_fold = np.zeros(folds, np.int64)  # labels of training episodes held
        self.precision = np.ones(len(self.tiers), np.float32)  # weight of a label by tier
        self.step = 1.0  # part of a step that the reward model is moved by; less where labels are mostly noise
        self.retracted: frozenset[str] = frozenset()  # whose labels weigh nothing
        self.num_stock = 0  # labels received that another run has paid for
        self.form = form
        # Of pairs: each rater's sensitivity (1 / reward) and lapse rate; the first is the one of whoever is not known.
        self.judgement = np.array([FIRST_JUDGEMENT] * len(self.tiers), np.float32)
        of_row: Columns = {f"obs/{k}": (s.shape, s.dtype) for k, s in spaces.obs.items()}
        of_row |= {"prev_action": ((spaces.action_size,), np.float32), "is_first": ((), bool)}
        self.shared = SharedRows(of_row, Storage(scratch))
        columns = form.columns(config.burn_in, deter, stoch, latents)
        self.training, self.heldout = (Rings(columns, 1, form.capacity(config.capacity)) for _ in range(2))
        # By the key of the question, in the order asked. The rows of their copies lie with all others, in slots (L,) a side.
        self.pending: dict[str, Asked] = {}
        self._slots: dict[str, list[np.ndarray]] = {}

    @property
    def received(self) -> int:
        """Answers received since the run began, evicted ones included: what the ledger must have sold, and `num_stock`."""
        return int(self.training.count[0] + self.heldout.count[0])

    @property
    def num_training(self) -> int:
        return int(self.training.alive[0])

    @property
    def num_heldout(self) -> int:
        return int(self.heldout.alive[0])

    @property
    def mean_rows(self) -> float:
        """That a label held is about; 1 while there is none."""
        if self.form.length == 1:
            return 1.0
        held = [rings.columns["num_rows"][: int(rings.alive[0])] for rings in (self.training, self.heldout)]
        rows = np.concatenate(held)
        return float(rows.mean()) if len(rows) else 1.0

    def copies(self, transitions: TransitionReplay, clips: Sequence[Clip]) -> list[Copy]:
        """What the labels of these clips will need, in their order. KeyError where a row is gone."""
        return transitions.copies(clips, self.config.burn_in + self.form.length - 1)

    def ask(self, asked: Asked) -> None:
        """The answer will belong to the copies that come with the question."""
        question, copies = asked.question, self.form.copies(asked)
        assert question.key not in self.pending, question
        assert question.tier in self.tiers, (question, self.tiers)
        length = self.config.burn_in + self.form.length
        for copy, clip in zip(copies, self.form.clips(asked), strict=True):
            assert (clip.env, clip.step) == (copy.env, copy.step), (question, copy.env, copy.step)
            assert len(copy.is_first) == length and copy.is_heldout == copies[0].is_heldout, (length, question)
        self._slots[question.key] = [self.shared.hold(copy) for copy in copies]
        right = asked.right and _without_rows(asked.right)
        self.pending[question.key] = replace(asked, copy=_without_rows(copies[0]), right=right)

    def decline(self, key: str) -> None:
        """Nobody waits for an answer to this question any more."""
        del self.pending[key]
        for slot in self._slots.pop(key):
            self.shared.release(slot)

    def answer(self, answer: Answer) -> None:
        """KeyError where nobody is waiting for this answer: never asked, or answered already. ValueError for a NaN."""
        if not np.isfinite(answer.value):
            raise ValueError(f"label {answer.key!r}: must be finite, got {answer.value}")
        if answer.key not in self.pending:
            raise KeyError(f"label {answer.key!r}: not asked, or answered already")
        asked = self.pending.pop(answer.key)
        copy = self.form.copies(asked)[0]
        values = self.form.values(asked, answer)
        values |= {"tier": np.array([self._tier(answer.rater or asked.question.tier)])}
        values |= dict(zip(self._row_columns, (slot[None] for slot in self._slots.pop(answer.key)), strict=True))
        if not copy.is_heldout:
            self._deal(copy.env + copy.episode)
        rings = self.heldout if copy.is_heldout else self.training
        if rings.alive[0] == rings.capacity:
            oldest = rings.slot(np.zeros(1, np.int64), rings.oldest)
            for name in self._row_columns:
                self.shared.release(rings.columns[name][oldest][0])
        rings.append(np.zeros(1, np.int64), values)

    @property
    def _row_columns(self) -> list[str]:
        """Where the slots of a label's rows lie, by side."""
        return [f"{side}rows" for side in self.form.sides]

    def _tier(self, name: str) -> int:
        """The place of a tier; a person's own is made with the first answer."""
        if name not in self.tiers:
            self.tiers = (*self.tiers, name)
            self.precision = np.append(self.precision, np.float32(0.0 if name in self.retracted else 1.0))
            self.judgement = np.concatenate([self.judgement, self.judgement[:1]])
        return self.tiers.index(name)

    def retract(self, raters: frozenset[str]) -> None:
        """The labels of these people weigh nothing from now on. They stay: they were paid for."""
        self.retracted |= raters
        self.precision[[name in self.retracted for name in self.tiers]] = 0.0

    def _deal(self, fold: int) -> None:
        """Count a label of a training episode that is about to come, and no more the one that goes for it."""
        rings, folds = self.training, len(self.per_fold)
        if self.num_training == rings.capacity:
            slot = rings.slot(np.zeros(1, np.int64), rings.oldest)
            self.per_fold[(rings.columns["env"][slot] + rings.columns["episode"][slot]) % folds] -= 1
        self.per_fold[fold % folds] += 1

    def sample(self, batch: int, rng: np.random.Generator) -> LabelBatch:
        """`batch` labels of training episodes, uniform with replacement; rows of weight 0 while there are none. The largest
        weight is `step`, whoever was drawn.

        While all that are held are of one fold, none has a fold: the member that leaves it out would learn nothing.
        """
        if not self.num_training:
            labels = self._batch(self.training, np.zeros(batch, np.int64))
            return replace(labels, weight=torch.zeros(batch))
        labels = self._batch(self.training, rng.integers(self.num_training, size=batch))
        if (best := labels.weight.max()) > 0:
            labels = replace(labels, weight=labels.weight / best * self.step)
        is_one_fold = len(self.per_fold) > 1 and np.count_nonzero(self.per_fold) == 1
        if not is_one_fold:
            return labels
        nobody = torch.full_like(labels.fold, NO_FOLD)
        return replace(labels, fold=nobody, right=labels.right and replace(labels.right, fold=nobody))

    def draw(self, batch: Batch, number: int, rng: np.random.Generator) -> tuple[Batch, LabelBatch]:
        """The batch as it is, and `number` labels to learn reward from."""
        return batch, self.sample(number, rng)

    def heldout_labels(self, most: int | None = None) -> LabelBatch:
        """Labels bought inside held-out episodes, which train nothing: all, or the newest `most`."""
        return self._batch(self.heldout, self._scored(self.heldout, most))

    def newest(self, most: int, is_heldout: bool = False) -> tuple[LabelBatch, Tensor]:
        """The newest `most` labels of training (or held-out) episodes, and which of them were drawn uniformly, (K,) bool:
        these alone may estimate an error."""
        rings = self.heldout if is_heldout else self.training
        slot = self._scored(rings, most)
        return self._batch(rings, slot), rings.take("is_uniform", slot)

    def answers(self, is_heldout: bool = False, most: int | None = None) -> Answers:
        """All that are held of training (or held-out) episodes, or the newest `most`."""
        rings = self.heldout if is_heldout else self.training
        slot = self._scored(rings, most)
        columns = {name: rings.columns[name][slot] for name in ("env", "step", "episode", "tier", "is_uniform")}
        return Answers(**columns, value=rings.columns["value"][slot].astype(np.float64))

    def rows(self, index: np.ndarray, is_heldout: bool = False) -> LabelBatch:
        """The labels in these places (n,) of `answers`."""
        rings = self.heldout if is_heldout else self.training
        return self._batch(rings, self._scored(rings, None)[index])

    def pairs(self, most: int) -> tuple[LabelBatch, np.ndarray]:
        """The newest `most` pairs of training episodes, and the tiers (n,) of those who judged them."""
        slot = _newest(self.training, None)
        slot = slot[self.training.columns["is_pair"][slot]][-most:]
        return self._batch(self.training, slot), self.training.columns["tier"][slot]

    def judge(self, judgement: Mapping[str, tuple[float, float]]) -> None:
        """Sensitivity and lapse rate by tier, of those who judge pairs."""
        for name, terms in judgement.items():
            self.judgement[self.tiers.index(name)] = terms

    def weigh(self, precision: Mapping[str, float]) -> None:
        """Relative precision of a label by tier, above 0. Those of the most precise tier that holds labels weigh
        exactly 1, so that a run with a single tier trains as if there were no weights."""
        weight = np.array([precision[tier] for tier in self.tiers])
        assert np.isfinite(weight).all() and weight.min() > 0, precision
        held = np.unique(self.training.columns["tier"][self._scored(self.training, None)])
        best = weight[held].max() if len(held) else weight.max()
        self.precision = (weight / best).astype(np.float32)
        self.retract(self.retracted)

    def correct(self, index: np.ndarray, amount: np.ndarray, is_heldout: bool = False) -> None:
        """Take `amount` (n,), reward units, off the labels in these places (n,) of `answers` whenever they are drawn."""
        rings = self.heldout if is_heldout else self.training
        rings.columns["correction"][self._scored(rings, None)[index]] = amount

    def _batch(self, rings: Rings, slot: np.ndarray) -> LabelBatch:
        """The labels in these slots (one ring holds them, so slots 0 .. alive-1 are exactly the ones held)."""
        numbers = {"value": rings.take("value", slot) - rings.take("correction", slot)}
        numbers |= {"weight": torch.from_numpy(self.precision[rings.columns["tier"][slot]])}
        numbers |= {"fold": rings.take("env", slot) + rings.take("episode", slot)}
        more: dict[str, Any] = {"length": self.form.length, "reach": self.form.reach}
        if self.form.length > 1:
            more |= {"rows": rings.take("num_rows", slot)}
        if self.form.kind == "moments":
            more |= {"marks": rings.take("marks", slot)}
        if self.form.kind == "pair":
            fold = rings.take("right_env", slot) + rings.take("right_episode", slot)
            right = Side(**self._windows(rings, slot, RIGHT), rows=rings.take("right_num_rows", slot), fold=fold)
            judgement = torch.from_numpy(self.judgement[rings.columns["tier"][slot]])
            more |= {"right": right, "is_pair": rings.take("is_pair", slot), "judgement": judgement}
        return LabelBatch(**self._windows(rings, slot), **numbers, **more)

    def _windows(self, rings: Rings, slot: np.ndarray, side: str = "") -> dict[str, Any]:
        """What a window holds, of one side of the labels in these slots."""
        rows = self.shared.take(rings.columns[f"{side}rows"][slot])  # each (n, L, ...)
        return {
            "obs": {name: rows[f"obs/{name}"] for name in self.spaces.obs},
            "prev_action": rows["prev_action"],
            "is_first": rows["is_first"],
            "start_deter": rings.take(f"{side}start_deter", slot),
            "start_stoch": rings.take(f"{side}start_stoch", slot).long(),
        }

    def _scored(self, rings: Rings, most: int | None) -> np.ndarray:
        """The newest that may measure: of pairs it is not known by how much a prediction errs, and who was retracted says
        nothing."""
        slot = _newest(rings, None)
        may = ~rings.columns["is_pair"][slot] if "is_pair" in rings.columns else np.ones(len(slot), bool)
        if self.retracted:
            may &= ~np.array([name in self.retracted for name in self.tiers])[rings.columns["tier"][slot]]
        return slot[may][-most if most else None :]

    def refresh(self, transitions: TransitionReplay) -> None:
        """Copy the context latents anew from the rows that still exist: write-back never reaches a copy."""
        for rings, is_heldout in ((self.training, False), (self.heldout, True)):
            for side in self.form.sides:
                slot = np.flatnonzero(rings.columns[f"{side}context_step"][: int(rings.alive[0])] >= 0)
                env, step = (rings.columns[f"{side}{name}"][slot] for name in ("env", "context_step"))
                is_found, deter, stoch = transitions.latents(env, step, is_heldout)
                rings.write(f"{side}start_deter", slot[is_found], deter)
                rings.write(f"{side}start_stoch", slot[is_found], stoch)

    def state_dict(self) -> dict:
        """The refreshed latents, corrections and weights; questions and answers come back from the journal."""
        saved = self.form.saved
        rings = {"training": self.training.state_dict(saved), "heldout": self.heldout.state_dict(saved)}
        numbers = {name: torch.from_numpy(getattr(self, name).copy()) for name in ("precision", "per_fold")}
        numbers |= {"step": torch.tensor(self.step, dtype=torch.float64)}
        return (
            rings
            | numbers
            | ({"judgement": torch.from_numpy(self.judgement.copy())} if self.form.kind == "pair" else {})
        )

    def load_state_dict(self, state: dict, is_exact: bool = True) -> None:
        """After the refill from the journal. ValueError names what does not fit.

        Without exactness the refill may have gone further: newer labels are as they were answered.
        """
        state = {"step": torch.ones(())} | state  # versions before 0.3 took whole steps
        if not is_exact:
            state = {"per_fold": torch.from_numpy(self.per_fold)} | state  # version 0.2 did not keep it
        numbers = {"precision", "per_fold", *(["judgement"] if self.form.kind == "pair" else [])}
        check_keys(state, {"training", "heldout", "step", *numbers}, "labels")
        for name, what in (("precision", "tiers"), ("per_fold", "folds")):
            number = len(getattr(self, name))
            # Without exactness people may have given first answers since.
            if len(state[name]) != number and (is_exact or name == "per_fold" or len(state[name]) > number):
                raise ValueError(
                    f"labels: the checkpoint knows {len(state[name])} {what}, the run {len(getattr(self, name))}"
                )
        if is_exact and state["per_fold"].tolist() != self.per_fold.tolist():
            saved, held = state["per_fold"].tolist(), self.per_fold.tolist()
            raise ValueError(f"labels: the checkpoint knows {saved} labels by fold, the journal {held}")
        self.training.load_state_dict(state["training"], self.form.saved, "labels: of training episodes", is_exact)
        self.heldout.load_state_dict(state["heldout"], self.form.saved, "labels: of held-out episodes", is_exact)
        for name in numbers - {"per_fold"}:
            getattr(self, name)[: len(state[name])] = state[name].numpy()
        self.step = float(state["step"])
        self.retract(self.retracted)

    def fingerprint(self) -> str:
        """The same for two replays that hold the same labels, copies, weights and pending questions, bit for bit."""
        return fingerprint(
            [
                ("precision", self.precision),
                ("step", np.array(self.step)),
                ("per_fold", self.per_fold),
                *self._held("training", self.training),
                *self._held("heldout", self.heldout),
                *asked_arrays(self._whole(asked) for asked in self.pending.values()),
            ]
        )

    def _held(self, which: str, rings: Rings) -> Iterator[tuple[str, np.ndarray]]:
        """Every label's columns and rows, wherever the rows lie."""
        yield from ((f"{which}/{name}", value) for name, value in rings.held() if name not in self._row_columns)
        slot = _newest(rings, None)
        for column, start in product(self._row_columns, range(0, len(slot), PIECE)):
            rows = self.shared.read(rings.columns[column][slot[start : start + PIECE]])
            yield from ((f"{which}/{column}/{name}/{start}", rows[name]) for name in sorted(rows))

    def _whole(self, asked: Asked) -> Asked:
        """A pending question with its copy as it was when it was asked."""
        slots, copies = self._slots[asked.question.key], self.form.copies(asked)
        left, *right = (self._with_rows(copy, slot) for copy, slot in zip(copies, slots, strict=True))
        return replace(asked, copy=left, right=right[0] if asked.right else None)

    def _with_rows(self, copy: Copy, slot: np.ndarray) -> Copy:
        rows = self.shared.read(slot)
        obs = {name: rows[f"obs/{name}"] for name in self.spaces.obs}
        return replace(copy, obs=obs, prev_action=rows["prev_action"], is_first=rows["is_first"])

    def whole(self, key: str) -> Asked:
        """A pending question with its copies."""
        return self._whole(self.pending[key])


def _without_rows(copy: Copy) -> Copy:
    return replace(copy, obs={}, prev_action=copy.prev_action[:0], is_first=copy.is_first[:0])


def _newest(rings: Rings, most: int | None) -> np.ndarray:
    """Slots of the newest `most` rows of the only ring, all of them where `most` is None; oldest first."""
    row = np.arange(int(rings.oldest[0]), int(rings.count[0]))[-most if most else None :]
    return rings.slot(np.zeros(len(row), np.int64), row)
