"""The dm_control suite as gymnasium environments: float32 vectors per key, actions in [-1, 1]."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from .graphics import without_graphics
from .wrappers import ActionScale

with without_graphics():  # dm_control would choose a graphics library: `choose_graphics` lets it
    from dm_control import suite

EPISODE_LENGTH = 1000  # of every suite task; lqr has no limit of its own and is cut here
TASKS = {f"dmc_{domain}_{task}": (domain, task) for domain, task in suite.ALL_TASKS}


class DmcEnv(gymnasium.Env):
    """One suite task, named as in TASKS. Discount 0 is terminal, any other end is truncation.

    The model is always built from seed 0, since lqr draws its springs and dampers when it is built: every environment
    of a run, the evaluator's too, must be the same system. Episodes are seeded at `reset`.
    """

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, task: str, render_mode: str | None = None, task_kwargs: dict[str, Any] | None = None):
        """render_mode: "rgb_array" to draw, which loads a graphics library; None: `render` is not to be called."""
        self.render_mode = render_mode
        self._env = suite.load(*TASKS[task], task_kwargs={"random": 0, **(task_kwargs or {})})
        if render_mode is None:
            # The terrain of quadruped_escape is handed to the graphics at every reset, which would load them.
            self._env.physics._make_rendering_contexts = lambda: None
        self._num_steps = 0
        self._scale = ActionScale(*_finite_bounds(self._env.action_spec()))
        sizes = {key: int(np.prod(spec.shape)) for key, spec in self._env.observation_spec().items()}
        self.observation_space = Dict({key: Box(-np.inf, np.inf, (size,), np.float32) for key, size in sizes.items()})
        self.action_space = Box(-1.0, 1.0, self._env.action_spec().shape, np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is not None:
            self._env.task.random.seed(seed)
        self._num_steps = 0
        return _flat(self._env.reset().observation), {}

    def step(self, action: np.ndarray):
        time_step = self._env.step(self._scale(action))
        self._num_steps += 1
        is_terminated = time_step.discount == 0
        is_truncated = not is_terminated and (time_step.last() or self._num_steps >= EPISODE_LENGTH)
        return _flat(time_step.observation), time_step.reward, is_terminated, is_truncated, {}

    def render(self, height: int = 240, width: int = 320) -> np.ndarray:
        """The present picture, (height, width, 3) uint8."""
        assert self.render_mode == "rgb_array", "made without render_mode"
        return self._env.physics.render(height=height, width=width, camera_id=0)

    def close(self):
        self._env.close()


def _finite_bounds(spec) -> tuple[np.ndarray, np.ndarray]:
    # lqr's forces have no limit (+-1e10): there one unit of action is one unit of force.
    is_unlimited = np.abs(spec.maximum) >= 1e10
    return np.where(is_unlimited, -1.0, spec.minimum), np.where(is_unlimited, 1.0, spec.maximum)


def _flat(observation: dict) -> dict[str, np.ndarray]:
    return {key: np.asarray(value, np.float32).reshape(-1) for key, value in observation.items()}
