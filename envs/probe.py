"""One reset and one step of a task before anything is bought: what its environment does otherwise than it states."""

from typing import Any, NoReturn

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from ..errors import UserError
from .gymnasium_env import GymnasiumEnv, number_of
from .make import spaces_of
from .pool import failure_of
from .records import Spaces
from .spaces.bounds import Bounds, possible_bounds
from .spaces.leaves import NUMBERS

MOST_REWARD = 4.85e8  # symexp(20), the reward model's last bin: what lies beyond is learned as this


def look(env: gymnasium.Env, task: str) -> tuple[Spaces, tuple[Bounds, ...], list[str]]:
    """Its spaces, the bounds that recorded actions may have, and what `probe` says."""
    return spaces_of(env), possible_bounds(env), probe(env, task)


def probe(env: gymnasium.Env, task: str) -> list[str]:
    """What a person should be told of an environment of `make_env`, a line each. It is left in the middle of an episode.

    UserError, with the task, the key, what was expected and what was got, for one that cannot be played.
    """
    layers = list(_layers(env))
    foreign = next((layer for layer in layers if isinstance(layer, GymnasiumEnv)), None)
    if foreign is None:
        return []  # one of ours
    raw = foreign.env
    _check_observation(foreign, _reset(raw, task), f"task: {task}: reset()")
    action = foreign.actions.action(np.zeros(spaces_of(env).action_size, np.float32))
    obs, reward, *flags = _step(raw, action, task)
    _check_observation(foreign, obs, f"task: {task}: step()")
    _check_flags(flags, task)
    notes = foreign.observations.notes() + _notes_on_reward(reward, task)
    if not any(isinstance(layer, TimeLimit) for layer in layers):
        notes.append(f"task: {task}: no end of its episodes is known: set envs.time_limit")
    return notes


def _layers(env: gymnasium.Env):
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env


def _reset(raw: gymnasium.Env, task: str) -> Any:
    try:
        result = raw.reset(seed=0, options=None)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise UserError(f"task: {task}: reset(): expected to take seed and options, got {error}") from error
        _refuse(error, task, "reset()")
    except Exception as error:  # noqa: BLE001 - whatever a person's own code raises; it is chained and told
        _refuse(error, task, "reset()")
    if not (isinstance(result, tuple) and len(result) == 2):
        raise UserError(f"task: {task}: reset(): expected (observation, info), got {_described(result)}")
    return result[0]


def _step(raw: gymnasium.Env, action: Any, task: str) -> tuple:
    expected = "expected (observation, reward, terminated, truncated, info)"
    try:
        result = raw.step(action)
    except Exception as error:  # whatever a person's own code raises
        if "values to unpack" in str(error):  # a wrapper of gymnasium's stands around a step of the old kind
            raise UserError(f"task: {task}: step(): {expected}, got {error}") from error
        _refuse(error, task, "step()")
    if not (isinstance(result, tuple) and len(result) == 5):
        raise UserError(f"task: {task}: step(): {expected}, got {_described(result)}")
    return result[:4]


def _refuse(error: Exception, task: str, where: str) -> NoReturn:
    raise UserError(f"task: {task}: the first {where} {failure_of(error)}") from error


def _described(result: Any) -> str:
    if isinstance(result, tuple):
        return f"{len(result)} values: {', '.join(type(one).__name__ for one in result)}"
    return type(result).__name__


def _check_observation(env: GymnasiumEnv, obs: Any, where: str) -> None:
    try:
        env.observations.read(obs)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _check_flags(flags: list, task: str) -> None:
    for name, flag in zip(("terminated", "truncated"), flags, strict=True):
        array = np.asarray(flag)
        if array.size != 1 or array.dtype.kind not in NUMBERS:
            raise UserError(f"task: {task}: step(): {name}: expected true or false, got {flag!r:.100}")


def _notes_on_reward(reward: Any, task: str) -> list[str]:
    array = np.asarray(np.nan if reward is None else reward)
    if array.size != 1 or array.dtype.kind not in NUMBERS:
        raise UserError(f"task: {task}: step(): reward: expected a number, got {reward!r:.100}")
    number = number_of(reward)
    if reward is None:
        return [f"task: {task}: states no reward: it can be asked of another labeler only (labeler.name)"]
    if abs(number) > MOST_REWARD:
        return [f"task: {task}: rewards such as {number:g} are learned as {MOST_REWARD:g} at most: scale them down"]
    return []
