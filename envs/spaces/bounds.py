"""Between which bounds the numbers of actions lie: what -1 and 1 of a vector stand for."""

import gymnasium
from gymnasium.spaces import Box, Space

from .leaves import leaves_of
from .told import foreign_env, taken_actions

Bounds = tuple[tuple[float, float], ...]  # low and high of each number of an action, in the order of its vector


def bounds_of(space: Space) -> Bounds:
    """Of a space of actions that `Actions` takes."""
    boxes = [leaf.space for leaf in leaves_of(space) if isinstance(leaf.space, Box)]
    return tuple(
        (float(low), float(high)) for box in boxes for low, high in zip(box.low.flat, box.high.flat, strict=True)
    )


def possible_bounds(env: gymnasium.Env) -> tuple[Bounds, ...]:
    """Those that recorded actions of an environment of `make_env` may have: its simulator's and, as our own suites are played by
    vectors, -1 and 1 for these."""
    taken = bounds_of(taken_actions(env))
    return (taken,) if foreign_env(env) else (taken, ((-1.0, 1.0),) * len(taken))
