"""Any gymnasium environment with vector observations, in the form every environment of ours has."""

import math

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.spaces.utils import flatten_space

from ..errors import UserError
from .wrappers import ActionScale, Choices

HUGE = 1e10  # the width of a range of actions that stands for no bounds at all
TRANSFORM = "gymnasium.wrappers.TransformAction(env, function, Box(low, high))"


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
        self.action_space, self.to_action = _action_map(task, env.action_space)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        obs, _ = self.env.reset(seed=seed, options=options)
        return self._vectors(obs), {}

    def step(self, action: np.ndarray):
        obs, reward, is_terminated, is_truncated, _ = self.env.step(self.to_action(action))
        return self._vectors(obs), number_of(reward), bool(is_terminated), bool(is_truncated), {}

    def _vectors(self, obs) -> dict[str, np.ndarray]:
        with np.errstate(
            over="ignore"
        ):  # what float32 cannot hold becomes infinite, and whoever takes it looks for that
            if not self._is_dict:
                return {"state": np.asarray(obs, np.float32).reshape(-1)}
            return {key: np.asarray(obs[key], np.float32).reshape(-1) for key in self._keys}


def number_of(reward) -> float:
    """A reward as a number: None, which says that it is not known, is NaN; an array of one is what it holds."""
    if reward is None:
        return math.nan
    return float(reward) if isinstance(reward, float | int) else float(np.asarray(reward, np.float64).item())


def _vector_space(task: str, space: spaces.Space) -> Dict:
    parts = space.spaces if isinstance(space, Dict) else {"state": space}
    widths: dict[str, int] = {}
    for key, part in parts.items():
        if not isinstance(part, Box) or len(part.shape) > 1 or 0 in part.shape:
            raise UnsupportedSpace(
                f"task: {task} observes {key}={part}: only vectors (1-D Box) are supported{_flattened(space)}"
            )
        widths[key] = int(np.prod(part.shape))
    if not parts:
        raise UnsupportedSpace(f"task: {task} observes nothing")
    return Dict({key: Box(-np.inf, np.inf, (width,), np.float32) for key, width in widths.items()})


def _flattened(space: spaces.Space) -> str:
    """What can be done about observations of a space; empty where nothing makes vectors of them."""
    is_vector = isinstance(flatten_space(space), Box) and 0 not in (space.shape or ())
    return ", gymnasium.wrappers.FlattenObservation(env) makes one vector of all" if is_vector else ""


def _action_map(task: str, space: spaces.Space):
    """-> (the space the policy acts in, the function from one of its actions to one of the environment's)."""
    if isinstance(space, Discrete):
        return Choices((int(space.n),)), lambda action: int(space.start) + int(np.argmax(action))
    takes = f"task: {task} takes actions {space}"
    if not isinstance(space, Box) or 0 in space.shape:
        raise UnsupportedSpace(
            f"{takes}: only Discrete and real Box are supported, {TRANSFORM} or Discrete(n) stands for others"
        )
    if not np.issubdtype(space.dtype, np.floating):
        raise UnsupportedSpace(
            f"{takes}: only Discrete and real Box are supported, {TRANSFORM} can round the actions of a real one"
        )
    with np.errstate(over="ignore"):
        is_bounded = bool((space.high.astype(np.float64) - space.low < HUGE).all())  # infinity minus infinity is not
    if not is_bounded:
        raise UnsupportedSpace(f"{takes}: a Box of actions must be bounded, {TRANSFORM} gives it bounds")
    scale = ActionScale(space.low.reshape(-1), space.high.reshape(-1))
    box = Box(-1.0, 1.0, (int(np.prod(space.shape)),), np.float32)
    return box, lambda action: scale(action).astype(space.dtype).reshape(space.shape)
