"""Actions as an environment takes them, made the vectors that `Actions` would make them from."""

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

Parts = tuple[list[np.ndarray], list[np.ndarray]]  # numbers (T, n) each, one-hot choices (T, k) each


def vectors_of(space: Space, taken: Any) -> np.ndarray:
    """`taken`: T actions of the space, with T as the first axis of every array inside -> (T, A) float32.

    Numbers beyond the bounds are clipped, as they were when they were taken. ValueError for what is not of the space.
    """
    numbers, choices = _parts(space, taken)
    vectors = np.concatenate([*numbers, *choices], axis=1).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("they hold what is no number")
    return vectors


def _parts(space: Space, taken: Any) -> Parts:
    if isinstance(space, Dict | Tuple):
        inside = space.spaces.items() if isinstance(space, Dict) else enumerate(space.spaces)
        try:
            parts = [_parts(part, taken[key]) for key, part in inside]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"a part of them is missing: {error}") from error
        return [one for numbers, _ in parts for one in numbers], [one for _, choices in parts for one in choices]
    array = np.asarray(taken)
    if not array.ndim:
        raise ValueError(f"they are one {array.dtype} without an axis of steps")
    if array.dtype.kind not in "biuf" or array.shape[1:] != (space.shape or ()):
        raise ValueError(f"they are of shape {array.shape[1:]} and type {array.dtype}, expected {space.shape}")
    if isinstance(space, Box):
        return [_scaled(space, array.reshape(len(array), -1))], []
    if isinstance(space, Discrete):
        return [], [_one_hot(array - space.start, int(space.n))]
    assert isinstance(space, MultiDiscrete | MultiBinary), space  # `Actions` takes no others
    counts = np.asarray(space.nvec if isinstance(space, MultiDiscrete) else np.full(space.shape, 2)).reshape(-1)
    chosen = (array - np.asarray(getattr(space, "start", 0))).reshape(len(array), -1)
    return [], [_one_hot(chosen[:, place], count) for place, count in enumerate(counts.tolist())]


def _scaled(space: Box, array: np.ndarray) -> np.ndarray:
    low, high = (bound.reshape(-1).astype(np.float64) for bound in (space.low, space.high))
    half_width = np.where(high > low, (high - low) / 2, 1.0)
    return np.clip((array - (high + low) / 2) / half_width, -1.0, 1.0)


def _one_hot(chosen: np.ndarray, count: int) -> np.ndarray:
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < count and (chosen == np.floor(chosen)).all()):
        raise ValueError(f"choices are among {count}, got {chosen.min()} to {chosen.max()}")
    return np.eye(count, dtype=np.float32)[chosen.astype(np.int64)]
