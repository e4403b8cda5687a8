"""The label replay: bought answers, each beside its own copy of what the reward model must see. Nothing here is free."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from envs.records import Label, Query, Spaces
from worldmodel.replay.copies import Copy
from worldmodel.replay.rings import Rings
from worldmodel.replay.transitions import TransitionReplay

SAVED = ("start_deter", "start_stoch")  # refreshed since they were copied, so the journal does not know them


@dataclass(frozen=True)
class LabelReplayConfig:
    capacity: int = 1_000_000  # labels; the oldest go first
    burn_in: int = 8  # rows before the labelled one that warm the latent up

    def __post_init__(self):
        if self.capacity < 1:
            raise ValueError(f"capacity: must be at least 1, got {self.capacity}")
        if self.burn_in < 0:
            raise ValueError(f"burn_in: must be at least 0, got {self.burn_in}")


@dataclass(frozen=True)
class LabelBatch:
    """Labelled rows: the label is about the last of the L = burn_in + 1 rows."""

    obs: dict[str, Tensor]  # key -> (B, L, *shape)
    prev_action: Tensor  # (B, L, A) float32
    is_first: Tensor  # (B, L) bool
    start_deter: Tensor  # (B, D) float32
    start_stoch: Tensor  # (B, S) int64, class indices
    value: Tensor  # (B,) float32, the answer
    weight: Tensor  # (B,) float32, 0 where there is no label at all
    fold: Tensor  # (B,) int64, the same number for all labels of an episode; modulo the members it deals folds

    def to(self, device: torch.device | str) -> "LabelBatch":
        names = ["prev_action", "is_first", "start_deter", "start_stoch", "value", "weight", "fold"]
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return replace(self, obs={k: v.to(device, non_blocking=True) for k, v in self.obs.items()}, **moved)


@dataclass(frozen=True)
class Asked:
    """A question on its way: its copy was taken when it was asked, because the answer may outlive the row."""

    query: Query
    copy: Copy | None  # None in coupled mode, where the answer joins the row itself
    is_uniform: bool  # drawn uniformly, so that it may serve as a measurement


class LabelReplay:
    """Labels of training episodes, to sample from, and of held-out episodes, to measure with."""

    def __init__(self, config: LabelReplayConfig, spaces: Spaces, deter: int, stoch: int):
        self.config, self.spaces = config, spaces
        length = config.burn_in + 1
        columns = {
            f"obs/{k}": ((length, *s.shape), np.int32 if s.classes else np.float32) for k, s in spaces.obs.items()
        }
        columns |= {"prev_action": ((length, spaces.action_size), np.float32), "is_first": ((length,), bool)}
        columns |= {"start_deter": ((deter,), np.float32), "start_stoch": ((stoch,), np.uint8)}
        columns |= {name: ((), np.int64) for name in ("env", "step", "context_step", "episode")}
        columns |= {"value": ((), np.float32), "is_uniform": ((), bool)}
        self.training, self.held_out = (Rings(columns, 1, config.capacity) for _ in range(2))
        self.pending: dict[str, Asked] = {}  # by the key of the query, in the order asked

    @property
    def received(self) -> int:
        """Answers received since the run began, evicted ones included: what the ledger must have sold."""
        return int(self.training.count[0] + self.held_out.count[0])

    @property
    def num_training(self) -> int:
        return int(self.training.alive[0])

    @property
    def num_heldout(self) -> int:
        return int(self.held_out.alive[0])

    def ask(self, query: Query, copy: Copy, is_uniform: bool) -> None:
        """The answer to `query` will belong to `copy`."""
        assert query.key not in self.pending, query
        assert (query.segment.env, query.segment.step) == (copy.env, copy.step), (query, copy.env, copy.step)
        assert len(copy.is_first) == self.config.burn_in + 1, (len(copy.is_first), self.config.burn_in)
        self.pending[query.key] = Asked(query, copy, is_uniform)

    def answer(self, label: Label) -> None:
        """KeyError where nobody is waiting for this answer: never asked, or answered already. ValueError for a NaN."""
        if not np.isfinite(label.value):
            raise ValueError(f"label {label.key!r}: must be finite, got {label.value}")
        if label.key not in self.pending:
            raise KeyError(f"label {label.key!r}: not asked, or answered already")
        asked = self.pending.pop(label.key)
        copy = asked.copy
        names = ["prev_action", "is_first", "start_deter", "start_stoch", "env", "step", "context_step", "episode"]
        values = {name: np.asarray(getattr(copy, name))[None] for name in names}
        values |= {f"obs/{name}": value[None] for name, value in copy.obs.items()}
        values |= {"value": np.array([label.value]), "is_uniform": np.array([asked.is_uniform])}
        rings = self.held_out if copy.is_heldout else self.training
        rings.append(np.zeros(1, np.int64), values)

    def sample(self, batch: int, rng: np.random.Generator) -> LabelBatch:
        """`batch` labels of training episodes, uniform with replacement; rows of weight 0 while there are none."""
        if not self.num_training:
            labels = self._batch(self.training, np.zeros(batch, np.int64))
            return replace(labels, weight=torch.zeros(batch))
        return self._batch(self.training, rng.integers(self.num_training, size=batch))

    def heldout(self, most: int | None = None) -> LabelBatch:
        """Labels bought inside held-out episodes, which train nothing: all, or the newest `most`."""
        return self._batch(self.held_out, _newest(self.held_out, most))

    def newest(self, most: int, is_heldout: bool = False) -> tuple[LabelBatch, Tensor]:
        """The newest `most` labels of training (or held-out) episodes, and which of them were drawn uniformly, (K,) bool:
        these alone may estimate an error."""
        rings = self.held_out if is_heldout else self.training
        slot = _newest(rings, most)
        return self._batch(rings, slot), rings.take("is_uniform", slot)

    def _batch(self, rings: Rings, slot: np.ndarray) -> LabelBatch:
        """The labels in these slots (one ring holds them, so slots 0 .. alive-1 are exactly the ones held)."""
        return LabelBatch(
            obs={name: rings.take(f"obs/{name}", slot) for name in self.spaces.obs},
            prev_action=rings.take("prev_action", slot),
            is_first=rings.take("is_first", slot),
            start_deter=rings.take("start_deter", slot),
            start_stoch=rings.take("start_stoch", slot).long(),
            value=rings.take("value", slot),
            weight=torch.ones(len(slot)),
            fold=rings.take("env", slot) + rings.take("episode", slot),
        )

    def refresh(self, transitions: TransitionReplay) -> None:
        """Copy the context latents anew from the rows that still exist: write-back never reaches a copy."""
        for rings, is_heldout in ((self.training, False), (self.held_out, True)):
            slot = np.flatnonzero(rings.columns["context_step"][: int(rings.alive[0])] >= 0)
            env, step = rings.columns["env"][slot], rings.columns["context_step"][slot]
            is_found, deter, stoch = transitions.latents(env, step, is_heldout)
            rings.columns["start_deter"][slot[is_found]] = deter
            rings.columns["start_stoch"][slot[is_found]] = stoch

    def state_dict(self) -> dict:
        """The refreshed latents; questions and answers come back from the journal."""
        return {"training": self.training.state_dict(SAVED), "heldout": self.held_out.state_dict(SAVED)}

    def load_state_dict(self, state: dict) -> None:
        """After the refill from the journal. ValueError where the checkpoint does not fit."""
        if state.keys() != {"training", "heldout"}:
            raise ValueError(f"labels: the checkpoint holds {sorted(state)}, expected training, heldout")
        self.training.load_state_dict(state["training"], SAVED)
        self.held_out.load_state_dict(state["heldout"], SAVED)


def _newest(rings: Rings, most: int | None) -> np.ndarray:
    """Slots of the newest `most` rows of the only ring, all of them where `most` is None; oldest first."""
    row = np.arange(int(rings.oldest[0]), int(rings.count[0]))[-most if most else None :]
    return rings.slot(np.zeros(len(row), np.int64), row)
