"""The single spaces inside nested ones, and what an environment gives for one of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Dict, Space, Tuple

from ...errors import UserError

NUMBERS = "biuf"  # numpy's kinds


class UnsupportedSpace(UserError):
    """The task's observation or action space is of a kind that cannot be trained on."""


@dataclass(frozen=True)
class Leaf:
    """A space that is no Dict and no Tuple, and its place in those around it: keys and numbers, joined by "/" in its name."""

    path: tuple[Any, ...]
    space: Space

    @property
    def name(self) -> str:
        return "/".join(map(str, self.path))


def leaves_of(space: Space, path: tuple[Any, ...] = ()) -> Iterator[Leaf]:
    """In the order of the space: gymnasium sorts the keys of a plain dict."""
    if isinstance(space, Dict):
        inside = list(space.spaces.items())
    elif isinstance(space, Tuple):
        inside = list(enumerate(space.spaces))
    else:
        yield Leaf(path, space)
        return
    for key, part in inside:
        yield from leaves_of(part, (*path, key))


def value_at(given: Any, leaf: Leaf) -> Any:
    """What was given in the place of a leaf. UserError where there is nothing."""
    for key in leaf.path:
        try:
            given = given[key]
        except (KeyError, IndexError, TypeError) as error:
            got = f"the keys {', '.join(map(repr, given))}" if hasattr(given, "keys") else type(given).__name__
            raise UserError(f"expected an observation with the key {leaf.name!r}, got {got}") from error
    return given


def numbers_of(given: Any, space: Space) -> np.ndarray:
    """As an array of the shape of a space. ValueError for what is no array of numbers, or of another shape.

    Axes of one may be more or fewer: they change no number's place.
    """
    assert space.shape is not None, space
    try:
        array = np.asarray(given)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"expected numbers of shape {space.shape}, got {error}") from error
    if array.dtype.kind not in NUMBERS:
        got = f"an array of {array.dtype}" if isinstance(given, np.ndarray) else type(given).__name__
        raise ValueError(f"expected {space.dtype} numbers, got {got}")
    if array.shape == space.shape:
        return array
    if _without_ones(array.shape) != _without_ones(space.shape):
        raise ValueError(f"expected shape {space.shape}, got {array.shape}")
    return array.reshape(space.shape)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(side for side in shape if side != 1)


def whole_numbers(array: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """As int64, of whatever type they are given. ValueError for the first that is not whole or not from low to high."""
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # NaN and infinity become some number, which differs from them
            whole = array.astype(np.int64)
        is_wrong = whole != array
    else:
        whole, is_wrong = array.astype(np.int64), False
    is_wrong = is_wrong | (whole < low) | (whole > high)
    if is_wrong.any():
        place = np.argmax(is_wrong)
        least, most, got = (np.broadcast_to(one, array.shape).reshape(-1)[place] for one in (low, high, array))
        raise ValueError(f"expected a whole number from {least} to {most}, got {got}")
    return whole
