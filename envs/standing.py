"""Where streams stand: what environments that are made anew need, to go on where others ended."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OpenEpisode:
    """The T rows of an episode that has not ended, and what was done between them."""

    env: int
    number: int  # in its stream
    obs: dict[str, np.ndarray]  # key -> (T, *shape)
    action: np.ndarray  # (T - 1, A) float32, chosen at all rows but the last


@dataclass(frozen=True)
class Standing:
    """N streams: the numbers that come next, and the episodes under way."""

    next_step: np.ndarray  # (N,) int64
    next_episode: np.ndarray  # (N,) int64
    was_last: np.ndarray  # (N,) bool: the next row is the first of an episode
    is_heldout: np.ndarray  # (N,) bool
    rows: np.ndarray  # (2,) int64, transitions bought in training and in held-out episodes
    open: tuple[OpenEpisode, ...] = ()
