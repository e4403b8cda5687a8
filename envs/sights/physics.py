"""Snapshots of a MuJoCo physics: what its pictures depend on, as few bytes as that takes."""

import importlib
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

mujoco: Any = importlib.import_module("mujoco")  # compiled: it has no types
# What tasks change of a model that is seen: sizes, places, colours, terrain. Textures and meshes are not among them.
MODEL = [
    "body_pos",
    "body_quat",
    "jnt_pos",
    "jnt_axis",
    "qpos0",
    "geom_pos",
    "geom_quat",
    "geom_size",
    "geom_rgba",
    "geom_type",
    "geom_group",
    "geom_matid",
    "site_pos",
    "site_quat",
    "site_size",
    "site_rgba",
    "site_type",
    "site_group",
    "site_matid",
    "mat_rgba",
    "mat_emission",
    "mat_specular",
    "mat_shininess",
    "mat_reflectance",
    "mat_texrepeat",
    "light_pos",
    "light_dir",
    "light_ambient",
    "light_diffuse",
    "light_specular",
    "cam_pos",
    "cam_quat",
    "cam_fovy",
    "tendon_rgba",
    "tendon_width",
    "skin_rgba",
    "hfield_size",
    "hfield_data",
]
STATE = ("qpos", "mocap_pos", "mocap_quat")
# What follows from the state, where it is older than that: for a scene these are float32.
DERIVED = [
    "geom_xpos",
    "geom_xmat",
    "site_xpos",
    "site_xmat",
    "light_xpos",
    "light_xdir",
    "cam_xpos",
    "cam_xmat",
    "subtree_com",
]
_HEAD = struct.Struct("<II")  # crc32 of the model as it was built, bytes of its differences
_FIELD = struct.Struct("<BI")  # index in MODEL, how many numbers differ


class PhysicsSnapshots:
    """Takes snapshots of one model and its data, and shows them again in any model that was built the same.

    A snapshot: the head, the differences of the model to how it was built, the state, float64, and where `is_stale` what
    follows from it, float32.
    """

    def __init__(self, model: Any, data: Any, is_stale: bool = False):
        """To be made before anything has changed the model. is_stale: the environment draws what its last substep began
        with, as gymnasium's do, and not its state."""
        self._model, self._data = model, data
        self._views = [getattr(model, name).reshape(-1) for name in MODEL]
        self._built = [view.copy() for view in self._views]
        self._seen = self._bytes()
        self._fingerprint = zlib.crc32(b"".join(self._seen))
        self._scene = b""
        self._state = [getattr(data, name).reshape(-1) for name in STATE]
        self._derived = _moving(model, data) if is_stale else []

    def take(self) -> bytes:
        """The snapshot now; it changes nothing."""
        now = self._bytes()
        if now != self._seen:  # seldom: at an episode's beginning
            self._seen, self._scene = now, self._differences()
        state = [view.tobytes() for view in self._state]
        derived = [view[chosen].astype(np.float32).tobytes() for view, chosen in self._derived]
        return b"".join([_HEAD.pack(self._fingerprint, len(self._scene)), self._scene, *state, *derived])

    @contextmanager
    def shown(self, snapshot: bytes, upload: Callable[[], None]) -> Iterator[None]:
        """Inside, the physics looks as it did; afterwards everything is as it was before, bit for bit.

        upload: hands the terrain to the graphics. ValueError for a snapshot of another model.
        """
        fields, state = self._parsed(snapshot)
        model = [view.copy() for view in self._views]
        data = mujoco.MjData(self._model)
        mujoco.mj_copyData(data, self._model, self._data)
        try:
            self._set_model(self._built)
            for view, index, values in fields:
                view[index] = values
            self._set_state(state)
            self._upload(model, upload)
            yield
        finally:
            shown = [view.copy() for view in self._views]
            self._set_model(model)
            mujoco.mj_copyData(self._data, self._model, data)
            self._upload(shown, upload)

    def _bytes(self) -> list[bytes]:
        return [view.tobytes() for view in self._views]

    def _differences(self) -> bytes:
        parts = []
        for number, (view, built) in enumerate(zip(self._views, self._built, strict=True)):
            index = np.flatnonzero(view != built)
            if len(index):
                parts += [_FIELD.pack(number, len(index)), index.astype("<u4").tobytes(), view[index].tobytes()]
        return b"".join(parts)

    def _parsed(self, snapshot: bytes) -> tuple[list[tuple[np.ndarray, np.ndarray, np.ndarray]], bytes]:
        """(view, indices, values) of the model's differences, and the bytes of the state."""
        fingerprint, size = _HEAD.unpack_from(snapshot)
        if fingerprint != self._fingerprint:
            raise ValueError("the snapshot is of another model")
        fields, place, end = [], _HEAD.size, _HEAD.size + size
        while place < end:
            number, count = _FIELD.unpack_from(snapshot, place)
            view, place = self._views[number], place + _FIELD.size
            index = np.frombuffer(snapshot, "<u4", count, place)
            place += index.nbytes
            values = np.frombuffer(snapshot, view.dtype, count, place)
            place += values.nbytes
            fields.append((view, index, values))
        expected = sum(view.nbytes for view in self._state) + sum(4 * len(chosen) for _, chosen in self._derived)
        if len(snapshot) - end != expected:
            raise ValueError(f"the snapshot's state has {len(snapshot) - end} bytes, expected {expected}")
        return fields, snapshot[end:]

    def _set_model(self, values: list[np.ndarray]) -> None:
        for view, value in zip(self._views, values, strict=True):
            view[:] = value

    def _set_state(self, state: bytes) -> None:
        place = 0
        for view in self._state:
            view[:] = np.frombuffer(state, view.dtype, len(view), place)
            place += view.nbytes
        mujoco.mj_fwdPosition(self._model, self._data)
        mujoco.mj_sensorPos(self._model, self._data)  # the rays of rangefinders are drawn
        for view, chosen in self._derived:
            view[chosen] = np.frombuffer(state, np.float32, len(chosen), place)
            place += 4 * len(chosen)

    def _upload(self, before: list[np.ndarray], upload: Callable[[], None]) -> None:
        terrain = MODEL.index("hfield_data")
        if not np.array_equal(before[terrain], self._views[terrain]):
            upload()


def _moving(model: Any, data: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """(flat view, indices) of what follows from the state, without what is fixed to the world."""
    is_moving = model.body_weldid > 0
    moves = {"geom": is_moving[model.geom_bodyid], "site": is_moving[model.site_bodyid]}
    found: list[tuple[Any, Any]] = []
    for name in DERIVED:
        rows = getattr(data, name)
        chosen = moves.get(name.partition("_")[0], np.ones(len(rows), bool))
        found.append((rows.reshape(-1), np.flatnonzero(np.repeat(chosen, rows[0].size if len(rows) else 1))))
    return found
