"""How far N streams have come: the numbers that only grow, whatever the rings evict."""

from dataclasses import dataclass

import numpy as np

from ...envs.records import Transition
from .tick import Ticks


@dataclass(frozen=True)
class Counts:
    """Totals since the run began. Row 0 of `rows` counts the training rings, row 1 the held-out rings."""

    rows: np.ndarray  # (2, N) int64, rows ever written, reset rows included
    received: int  # transitions received: rows that are no reset row, training plus held-out
    next_step: np.ndarray  # (N,) int64, the step number of the next row of each stream
    next_episode: np.ndarray  # (N,) int64, episodes begun in each stream

    @classmethod
    def zero(cls, num_streams: int) -> "Counts":
        empty = np.zeros(num_streams, np.int64)
        return cls(np.zeros((2, num_streams), np.int64), 0, empty, empty.copy())

    def after(self, transition: Transition) -> "Counts":
        assert (transition.step >= self.next_step).all(), (transition.step, self.next_step)
        return Counts(
            rows=self.rows + np.stack([~transition.is_heldout, transition.is_heldout]),
            received=self.received + transition.num_bought,
            next_step=transition.step.astype(np.int64) + 1,
            next_episode=self.next_episode + transition.is_first,
        )

    def after_all(self, ticks: Ticks) -> "Counts":
        """The same as `after` each of these ticks, of which there is at least one."""
        assert (ticks.step[0] >= self.next_step).all(), (ticks.step[0], self.next_step)
        assert (np.diff(ticks.step, axis=0) > 0).all(), "the steps of a stream rise"
        return Counts(
            rows=self.rows + np.stack([(~ticks.is_heldout).sum(0), ticks.is_heldout.sum(0)]),
            received=self.received + ticks.num_bought,
            next_step=ticks.step[-1].astype(np.int64) + 1,
            next_episode=self.next_episode + ticks.is_first.sum(0),
        )

    def after_episode(self, env: int, step: int, episode: int, length: int, is_heldout: bool) -> "Counts":
        """After a whole episode of one stream: the number of its first row, its own number, and its transitions."""
        assert step >= self.next_step[env], (env, step, self.next_step)
        rows, next_step, next_episode = self.rows.copy(), self.next_step.copy(), self.next_episode.copy()
        rows[int(is_heldout), env] += length + 1
        next_step[env], next_episode[env] = step + length + 1, episode + 1
        return Counts(rows, self.received + length, next_step, next_episode)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of them by name."""
        return {"received": np.array(self.received, np.int64)} | {
            name: getattr(self, name) for name in ("rows", "next_step", "next_episode")
        }
