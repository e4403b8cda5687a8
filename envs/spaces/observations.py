"""The map from whatever an environment observes to a Dict of vectors, categories and pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space

from ...errors import UserError
from .keys import kept
from .leaves import Leaf, UnsupportedSpace, leaves_of, numbers_of, value_at, whole_numbers
from .pictures import Picture, has_sides, is_picture

MOST_CLASSES = 2**16  # of one key, each number's counted: so many inputs of a model they would be
EXACT = 2**24  # up to here whole numbers are themselves in float32
KINDS = "Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of these"


class Observations:
    """Keys are joined by "/", places in a Tuple are numbers; what is no Dict and no Tuple has the key "state", or "image".

    Real and whole numbers become float32 vectors, flattened; Discrete, MultiDiscrete, MultiBinary and truth values int32
    categories counted from 0; pictures uint8 (size, size, C). UnsupportedSpace for other spaces, unless `keys` drops them;
    those are never looked at.
    """

    def __init__(self, task: str, space: Space, keys: Sequence[str] = (), size: int = 64):
        self._task = task
        leaves = _named(task, space)
        self.leaves = {name: leaves[name] for name in kept(leaves, keys, task)}
        if not self.leaves:
            raise UnsupportedSpace(f"task: {task} observes nothing")
        self._parts = {name: _part(task, name, leaf, size) for name, leaf in self.leaves.items()}
        self.space = Dict({name: part.space for name, part in self._parts.items()})

    def read(self, given: Any) -> dict[str, np.ndarray]:
        """UserError, beginning with the key, for what is not of the space; what is not finite passes."""
        obs = {}
        for name, leaf in self.leaves.items():
            value = value_at(given, leaf)
            try:
                obs[name] = self._parts[name].read(value)
            except ValueError as error:
                raise UserError(f"{name!r}: {error}") from error
        return obs

    def notes(self) -> list[str]:
        """What a person should know of how the keys are taken, a line each."""
        spaces = {name: leaf.space for name, leaf in self.leaves.items()}
        found = [(name, _note(space)) for name, space in spaces.items() if isinstance(space, Box)]
        return [f"task: {self._task}: {name!r} is of {spaces[name].dtype} {note}" for name, note in found if note]


class Numbers:
    """A Box of real or whole numbers, of any rank -> (n,) float32."""

    def __init__(self, space: Box):
        self._raw = space
        self.space = Box(-np.inf, np.inf, (int(np.prod(space.shape)),), np.float32)

    def read(self, given: Any) -> np.ndarray:
        with np.errstate(
            over="ignore"
        ):  # what float32 cannot hold becomes infinite, and whoever takes it looks for that
            return np.asarray(numbers_of(given, self._raw), np.float32).reshape(-1)


class Categories:
    """Numbers of which each is one of `counts`, an array of any rank, from `start` on -> (n,) int32 from 0 on.

    All have the classes of the one that has most.
    """

    def __init__(self, space: Space, counts: np.ndarray, start: Any = 0):
        self._raw, self._low = space, np.asarray(start, np.int64)
        self._high = self._low + counts - 1
        self.space = Box(0, int(counts.max()) - 1, (counts.size,), np.int32)

    def read(self, given: Any) -> np.ndarray:
        whole = whole_numbers(numbers_of(given, self._raw), self._low, self._high)
        return (whole - self._low).reshape(-1).astype(np.int32)


def _named(task: str, space: Space) -> dict[str, Leaf]:
    found: dict[str, Leaf] = {}
    for leaf in leaves_of(space):
        name = leaf.name if leaf.path else "image" if _is_picture(task, "image", leaf) else "state"
        if name in found:
            places = " and ".join("".join(f"[{key!r}]" for key in one.path) for one in (found[name], leaf))
            raise UnsupportedSpace(f"task: {task} observes two keys that are called {name!r}, at {places}: rename one")
        found[name] = leaf
    return found


def _part(task: str, name: str, leaf: Leaf, size: int) -> Numbers | Categories | Picture:
    space = leaf.space
    if space.shape is not None and 0 in space.shape:
        raise _refused(task, name, leaf, "no numbers are in it")
    if isinstance(space, Box) and _is_picture(task, name, leaf):
        return Picture(space, size)
    if isinstance(space, Box) and space.dtype != bool:
        return Numbers(space)
    counts = _counts(space)
    if counts is None:
        raise _refused(task, name, leaf, f"only {KINDS} are taken")
    if (number := counts.size * int(counts.max())) > MOST_CLASSES:
        raise _refused(task, name, leaf, f"{number:,} classes in all, more than {MOST_CLASSES:,}")
    return Categories(space, counts, getattr(space, "start", 0))


def _is_picture(task: str, name: str, leaf: Leaf) -> bool:
    try:
        return is_picture(leaf.space)
    except ValueError as error:
        raise _refused(task, name, leaf, str(error)) from error


def _refused(task: str, name: str, leaf: Leaf, why: str) -> UnsupportedSpace:
    what = f"task: {task} observes {name}={' '.join(str(leaf.space).split())}: {why}"
    drop = f", envs.keys=[-{name}] leaves it out" if leaf.path else ""
    return UnsupportedSpace(f"{what}, gymnasium.wrappers.TransformObservation can make another of it{drop}")


def _counts(space: Space) -> np.ndarray | None:
    """How many there are to choose from for each number of a space; None for one of another kind."""
    if isinstance(space, Discrete):
        return np.array(space.n, np.int64)
    if isinstance(space, MultiDiscrete):
        return np.asarray(space.nvec, np.int64)
    if isinstance(space, MultiBinary) or (isinstance(space, Box) and space.dtype == bool):
        return np.full(space.shape, 2, np.int64)
    return None


def _note(space: Box) -> str:
    """Of whole numbers that float32 cannot hold, and of pictures that are taken as numbers."""
    kind, shape = space.dtype.kind, space.shape
    if kind in "iu" and max(abs(int(np.min(space.low))), int(np.max(space.high))) > EXACT:
        return (
            f"up to {int(np.max(space.high))}, and numbers beyond {EXACT} lose digits: observations are kept as float32"
        )
    if space.dtype == np.uint8 and len(shape) > 1 and not is_picture(space):
        return f"and shape {shape}, which is taken as numbers: a picture has bytes from 0 to 255, and 16 pixels a side or more"
    if kind == "f" and len(shape) > 1 and _has_sides(shape):
        return f"and shape {shape}, which is taken as numbers: a picture is of uint8, from 0 to 255"
    return ""


def _has_sides(shape: tuple[int, ...]) -> bool:
    try:
        return has_sides(shape)
    except ValueError:
        return True
