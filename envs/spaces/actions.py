"""The map from a policy's action vector to whatever an environment takes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

from ..wrappers import ActionScale, Choices
from .leaves import UnsupportedSpace

HUGE = 1e10  # the width of a range of actions that stands for no bounds at all
TRANSFORM = "gymnasium.wrappers.TransformAction(env, function, Box(low, high))"
KINDS = "real Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of these"

Make = Callable[[Iterator[np.ndarray], Iterator[int]], Any]  # takes what it needs of the numbers and the choices


class Actions:
    """Vectors of all numbers in [-1, 1], in the order of the space, then of all choices, one-hot, in that order.

    gymnasium sorts the keys of a plain dict. A number of a MultiDiscrete is a choice, one of a MultiBinary a choice of two.
    UnsupportedSpace for other spaces.
    """

    def __init__(self, task: str, space: Space):
        whole = _part(f"task: {task} takes actions ", space, ())
        if not whole.numbers and not whole.factors:
            raise UnsupportedSpace(f"task: {task} takes no actions")
        self._make, number = whole.make, sum(whole.numbers)
        self._numbers = _slices(0, whole.numbers)
        self._choices = _slices(number, whole.factors)
        self.space = Choices(whole.factors, number) if whole.factors else Box(-1.0, 1.0, (number,), np.float32)

    def action(self, vector: np.ndarray) -> Any:
        """(A,) -> an action of the environment's space; numbers are clipped, the largest entry of a choice is chosen."""
        numbers = (vector[part] for part in self._numbers)
        return self._make(numbers, (int(np.argmax(vector[part])) for part in self._choices))


@dataclass(frozen=True)
class Part:
    """What a space needs of a vector: widths of runs of numbers, of how many there are to choose; and what it makes of them."""

    numbers: tuple[int, ...]
    factors: tuple[int, ...]
    make: Make


def _slices(begin: int, widths: tuple[int, ...]) -> list[slice]:
    ends = np.cumsum([begin, *widths]).tolist()
    return [slice(*ends) for ends in pairwise(ends)]


def _part(takes: str, space: Space, path: tuple[Any, ...]) -> Part:
    """takes: what an error begins with; path: where the space lies in those around it."""
    if isinstance(space, Discrete):
        return Part((), (int(space.n),), lambda _, choices: int(space.start) + next(choices))
    if isinstance(space, MultiDiscrete):
        return _chosen(space, space.nvec, space.start)
    if isinstance(space, MultiBinary):
        return _chosen(space, np.full(space.shape, 2))
    if isinstance(space, Dict):
        parts = {key: _part(takes, inner, (*path, key)) for key, inner in space.spaces.items()}
        return _joined(list(parts.values()), lambda made: dict(zip(parts, made, strict=True)))
    if isinstance(space, Tuple):
        return _joined([_part(takes, inner, (*path, place)) for place, inner in enumerate(space.spaces)], tuple)
    return _scaled(f"{takes}{'/'.join(map(str, path))}{'=' if path else ''}{' '.join(str(space).split())}", space)


def _chosen(space: Space, counts: np.ndarray, start: Any = 0) -> Part:
    start = np.asarray(start, space.dtype)

    def make(_, choices: Iterator[int]) -> np.ndarray:
        return np.array([next(choices) for _ in range(counts.size)], space.dtype).reshape(space.shape) + start

    return Part((), tuple(counts.reshape(-1).tolist()), make)


def _joined(parts: list[Part], join: Callable[[list], Any]) -> Part:
    return Part(
        sum((part.numbers for part in parts), ()),
        sum((part.factors for part in parts), ()),
        lambda numbers, choices: join([part.make(numbers, choices) for part in parts]),
    )


def _scaled(takes: str, space: Space) -> Part:
    if not isinstance(space, Box) or 0 in space.shape:
        raise UnsupportedSpace(f"{takes}: only {KINDS} are taken, {TRANSFORM} stands for others")
    if not np.issubdtype(space.dtype, np.floating):
        raise UnsupportedSpace(f"{takes}: only {KINDS} are taken, {TRANSFORM} can round the actions of a real one")
    with np.errstate(over="ignore"):
        is_bounded = bool((space.high.astype(np.float64) - space.low < HUGE).all())  # infinity minus infinity is not
    if not is_bounded:
        raise UnsupportedSpace(f"{takes}: a Box of actions must be bounded, {TRANSFORM} gives it bounds")
    scale = ActionScale(space.low.reshape(-1), space.high.reshape(-1))
    return Part((int(np.prod(space.shape)),), (), partial(_numbers, space, scale))


def _numbers(space: Box, scale: ActionScale, numbers: Iterator[np.ndarray], _) -> np.ndarray:
    return scale(next(numbers)).astype(space.dtype).reshape(space.shape)
