"""A dm_env.Environment of a person's own, dm_control's included, with the spaces and the verbs of gymnasium."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import dm_env
import gymnasium
import numpy as np
from dm_env import specs
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Space, Tuple

from ...errors import UserError
from .cameras import Cameras, Pictures, upload_terrain


class DmTask(gymnasium.Env):
    """Discount 0 at an episode's end is terminal, any other end is truncation.

    Seeded are the tasks of dm_control's suite and composer; another one draws as it likes, and its episodes do not repeat.
    """

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, env: dm_env.Environment, task: str, pictures: Pictures | None = None, has_state: bool = True):
        """pictures, has_state: as in DmcEnv. UserError for pictures of what has no cameras or has their keys, and for specs of
        text."""
        self._env: Any = env
        self._has_state = has_state
        self._snapshots = _snapshots_of(env)
        self._pictures = pictures and replace(pictures, cameras=pictures.cameras or ("0",))
        self._cameras: Cameras | None = None
        if pictures and getattr(env, "physics", None) is None:
            raise UserError(f"envs.observe: {task} has no physics to draw by cameras, observe its state")
        self.action_space = _action_space(self._env.action_spec(), f"task: {task} takes actions")
        seen = _space(self._env.observation_spec(), f"task: {task} observes")
        if pictures:
            images: dict[str, Space] = {
                key: Box(0, 255, (pictures.size, pictures.size, 3), np.uint8) for key in self._open_cameras().keys
            }
            own = _by_key(seen) if has_state else {}
            if both := sorted(own.keys() & images.keys()):
                raise UserError(
                    f"envs.observe: {task} observes {both[0]!r} itself, as a camera would: observe pixels alone"
                )
            seen = Dict(own | images)
        self.observation_space = seen

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        random = _random_state(self._env)
        if seed is not None and random is not None:
            random.seed(seed)
        time_step = self._env.reset()
        if self._pictures:
            self._open_cameras()  # composer compiles its model anew
        return self._seen(time_step), {}

    def step(self, action: Any):
        time_step = self._env.step(_cast(action, self._env.action_spec()))
        is_terminated = time_step.last() and time_step.discount == 0
        is_truncated = time_step.last() and not is_terminated
        return self._seen(time_step), time_step.reward, is_terminated, is_truncated, {}

    def draw(self) -> dict[str, np.ndarray]:
        """The images that are observed now, by key; none where none are."""
        return {} if self._cameras is None else self._cameras.draw()

    def render(self, height: int = 240, width: int = 320) -> np.ndarray | None:
        """The present picture for a person, (height, width, 3) uint8; None of what has no physics."""
        physics = getattr(self._env, "physics", None)
        if physics is None:
            return None
        return physics.render(height=height, width=width, camera_id=0 if physics.model.ncam else -1)

    @property
    def has_snapshots(self) -> bool:
        """Not of what has no physics, or a new one for every episode, as composer's."""
        return self._snapshots is not None

    def snapshot(self) -> bytes:
        """What the present picture depends on; b"" where there are none."""
        return self._snapshots.take() if self._snapshots else b""

    def draw_snapshot(self, snapshot: bytes, height: int = 240, width: int = 320) -> np.ndarray | None:
        """(height, width, 3) uint8, as `render` drew it then; the environment is left as it was."""
        assert self._snapshots is not None, "it takes no snapshots"
        with self._snapshots.shown(snapshot, lambda: upload_terrain(self._env.physics)):
            return self.render(height, width)

    def close(self):
        if self._cameras is not None:
            self._cameras.close()
        physics = getattr(self._env, "physics", None)
        if physics is not None:
            physics.free()  # of its rendering context too: dm_control's suite would keep it
        self._env.close()

    def _open_cameras(self) -> Cameras:
        assert self._pictures is not None, "no pictures are observed"
        if self._cameras is not None:
            self._cameras.close()
        self._cameras = Cameras(self._env.physics, self._pictures)
        return self._cameras

    def _seen(self, time_step: dm_env.TimeStep) -> Any:
        if self._pictures is None:
            return time_step.observation
        return (_by_key(time_step.observation) if self._has_state else {}) | self.draw()


def _snapshots_of(env: Any) -> Any:
    """PhysicsSnapshots of an environment of dm_control's whose physics stays; else None."""
    from dm_control.rl.control import Environment  # imported late: an environment may be none of dm_control's

    if not isinstance(env, Environment):
        return None
    from ..sights.physics import PhysicsSnapshots

    return PhysicsSnapshots(env.physics.model.ptr, env.physics.data.ptr)


def _random_state(env: Any) -> np.random.RandomState | None:
    """Where a dm_control environment draws from: composer's own, or that of a suite's task."""
    for owner, name in ((env, "random_state"), (getattr(env, "task", None), "random")):
        if isinstance(found := getattr(owner, name, None), np.random.RandomState):
            return found
    return None


def _by_key(observed: Any) -> dict:
    """An observation, or its space, that is no mapping has the key "state"."""
    return dict(observed) if isinstance(observed, Mapping | Dict) else {"state": observed}


def _space(spec: Any, what: str) -> Space:
    """Keys without a number in them, which a composer's walker may have, are left out."""
    if isinstance(spec, Mapping):
        return Dict({key: _space(inner, f"{what} {key}") for key, inner in spec.items() if not _is_empty(inner)})
    if isinstance(spec, list | tuple):
        return Tuple([_space(inner, f"{what} {place}") for place, inner in enumerate(spec)])
    if not isinstance(spec, specs.Array) or isinstance(spec, specs.StringArray):
        raise UserError(f"{what}: expected a spec of numbers, got {' '.join(str(spec).split())}")
    if isinstance(spec, specs.DiscreteArray):
        return Discrete(int(spec.num_values))
    low, high = (np.broadcast_to(bound, spec.shape).astype(spec.dtype) for bound in _bounds(spec))
    return Box(low, high, spec.shape, spec.dtype)


def _is_empty(spec: Any) -> bool:
    return isinstance(spec, specs.Array) and 0 in spec.shape


def _action_space(spec: Any, what: str) -> Space:
    """As any space, but whole numbers with bounds are choices."""
    if isinstance(spec, Mapping):
        return Dict({key: _action_space(inner, f"{what} {key}") for key, inner in spec.items()})
    if isinstance(spec, list | tuple):
        return Tuple([_action_space(inner, f"{what} {place}") for place, inner in enumerate(spec)])
    if isinstance(spec, specs.BoundedArray) and not isinstance(spec, specs.DiscreteArray) and spec.dtype.kind in "iu":
        low, high = (np.broadcast_to(bound, spec.shape).astype(np.int64) for bound in _bounds(spec))
        return MultiDiscrete(high - low + 1, start=low) if spec.shape else Discrete(int(high - low) + 1, start=int(low))
    return _space(spec, what)


def _bounds(spec: specs.Array) -> tuple[Any, Any]:
    if isinstance(spec, specs.BoundedArray):
        return spec.minimum, spec.maximum
    if spec.dtype.kind in "iu":
        info = np.iinfo(spec.dtype)
        return info.min, info.max
    return (False, True) if spec.dtype == bool else (-np.inf, np.inf)


def _cast(action: Any, spec: Any) -> Any:
    """An action in the types of its spec."""
    if isinstance(spec, Mapping):
        return {key: _cast(action[key], inner) for key, inner in spec.items()}
    if isinstance(spec, list | tuple):
        return type(spec)(_cast(part, inner) for part, inner in zip(action, spec, strict=True))
    return np.asarray(action, spec.dtype)
