"""The two spaces of an environment in plain words, for JSON: how its observations are read, and how its actions are made.

For whoever plays the environment without this package.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

from ..gymnasium_env import GymnasiumEnv
from ..records import Spaces
from ..wrappers import Choices
from .leaves import Leaf, leaves_of
from .pictures import is_picture, layout


def told_action(env: gymnasium.Env) -> dict[str, Any]:
    """How an action of an environment of `make_env` is made of a vector (A,): a tree of the space's own form.

    Kinds: `numbers` (clip to [-1, 1], stretch to low .. high), `choice` and `choices` (the largest entry's place, plus start),
    `dict` (with `keys`) and `tuple` of parts. `at` is a range of the vector, of `choices` one a choice.
    """
    space = taken_actions(env)
    numbers = sum(int(np.prod(leaf.space.shape)) for leaf in leaves_of(space) if isinstance(leaf.space, Box))
    return _action(space, _Ranges(0, numbers))


def told_obs(env: gymnasium.Env) -> dict[str, dict[str, Any]]:
    """Key -> where in an observation of the environment's own its value lies, and how it is read.

    `path`: keys and places from the outside in; none: the observation itself. `start` is subtracted from categories.
    `layout` of a picture as it comes: HW, HWC or CHW; it is brought to `size` pixels a side by the means of areas.
    """
    found = foreign_env(env)
    if found is None:
        assert isinstance(env.observation_space, Dict), env.observation_space
        return {key: _seen(Leaf((key,), space)) for key, space in env.observation_space.spaces.items()}
    return {key: _seen(leaf) for key, leaf in found.observations.leaves.items()}


def told_data(spaces: Spaces) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Both, in the same words, where there is no environment but only data: what its files hold (docs/data.md)."""
    obs = {
        key: {"path": [key]}
        | ({"layout": "HWC"} if spec.kind == "image" else {"start": [0] * int(np.prod(spec.shape))})
        for key, spec in spaces.obs.items()
    }
    parts: list[Space] = []
    if spaces.num_continuous:
        parts.append(Box(-1, 1, (spaces.num_continuous,)))
    if spaces.factors:
        parts.append(Discrete(spaces.factors[0]) if len(spaces.factors) == 1 else MultiDiscrete([*spaces.factors]))
    space = parts[0] if len(parts) == 1 else Tuple(parts)
    return obs, _action(space, _Ranges(0, spaces.num_continuous))


class _Ranges:
    """The next free places of a vector: first numbers, then choices."""

    def __init__(self, number: int, choice: int):
        self._number, self._choice = number, choice

    def numbers(self, width: int) -> list[int]:
        self._number += width
        return [self._number - width, self._number]

    def choice(self, width: int) -> list[int]:
        self._choice += width
        return [self._choice - width, self._choice]


def foreign_env(env: gymnasium.Env) -> GymnasiumEnv | None:
    """What stands around an environment that is none of our own suites; None where there is nothing."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, GymnasiumEnv):
            return env
        env = env.env
    return None


def taken_actions(env: gymnasium.Env) -> Space:
    """The space of actions that whoever made the environment's simulator would hand it."""
    if found := foreign_env(env):
        return found.env.action_space
    space = getattr(env.unwrapped, "taken_actions", env.action_space)
    return Discrete(space.factors[0]) if isinstance(space, Choices) else space  # a game's one choice


def _action(space: Space, free: _Ranges) -> dict[str, Any]:
    if isinstance(space, Dict):
        parts = [_action(one, free) for one in space.spaces.values()]
        return {"kind": "dict", "keys": [*space.spaces], "parts": parts}
    if isinstance(space, Tuple):
        return {"kind": "tuple", "parts": [_action(one, free) for one in space.spaces]}
    if isinstance(space, Discrete):
        return {"kind": "choice", "at": free.choice(int(space.n)), "start": int(space.start)}
    if isinstance(space, MultiDiscrete | MultiBinary):
        counts = space.nvec if isinstance(space, MultiDiscrete) else np.full(space.shape, 2)
        start = np.broadcast_to(getattr(space, "start", 0), space.shape)
        at = [free.choice(int(count)) for count in counts.reshape(-1)]
        return {"kind": "choices", "at": at, "start": start.reshape(-1).tolist()} | _form(space)
    assert isinstance(space, Box), space
    bounds = {"low": space.low.reshape(-1).tolist(), "high": space.high.reshape(-1).tolist()}
    return {"kind": "numbers", "at": free.numbers(int(np.prod(space.shape)))} | bounds | _form(space)


def _form(space: Space) -> dict[str, Any]:
    return {"shape": [*(space.shape or ())], "dtype": str(space.dtype)}


def _seen(leaf: Leaf) -> dict[str, Any]:
    space, told = leaf.space, {"path": [*leaf.path]}
    if isinstance(space, Box) and is_picture(space):
        return told | {"layout": layout(space.shape)}
    start = np.broadcast_to(getattr(space, "start", 0), space.shape or ())
    return told | {"start": start.reshape(-1).tolist()}
