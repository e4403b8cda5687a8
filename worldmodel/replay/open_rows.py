"""Which rows may still be asked about: bought, still held, and never asked before."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ...envs.records import Clip
from .rows.rings import Rings


@dataclass(frozen=True)
class Candidates:
    """K open rows of training episodes, with what the model last thought of them."""

    clips: list[Clip]
    age: np.ndarray  # (K,) share of its stream's rows that are newer: 0 the newest, towards 1 the oldest
    deter: Tensor  # (K, D) float32
    stoch: Tensor  # (K, S) int64, class indices


class OpenRows:
    """The column `is_open` of the training and the held-out rings."""

    def __init__(self, training: Rings, heldout: Rings):
        self.training, self.heldout = training, heldout

    def __len__(self) -> int:
        return sum(int(np.count_nonzero(rings.columns["is_open"])) for rings in (self.training, self.heldout))

    def before(self, step: np.ndarray) -> int:
        """How many of them lie before the row `step` (N,) of their stream."""
        number = 0
        for rings in (self.training, self.heldout):
            slot = np.flatnonzero(rings.columns["is_open"])
            number += int(np.count_nonzero(rings.columns["step"][slot] < step[slot // rings.length]))
        return number

    def draw(self, number: int, rng: np.random.Generator) -> list[Clip]:
        """`number` rows (fewer where fewer are left), uniform without replacement over training and held-out rows.

        They count as asked from here on.
        """
        training = np.flatnonzero(self.training.columns["is_open"])
        heldout = np.flatnonzero(self.heldout.columns["is_open"])
        total = len(training) + len(heldout)
        drawn = rng.choice(total, min(number, total), replace=False)
        clips = []
        for rings, slot in (
            (self.training, training[drawn[drawn < len(training)]]),
            (self.heldout, heldout[drawn[drawn >= len(training)] - len(training)]),
        ):
            rings.columns["is_open"][slot] = False
            clips += clips_at(rings, slot)
        return clips

    def candidates(self, most: int, rng: np.random.Generator) -> Candidates:
        """At most `most` open rows of training episodes, uniform without replacement. Nothing counts as asked. A row of a stock
        that no update has seen yet is left out: nobody has made a latent of it."""
        rings = self.training
        slot = np.flatnonzero(rings.columns["is_open"])
        slot = slot[rng.choice(len(slot), min(most, len(slot)), replace=False)]
        slot = slot[rings.columns["deter"][slot].any(1)]
        stream, place = np.divmod(slot, rings.length)
        newer = (rings.count[stream] - 1 - place) % rings.length
        return Candidates(
            clips_at(rings, slot),
            newer / np.maximum(rings.alive[stream], 1),
            rings.take("deter", slot),
            rings.take("stoch", slot).long(),
        )

    def mark_asked(self, clips: list[Clip]) -> None:
        """Draw none of these again. Clips evicted since are skipped."""
        stream, step = stream_and_step(clips)
        for rings in (self.training, self.heldout):
            row = rings.find(stream, step)
            rings.columns["is_open"][rings.slot(stream, row)[row >= 0]] = False


def clips_at(rings: Rings, slot: np.ndarray) -> list[Clip]:
    pairs = zip((slot // rings.length).tolist(), rings.columns["step"][slot].tolist(), strict=True)
    return [Clip(env, step) for env, step in pairs]


def stream_and_step(clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) each."""
    pairs = np.array([(clip.env, clip.step) for clip in clips], np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
