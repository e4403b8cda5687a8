"""Episodes as they were recorded, checked and brought into the form that a model sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Space

from ...errors import UserError
from ..make import spaces_from
from ..spaces.actions import Actions
from ..spaces.bounds import Bounds, bounds_of
from ..spaces.leaves import Leaf, value_at
from ..spaces.observations import Observations
from ..spaces.vectors import vectors_of
from .given import Given

FLAGS = ("terminations", "truncations")


@dataclass(frozen=True)
class Raw:
    """An episode in the spaces of its environment: T + 1 observations and T of all else, in arrays with that axis first."""

    name: str
    observations: Any  # an array, or a dict or tuple of such
    actions: Any
    terminations: Any = None  # (T,) truth values; None: missing
    truncations: Any = None
    rewards: Any = None  # (T,); None: there are none


class Form:
    """From the spaces of a data set to those of a model. UserError, beginning with `where`, for what does not fit."""

    def __init__(self, where: str, observations: Space, actions: Space, keys: Sequence[str], size: int, gaps: bool):
        """where: "key: file". keys, size: as of `envs`. gaps: whether a reward may be NaN, which says that it is not known."""
        self._where, self._gaps = where, gaps
        self._action_space = actions
        try:
            self._obs = Observations(where, observations, keys, size)
            self.spaces = spaces_from(self._obs.space, Actions(where, actions).space)
            self.bounds: Bounds | None = bounds_of(actions)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error

    def given(self, raw: Raw) -> Given:
        """The episode, with every array checked."""
        try:
            return self._given(raw)
        except (ValueError, UserError) as error:
            raise UserError(f"{self._where}: {raw.name}: {error}") from error

    def _given(self, raw: Raw) -> Given:
        is_terminal, length = _ending(raw)
        try:
            action = vectors_of(self._action_space, raw.actions)
        except ValueError as error:
            raise ValueError(f"actions: {error}") from error
        if len(action) != length:
            raise ValueError(f"holds {len(action)} actions and {length} flags of its end")
        rewards = self._rewards(raw.rewards, length)
        return Given(raw.name, self._observed(raw.observations, length), action, rewards, is_terminal)

    def _observed(self, given: Any, length: int) -> dict[str, np.ndarray]:
        columns = [(leaf, value_at(given, leaf)) for leaf in self._obs.leaves.values()]
        for _, column in columns:
            if not np.ndim(column):
                raise ValueError(f"holds one observation without an axis of steps, expected {length + 1}")
            if len(column) != length + 1:
                raise ValueError(
                    f"holds {len(column)} observations of {length} steps, expected one more: the first, and each arrived at"
                )
        rows = [self._obs.read(_row(columns, step)) for step in range(length + 1)]
        obs = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        for key, values in obs.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(1))[0])
                raise ValueError(f"observation {row} of {key!r} holds what is no number")
        return obs

    def _rewards(self, rewards: Any, length: int) -> np.ndarray:
        if rewards is None:
            return np.full(length, np.nan)
        array = np.asarray(rewards)
        if array.dtype.kind not in "biuf" or array.shape != (length,):
            raise ValueError(f"rewards are of shape {array.shape} and type {array.dtype}, expected ({length},) numbers")
        array = array.astype(np.float64)
        bad = ~(np.isfinite(array) | np.isnan(array)) if self._gaps else ~np.isfinite(array)
        if bad.any():
            step = int(np.flatnonzero(bad)[0])
            raise ValueError(f"the reward of step {step} is {array[step]}; leave `rewards` out where none are known")
        return array


def _ending(raw: Raw) -> tuple[bool, int]:
    """Whether the episode truly ended, and its steps. ValueError for one that is empty, or that ends before its end."""
    flags = []
    for name in FLAGS:
        value = getattr(raw, name)
        if value is None:
            raise ValueError(f"has no {name}: both {' and '.join(FLAGS)} say how an episode ended")
        array = np.asarray(value)
        if array.ndim != 1 or array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
            raise ValueError(f"{name} must be a truth value for each step, got {array.dtype} of shape {array.shape}")
        flags.append(array.astype(bool))
    terminated, truncated = flags
    if len(terminated) != len(truncated):
        raise ValueError(f"holds {len(terminated)} terminations and {len(truncated)} truncations")
    length = len(terminated)
    if not length:
        raise ValueError("is empty: it holds no step")
    early = np.flatnonzero((terminated | truncated)[:-1])
    if early.size:
        raise ValueError(f"ends at step {int(early[0])} and goes on to step {length - 1}: cut it into episodes")
    return bool(terminated[-1]), length


def _row(columns: list[tuple[Leaf, Any]], step: int) -> Any:
    """What was observed at a step, nested as its space is."""
    row: Any = {}
    for leaf, column in columns:
        if not leaf.path:
            return column[step]
        inside = row
        for key in leaf.path[:-1]:
            inside = inside.setdefault(key, {})
        inside[leaf.path[-1]] = column[step]
    return row
