"""Pictures as environments give them, and as a model sees them: square, of bytes, channels last."""

from functools import cache
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space

from .leaves import numbers_of, whole_numbers

SMALLEST = 16  # pixels of a side: what is smaller is a table of symbols, and an axis that is shorter holds channels


class Picture:
    """A Box of bytes that is a picture: grey (H, W), (H, W, C) or (C, H, W) -> (size, size, C) uint8."""

    def __init__(self, space: Box, size: int):
        self._raw, self._size = space, size
        self._is_channels_first = layout(space.shape) == "CHW"
        channels = 1 if len(space.shape) == 2 else space.shape[0 if self._is_channels_first else 2]
        self.space = Box(0, 255, (size, size, channels), np.uint8)

    def read(self, given: Any) -> np.ndarray:
        """ValueError for what is no picture of the space's shape, of whole numbers from 0 to 255."""
        array = numbers_of(given, self._raw)
        if array.dtype != np.uint8:
            array = whole_numbers(array, np.array(0), np.array(255)).astype(np.uint8)
        if array.ndim == 2:
            array = array[:, :, None]
        elif self._is_channels_first:
            array = array.transpose(1, 2, 0)
        return resized(array, self._size)


def layout(shape: tuple[int, ...]) -> str:
    """How the axes of a picture lie: HW, HWC or CHW."""
    return "HW" if len(shape) == 2 else "CHW" if shape[0] < SMALLEST else "HWC"


def is_picture(space: Space) -> bool:
    """Whether a space is a Box of bytes from 0 to 255 with two sides of at least SMALLEST pixels.

    ValueError for one of which it is not plain where its channels are.
    """
    if not isinstance(space, Box) or space.dtype != np.uint8 or (space.low != 0).any() or (space.high != 255).any():
        return False
    return has_sides(space.shape)


def has_sides(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape has the sides of a picture. ValueError as in `is_picture`."""
    short = [axis for axis, side in enumerate(shape) if side < SMALLEST]
    if len(shape) - len(short) < 2:
        return False
    if len(shape) > 3:
        raise ValueError("a picture has 2 or 3 axes: the model remembers, so leave a stack of frames out")
    if len(shape) == 3 and short not in ([0], [2]):
        raise ValueError(f"the channels of a picture, fewer than {SMALLEST}, must stand first or last")
    return True


def resized(picture: np.ndarray, size: int) -> np.ndarray:
    """(H, W, C) uint8 -> (size, size, C): each pixel the mean of the area that it covers, to the nearest byte.

    The sums are of whole numbers that their type holds exactly, so no machine's order of summing changes a pixel.
    """
    height, width, channels = picture.shape
    if height == width == size:
        return picture
    kind = np.float32 if 255 * height * width < 2**24 else np.float64
    rows = _overlaps(height, size, kind) @ picture.reshape(height, width * channels).astype(kind)
    cells = _overlaps(width, size, kind) @ rows.reshape(size, width, channels)
    return np.rint(cells / (height * width)).astype(np.uint8)


@cache
def _overlaps(side: int, size: int, kind: type) -> np.ndarray:
    """(size, side): how much of each of `side` pixels, that are `size` long, each of `size` pixels, that are `side` long, covers."""
    place, new = np.arange(side) * size, np.arange(size)[:, None] * side
    return np.maximum(np.minimum(place + size, new + side) - np.maximum(place, new), 0).astype(kind)
