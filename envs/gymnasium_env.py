"""Any gymnasium environment with vector observations, in the form every environment of ours has."""

import math

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Box, Dict, Discrete

from ..errors import UserError
from .wrappers import ActionScale, OneHot


class UnsupportedSpace(UserError):
    """The task's observation or action space is of a kind that cannot be trained on."""


class GymnasiumEnv(gymnasium.Wrapper):
    """Observations as a Dict of float32 vectors (a bare Box becomes the key "state"); actions in [-1, 1] or one-hot.

    The infos are dropped: nothing reads them, and batching them costs time at every step. UnsupportedSpace for any
    other space.
    """

    def __init__(self, env: gymnasium.Env, task: str):
        super().__init__(env)
        self._is_dict = isinstance(env.observation_space, Dict)
        self.observation_space = space = _vector_space(task, env.observation_space)
        self._keys = tuple(space.spaces)
        self.action_space, self._to_action = _action_map(task, env.action_space)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        obs, _ = self.env.reset(seed=seed, options=options)
        return self._vectors(obs), {}

    def step(self, action: np.ndarray):
        obs, reward, is_terminated, is_truncated, _ = self.env.step(self._to_action(action))
        return self._vectors(obs), _number(reward), bool(is_terminated), bool(is_truncated), {}

    def _vectors(self, obs) -> dict[str, np.ndarray]:
        if not self._is_dict:
            return {"state": np.asarray(obs, np.float32).reshape(-1)}
        return {key: np.asarray(obs[key], np.float32).reshape(-1) for key in self._keys}


def _number(reward) -> float:
    """Of an array of one too; NaN where an environment does not know it."""
    return math.nan if reward is None else float(np.asarray(reward, float).reshape(()))


def _vector_space(task: str, space: spaces.Space) -> Dict:
    parts = space.spaces if isinstance(space, Dict) else {"state": space}
    widths: dict[str, int] = {}
    for key, part in parts.items():
        if not isinstance(part, Box) or len(part.shape) > 1 or 0 in part.shape:
            raise UnsupportedSpace(f"task: {task} observes {key}={part}: only vectors (1-D Box) are supported")
        widths[key] = int(np.prod(part.shape))
    if not parts:
        raise UnsupportedSpace(f"task: {task} observes nothing")
    return Dict({key: Box(-np.inf, np.inf, (width,), np.float32) for key, width in widths.items()})


def _action_map(task: str, space: spaces.Space):
    """-> (the space the policy acts in, the function from one of its actions to one of the environment's)."""
    if isinstance(space, Discrete):
        return OneHot(int(space.n)), lambda action: int(space.start) + int(np.argmax(action))
    if not isinstance(space, Box) or not np.issubdtype(space.dtype, np.floating) or 0 in space.shape:
        raise UnsupportedSpace(f"task: {task} takes actions {space}: only Discrete and real Box are supported")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise UnsupportedSpace(f"task: {task} takes actions {space}: a Box of actions must be bounded")
    scale = ActionScale(space.low.reshape(-1), space.high.reshape(-1))
    box = Box(-1.0, 1.0, (int(np.prod(space.shape)),), np.float32)
    return box, lambda action: scale(action).astype(space.dtype).reshape(space.shape)
