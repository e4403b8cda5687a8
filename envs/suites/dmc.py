"""The dm_control suite as gymnasium environments: float32 vectors per key, images by camera, actions in [-1, 1]."""

from dataclasses import replace
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space

from ..graphics import without_graphics
from ..wrappers import ActionScale
from .cameras import Cameras, Pictures, upload_terrain

with without_graphics():  # dm_control would choose a graphics library: `choose_graphics` lets it
    from dm_control import suite

    from ..sights.physics import PhysicsSnapshots

EPISODE_LENGTH = 1000  # of every suite task; lqr has no limit of its own and is cut here
TASKS = {f"dmc_{domain}_{task}": (domain, task) for domain, task in suite.ALL_TASKS}
CAMERAS = {"quadruped": "2"}  # that pixels are published from, by domain; 0 for all others


class DmcEnv(gymnasium.Env):
    """One suite task, named as in TASKS. Discount 0 is terminal, any other end is truncation.

    The model is always built from seed 0, since lqr draws its springs and dampers when it is built: every environment
    of a run, the evaluator's too, must be the same system. Episodes are seeded at `reset`.
    """

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 30}
    has_snapshots = True

    def __init__(
        self,
        task: str,
        render_mode: str | None = None,
        task_kwargs: dict[str, Any] | None = None,
        pictures: Pictures | None = None,
        has_state: bool = True,
    ):
        """pictures, has_state: what is observed: images, the state's vectors, or both.

        render_mode: "rgb_array" to draw for a person; None: `render` is not to be called. A graphics library must have been
        chosen before the first picture of either kind. UserError for a camera that there is not.
        """
        self.render_mode = render_mode
        domain, name = TASKS[task]
        self._env = suite.load(domain, name, task_kwargs={"random": 0, **(task_kwargs or {})})
        if render_mode is None and pictures is None:
            # The terrain of quadruped_escape is handed to the graphics at every reset, which would load them.
            self._env.physics._make_rendering_contexts = lambda: None
        self._snapshots = PhysicsSnapshots(self._env.physics.model.ptr, self._env.physics.data.ptr)
        self._cameras = None if pictures is None else Cameras(self._env.physics, _published(pictures, domain))
        self._has_state = has_state
        self._num_steps = 0
        low, high = _finite_bounds(self._env.action_spec())
        self._scale = ActionScale(low, high)
        self.taken_actions = Box(low, high, dtype=np.float64)  # by dm_control itself
        sizes = {key: int(np.prod(spec.shape)) for key, spec in self._env.observation_spec().items()}
        seen: dict[str, Space] = {
            key: Box(-np.inf, np.inf, (size,), np.float32) for key, size in sizes.items() if has_state
        }
        if pictures is not None and self._cameras is not None:
            seen |= {key: Box(0, 255, (pictures.size, pictures.size, 3), np.uint8) for key in self._cameras.keys}
        self.observation_space = Dict(seen)
        self.action_space = Box(-1.0, 1.0, self._env.action_spec().shape, np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is not None:
            self._env.task.random.seed(seed)
        self._num_steps = 0
        return self._seen(self._env.reset().observation), {}

    def step(self, action: np.ndarray):
        time_step = self._env.step(self._scale(action))
        self._num_steps += 1
        is_terminated = time_step.discount == 0
        is_truncated = not is_terminated and (time_step.last() or self._num_steps >= EPISODE_LENGTH)
        return self._seen(time_step.observation), time_step.reward, is_terminated, is_truncated, {}

    def draw(self) -> dict[str, np.ndarray]:
        """The images that are observed now, by key; none where none are."""
        return {} if self._cameras is None else self._cameras.draw()

    def render(self, height: int = 240, width: int = 320) -> np.ndarray:
        """The present picture for a person, (height, width, 3) uint8."""
        assert self.render_mode == "rgb_array", "made without render_mode"
        return self._env.physics.render(height=height, width=width, camera_id=0)

    def snapshot(self) -> bytes:
        """What the present picture depends on."""
        return self._snapshots.take()

    def draw_snapshot(self, snapshot: bytes, height: int = 240, width: int = 320) -> np.ndarray:
        """(height, width, 3) uint8, as `render` drew it then; the environment is left as it was."""
        with self._snapshots.shown(snapshot, lambda: upload_terrain(self._env.physics)):
            return self.render(height, width)

    def close(self):
        """Frees the rendering context too: dm_control would keep it to the end of the process."""
        if self._cameras is not None:
            self._cameras.close()
        self._env.physics.free()

    def _seen(self, observation: dict) -> dict[str, np.ndarray]:
        state = {
            key: np.asarray(value, np.float32).reshape(-1) for key, value in observation.items() if self._has_state
        }
        return state | self.draw()


def _published(pictures: Pictures, domain: str) -> Pictures:
    """With the published choice of a camera where none is chosen."""
    return replace(pictures, cameras=pictures.cameras or (CAMERAS.get(domain, "0"),))


def _finite_bounds(spec) -> tuple[np.ndarray, np.ndarray]:
    # lqr's forces have no limit (+-1e10): there one unit of action is one unit of force.
    is_unlimited = np.abs(spec.maximum) >= 1e10
    return np.where(is_unlimited, -1.0, spec.minimum), np.where(is_unlimited, 1.0, spec.maximum)
