"""Pictures of a dm_control physics through its cameras: as dm_control draws them, or many times faster and plainer."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...errors import UserError

PLAIN = {"shadow": False, "reflection": False}  # what `fast` leaves out, beside smooth edges


@dataclass(frozen=True)
class Pictures:
    """What is drawn as observations: by which cameras (name or number), how large, how well."""

    cameras: tuple[str, ...]
    size: int
    render: Literal["fast", "reference"]


class Cameras:
    """The cameras of one physics. Nothing is drawn, and no graphics library touched, before the first `draw`.

    `fast` takes multisampling from the whole physics, whose pictures for a person lose it too.
    """

    def __init__(self, physics: Any, pictures: Pictures):
        """UserError for a camera that there is not, and for one that is named twice."""
        self._physics, self._pictures = physics, pictures
        self._opened: dict[str, Any] = {}
        numbers = [_number(physics.model, camera) for camera in pictures.cameras]
        if len(set(numbers)) < len(numbers):
            raise UserError(f"envs.cameras: {', '.join(pictures.cameras)} name one camera twice")
        self.keys = _keys(physics.model, numbers)  # the observation's key -> the number of the camera
        if pictures.render == "fast":
            physics.model.vis.quality.offsamples = 0  # before its rendering context is made

    def draw(self) -> dict[str, np.ndarray]:
        """Key -> (size, size, 3) uint8, arrays of their own."""
        if not self._opened:
            self._opened = self._open()
        flags = PLAIN if self._pictures.render == "fast" else None
        drawn = {key: camera.render(render_flag_overrides=flags) for key, camera in self._opened.items()}
        return {key: np.ascontiguousarray(picture) for key, picture in drawn.items()}

    def close(self) -> None:
        """Free the scenes; the physics frees its context itself."""
        for camera in self._opened.values():
            camera.scene.free()
        self._opened = {}

    def _open(self) -> dict[str, Any]:
        from dm_control.mujoco.engine import Camera  # imported late: it chooses a graphics library

        size = self._pictures.size
        return {key: Camera(self._physics, size, size, number) for key, number in self.keys.items()}


def upload_terrain(physics: Any) -> None:
    """Hand all height fields to the graphics, as dm_control's tasks do after they have changed one."""
    from dm_control.mujoco.wrapper.mjbindings import mjlib  # imported late, as above

    with physics.contexts.gl.make_current() as context:
        upload: Any = mjlib.mjr_uploadHField  # type: ignore[attr-defined]  # compiled: it has no types
        for number in range(physics.model.nhfield):
            context.call(upload, physics.model.ptr, physics.contexts.mujoco.ptr, number)


def _number(model: Any, camera: str) -> int:
    names = [model.id2name(number, "camera") for number in range(model.ncam)]
    if camera in names:
        return names.index(camera)
    if camera.isdecimal() and int(camera) < model.ncam:
        return int(camera)
    known = ", ".join(name or str(number) for number, name in enumerate(names))
    raise UserError(f"envs.cameras: there is no camera {camera!r}, but {known or 'none'}")


def _keys(model: Any, numbers: list[int]) -> dict[str, int]:
    """One camera gives `image`, several give `image_NAME`, with the number in place of a name that is missing."""
    if len(numbers) == 1:
        return {"image": numbers[0]}
    return {f"image_{model.id2name(number, 'camera') or number}": number for number in numbers}
