"""Any gymnasium environment in the form that every environment of ours has."""

import math
from collections.abc import Sequence

import gymnasium
import numpy as np

from .sights.foreign import snapshots_of
from .spaces.actions import Actions
from .spaces.observations import Observations


class GymnasiumEnv(gymnasium.Wrapper):
    """Observations as a Dict of vectors, categories and pictures; actions as vectors. `Observations` and `Actions` say how.

    The infos are dropped: nothing reads them, and batching them costs time at every step. UnsupportedSpace for spaces
    that have no such form. An observation that is not of its space raises a UserError.
    """

    def __init__(self, env: gymnasium.Env, task: str, keys: Sequence[str] = (), size: int = 64):
        """keys: patterns, of what is observed; size: of both sides of every picture."""
        super().__init__(env)
        self.observations = Observations(task, env.observation_space, keys, size)
        self.actions = Actions(task, env.action_space)
        self.observation_space, self.action_space = self.observations.space, self.actions.space
        self._snapshots = snapshots_of(env.unwrapped)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        obs, _ = self.env.reset(seed=seed, options=options)
        return self.observations.read(obs), {}

    def step(self, action: np.ndarray):
        obs, reward, is_terminated, is_truncated, _ = self.env.step(self.actions.action(action))
        return self.observations.read(obs), number_of(reward), bool(is_terminated), bool(is_truncated), {}

    @property
    def has_snapshots(self) -> bool:
        return self._snapshots is not None

    def snapshot(self) -> bytes:
        """What the present picture depends on; b"" where the environment cannot say it."""
        return self._snapshots.snapshot() if self._snapshots else b""

    def draw_snapshot(self, snapshot: bytes, height: int = 240, width: int = 320) -> np.ndarray:
        """(height, width, 3) uint8, as `render` drew it then; the environment, made to be drawn, is left as it was."""
        assert self._snapshots is not None, "it takes no snapshots"
        return self._snapshots.draw_snapshot(snapshot, height, width)


def number_of(reward) -> float:
    """A reward as a number: None, which says that it is not known, is NaN; an array of one is what it holds."""
    if reward is None:
        return math.nan
    return float(reward) if isinstance(reward, float | int) else float(np.asarray(reward, np.float64).item())
