"""Crafter, a world of 22 achievements, from its pixels: with its reward, or without one."""

from collections import defaultdict
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from ...errors import UserError
from ..wrappers import Choices

TASKS = ("crafter_reward", "crafter_noreward")
EPISODE_LENGTH = 10_000


class CrafterEnv(gymnasium.Env):
    """Observes {"image": (size, size, 3) uint8}, acts by Choices. A death is terminal, the time limit a truncation."""

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, task: str, size: int, **kwargs: Any):
        """kwargs: of crafter.Env, such as length. UserError where crafter is not installed."""
        self._env: Any = _crafter().Env(size=(size, size), reward=task == "crafter_reward", seed=0, **kwargs)
        _in_order(self._env._world)
        self.observation_space = Dict({"image": Box(0, 255, (size, size, 3), np.uint8)})
        self.action_space = Choices((self._env.action_space.n,))

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is not None:  # its episodes are functions of a seed and of how many there were
            self._env._seed, self._env._episode = seed, 0
        return {"image": self._env.reset()}, {}

    def step(self, action: np.ndarray):
        image, reward, is_over, info = self._env.step(int(np.argmax(action)))
        is_terminated = info["discount"] == 0
        return {"image": image}, float(reward), is_terminated, bool(is_over) and not is_terminated, {}

    def render(self) -> np.ndarray:
        """The present picture for a person, (360, 360, 3) uint8."""
        return self._env.render(np.array((360, 360)))


class _Creatures(dict):
    """A set that is walked through in the order in which its elements came."""

    def add(self, creature) -> None:
        self[creature] = None

    def remove(self, creature) -> None:
        del self[creature]


def _in_order(world: Any) -> None:
    """Crafter draws which creature goes away from a Python set, whose order hangs on addresses in memory: from now on from
    one that has an order, so that an episode can be played again."""
    reset = world.reset

    def reset_in_order(seed: int | None = None) -> None:
        reset(seed)
        world._chunks = defaultdict(_Creatures)

    world.reset = reset_in_order


def _crafter() -> Any:
    try:
        import crafter
    except ImportError as error:
        raise UserError(f"task: crafter_* needs the package crafter, install the extra [crafter] ({error})") from error
    return crafter
