"""Transitions that were there before the run: whole episodes at the beginning of the replay's streams."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...envs.records import Clip
from .transitions import TransitionReplay


@dataclass(frozen=True)
class StockEpisode:
    """An episode of T transitions and its place, without any reward."""

    env: int  # stream
    step: int  # of its first row in the stream
    episode: int  # its number in the stream
    is_heldout: bool
    is_terminal: bool
    origin: str  # its name where it comes from
    obs: dict[str, np.ndarray]  # key -> (T + 1, *shape)
    action: np.ndarray  # (T, A) float32

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class StockRows:
    """How far the stock reaches in N streams."""

    next_step: np.ndarray  # (N,) int64: rows from here on are the run's own
    bought: np.ndarray  # (2,) int64, transitions in training and in held-out episodes

    @classmethod
    def none(cls, num_streams: int) -> "StockRows":
        return cls(np.zeros(num_streams, np.int64), np.zeros(2, np.int64))

    @property
    def num_transitions(self) -> int:
        return int(self.bought.sum())

    def holds(self, clip: Clip) -> bool:
        """Whether a clip lies in the stock."""
        return clip.env < len(self.next_step) and clip.step < int(self.next_step[clip.env])


def restock(replay: TransitionReplay, episodes: Iterable[StockEpisode]) -> StockRows:
    """Put them into a replay that is still empty. Their latents begin at zero, since nobody acted on them, and updates write
    newer ones back. No window of theirs is queued as fresh: they are not what the present policy has just seen."""
    bought = np.zeros(2, np.int64)
    for one in episodes:
        _put(replay, one)
        bought[int(one.is_heldout)] += len(one)
    replay.online.next_row = replay.training.count.copy()
    return StockRows(replay.counts.next_step.copy(), bought)


def _put(replay: TransitionReplay, one: StockEpisode) -> None:
    rings, rows = (replay.heldout if one.is_heldout else replay.training), len(one) + 1
    replay.counts = replay.counts.after_episode(one.env, one.step, one.episode, len(one), one.is_heldout)
    is_first, is_last = np.arange(rows) == 0, np.arange(rows) == rows - 1
    values = {f"obs/{name}": value for name, value in one.obs.items()}
    values |= {"is_first": is_first, "is_last": is_last, "is_terminal": is_last & one.is_terminal, "is_open": ~is_first}
    values |= {"step": one.step + np.arange(rows), "episode": np.full(rows, one.episode, np.int64)}
    values["action"] = np.concatenate([one.action, np.zeros_like(one.action[:1])])
    values |= {name: np.zeros((rows, *rings.columns[name].shape[1:]), np.float32) for name in ("deter", "stoch")}
    rings.extend_one(one.env, values)
