"""How far the streams of a run have come: what a new VectorEnv needs in order to go on there."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OpenEpisode:
    """An episode that has not ended: what was seen and done in it, so that it can be played again and compared."""

    env: int
    number: int  # of the episode in its stream
    obs: dict[str, np.ndarray]  # key -> (T, *shape), the rows so far, as they were bought
    action: np.ndarray  # (T-1, A) float32, chosen at rows 0 .. T-2: the last row's is yet to be taken


@dataclass(frozen=True)
class Standing:
    """N streams after some rows."""

    next_step: np.ndarray  # (N,) int64, the number of the row that comes next
    next_episode: np.ndarray  # (N,) int64, episodes begun
    was_last: np.ndarray  # (N,) bool: the next row follows a reset
    is_heldout: np.ndarray  # (N,) bool, of the newest episode
    rows: np.ndarray  # (2,) int64, transitions bought so far in training and in held-out episodes
    open: tuple[OpenEpisode, ...] = ()
