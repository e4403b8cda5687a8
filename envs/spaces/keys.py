"""Which of the observed keys are kept."""

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import gymnasium
from gymnasium.spaces import Dict

from ...errors import UserError


class PickedKeys(gymnasium.ObservationWrapper):
    """Of an environment that observes a Dict, the keys that `patterns` keep."""

    def __init__(self, env: gymnasium.Env, task: str, patterns: Sequence[str]):
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, Dict), space
        self._kept = kept(space.spaces, patterns, task)
        self.observation_space = Dict({name: space.spaces[name] for name in self._kept})

    def observation(self, observation: dict) -> dict:
        return {name: observation[name] for name in self._kept}


def kept(names: Iterable[str], patterns: Sequence[str], task: str) -> list[str]:
    """The names that the patterns pick, all where none does, without those that a pattern with a "-" in front drops.

    A pattern is a name, a glob such as "arm*", or what stands before a "/" in names. UserError for one that fits no name, and
    where nothing is left.
    """
    names = list(names)
    for pattern in patterns:
        if not any(_fits(name, pattern.removeprefix("-")) for name in names):
            near = difflib.get_close_matches(pattern.removeprefix("-"), names, 1, 0.0)
            nearest = f"; the nearest of its keys is {near[0]!r}" if near else ""
            raise UserError(f"envs.keys: {task} observes nothing that {pattern!r} fits{nearest}")
    picks = [pattern for pattern in patterns if not pattern.startswith("-")]
    drops = [pattern[1:] for pattern in patterns if pattern.startswith("-")]
    found = [
        name
        for name in names
        if (not picks or any(_fits(name, one) for one in picks)) and not any(_fits(name, one) for one in drops)
    ]
    if not found and patterns:
        raise UserError(f"envs.keys: of what {task} observes ({', '.join(map(repr, names))}) nothing is left")
    return found


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}/*")
