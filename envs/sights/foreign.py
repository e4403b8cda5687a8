"""Snapshots of gymnasium's own environments, MuJoCo's and classic control's, and of those of a person's own that have them."""

from typing import Any, Protocol

import gymnasium
import numpy as np
from PIL import Image

CLASSIC = ("state", "last_u")  # what its pictures show; last_u: the arrow of the pendulum


class Snapshots(Protocol):
    def snapshot(self) -> bytes:
        """What the present picture depends on; b"" where it cannot be said."""
        ...

    def draw_snapshot(self, snapshot: bytes, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8, as `render` drew it then. The environment is left as it was."""
        ...


def snapshots_of(raw: gymnasium.Env) -> Snapshots | None:
    """Of an environment in its first state, unwrapped; None where there are none. A class of a person's own derived from
    gymnasium's may hold more than we know, and has those that it brings itself."""
    if hasattr(raw, "snapshot") and hasattr(raw, "draw_snapshot") and getattr(raw, "has_snapshots", True):
        return raw  # type: ignore[return-value]
    room = type(raw).__module__
    if room.startswith("gymnasium.envs.mujoco.") and hasattr(raw, "data"):
        return MujocoSnapshots(raw)
    if room.startswith("gymnasium.envs.classic_control."):
        return ClassicSnapshots(raw)
    return None


class MujocoSnapshots:
    """The camera stands where the environment's own first picture puts it."""

    def __init__(self, env: Any):
        from .physics import PhysicsSnapshots  # imported late: it imports mujoco, as the environment has

        self._env, self._physics = env, PhysicsSnapshots(env.model, env.data, is_stale=True)

    def snapshot(self) -> bytes:
        return self._physics.take()

    def draw_snapshot(self, snapshot: bytes, height: int, width: int) -> np.ndarray:
        self._env.render()  # so that the camera stands
        with self._physics.shown(snapshot, upload=lambda: None):  # none of them has terrain
            return resized(self._env.render(), height, width)


class ClassicSnapshots:
    """The numbers of `state` and, of the pendulum, the torque."""

    def __init__(self, env: Any):
        self._env = env

    def snapshot(self) -> bytes:
        return b"".join(_packed(getattr(self._env, name, None)) for name in CLASSIC)

    def draw_snapshot(self, snapshot: bytes, height: int, width: int) -> np.ndarray:
        before = {name: getattr(self._env, name, None) for name in CLASSIC}
        try:
            for name in CLASSIC:
                value, snapshot = _unpacked(snapshot)
                setattr(self._env, name, value)
            return resized(self._env.render(), height, width)
        finally:
            for name, value in before.items():
                setattr(self._env, name, value)


def _packed(value: Any) -> bytes:
    """Numbers with their type, in which the environment computes its picture, and how many they are; None: none."""
    numbers = np.asarray([] if value is None else value).reshape(-1)
    return numbers.dtype.char.encode() + bytes([len(numbers)]) + numbers.tobytes()


def _unpacked(snapshot: bytes) -> tuple[np.ndarray | np.number | None, bytes]:
    """The value and what follows it. ValueError for what is no snapshot."""
    dtype, count = np.dtype(snapshot[:1].decode()), snapshot[1]
    numbers = np.frombuffer(snapshot, dtype, count, 2).copy()
    return (numbers if count > 1 else numbers[0] if count else None), snapshot[2 + numbers.nbytes :]


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3), the same picture where that is its size."""
    if picture.shape[:2] == (height, width):
        return np.ascontiguousarray(picture)
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
