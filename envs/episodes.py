"""Episodes as they pass by in a stream: their true returns and their rows. For evaluation and for logs, never for training."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .records import Clip, Transition
from .vault import RewardVault


@dataclass(frozen=True)
class Episode:
    """One finished episode: its stream, the sum of its true rewards, its agent steps (the reset row not counted)."""

    env: int
    episode_return: float
    length: int


@dataclass(frozen=True)
class Trace:
    """The rows of one episode, T = length + 1. Row t holds the observation, the action chosen there and what arrived with it."""

    obs: dict[str, np.ndarray]  # key -> (T, *shape)
    action: np.ndarray  # (T, A), zero on the last row, where nothing is done any more
    reward: np.ndarray  # (T,) true reward, 0 on the first row
    is_terminal: np.ndarray  # (T,) bool


class EpisodeReturns:
    """True returns of the episodes that pass by, read from the vault. For logging: training's curves and evaluation."""

    def __init__(self, vault: RewardVault, num: int):
        self._vault = vault
        self.starts: list[int | None] = [None] * num  # the reset row of each stream's episode; None: not seen

    def add(self, transition: Transition) -> list[Episode]:
        """Take one tick and return the episodes that ended in it. One whose start was not seen is left out."""
        for env in np.flatnonzero(transition.is_first).tolist():
            self.starts[env] = int(transition.step[env])
        return [
            episode for env in np.flatnonzero(transition.is_last).tolist() for episode in self._end(env, transition)
        ]

    def _end(self, env: int, transition: Transition) -> Iterator[Episode]:
        start, self.starts[env] = self.starts[env], None
        last = int(transition.step[env])
        if start is not None and last > start:
            yield Episode(env, self._vault.reward(Clip(env, last, last - start)), last - start)


@dataclass
class TraceRecorder:
    """Collects the first whole episode of one environment."""

    vault: RewardVault
    env: int
    rows: list[tuple[dict[str, np.ndarray], np.ndarray, float, bool]] = field(default_factory=list)
    is_done: bool = False

    def add(self, transition: Transition, action: np.ndarray) -> None:
        if self.is_done:
            return
        env = self.env
        if transition.is_first[env]:
            self.rows.clear()  # also when a worker died and the stream began again
        self.is_done = bool(transition.is_last[env])
        reward = 0.0 if transition.is_first[env] else self.vault.reward(Clip(env, int(transition.step[env])))
        obs = {key: values[env].copy() for key, values in transition.obs.items()}
        chosen = np.zeros_like(action[env]) if self.is_done else action[env].copy()
        self.rows.append((obs, chosen, reward, bool(transition.is_terminal[env])))

    def finished(self) -> Trace:
        assert self.is_done, f"environment {self.env} has not ended after {len(self.rows)} rows"
        obs, action, reward, is_terminal = zip(*self.rows, strict=True)
        stacked = {key: np.stack([row[key] for row in obs]) for key in obs[0]}
        return Trace(stacked, np.stack(action), np.array(reward), np.array(is_terminal))
