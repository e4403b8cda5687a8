"""From a task's name to an environment: a Dict of vectors, categories and images in, actions in [-1, 1] or one-hot out."""

import difflib
import inspect
import math
import os
from dataclasses import dataclass, field
from typing import Any, Literal

import dm_env
import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.spaces import Box, Dict, Space
from gymnasium.wrappers import TimeLimit

from ..errors import UserError
from ..outside import make_own, own_module, told
from . import toy
from .graphics import choose_graphics, triton_first, without_graphics
from .gymnasium_env import GymnasiumEnv
from .records import DTYPES, ObsSpec, Spaces
from .spaces.keys import PickedKeys
from .suites import atari, crafter
from .suites.atari import AtariConfig
from .suites.cameras import Pictures
from .suites.dm_task import DmTask
from .wrappers import ActionRepeat, EpisodeSeeds

FORMS = "dmc_<domain>_<task>, atari_<game>, crafter_reward, gym:<Id>, gym:<module>:<Id>, module:Class, toy_lq"


@dataclass(frozen=True)
class EnvConfig:
    num: int = 4  # environments in lockstep
    repeat: int = 1  # times each action is taken; one agent step, one transition
    processes: bool = False  # one subprocess per environment, which plays while the learner learns: for slow ones
    heldout_share: float = 0.1  # of the transitions, in whole episodes that are never trained on; 0: none
    time_limit: int = 0  # cuts episodes to this many environment steps (repeats counted singly); 0: the task's own
    observe: Literal["state", "pixels", "both"] = "state"  # of dm_control: numbers, what its cameras see, or both
    cameras: tuple[str, ...] = ()  # by name or number, such as [side,1]; empty: the one that is published, or the first
    render: Literal["fast", "reference"] = "reference"  # fast: other images, without shadows, reflections, smooth edges
    size: int = 64  # pixels, of both sides of every image that is observed
    atari: AtariConfig = field(default_factory=AtariConfig)  # what is published as the protocol of a game
    keys: tuple[str, ...] = ()  # names or patterns of what is observed, such as [arm*,-arm/cam]: "-" drops; empty: all
    kwargs: dict[str, Any] = field(default_factory=dict)  # arguments of the environment's constructor, such as {size:3}
    timeout: float = 60.0  # seconds for a step, then the environment is rebuilt; 0: any number
    patience: int = 5  # failures in a row of one environment, no episode completed in between, that end the run

    def __post_init__(self):
        for name, least in (("num", 1), ("repeat", 1), ("time_limit", 0), ("patience", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, got {getattr(self, name)}")
        if self.observe not in ("state", "pixels", "both"):
            raise ValueError(f"observe: must be state, pixels or both, got {self.observe!r}")
        if self.render not in ("fast", "reference"):
            raise ValueError(f"render: must be fast or reference, got {self.render!r}")
        if len(set(self.cameras)) < len(self.cameras):
            raise ValueError(f"cameras: must differ, got {', '.join(self.cameras)}")
        if self.cameras and self.observe == "state":
            raise ValueError(
                f"cameras: are for observe=pixels or both, got {', '.join(self.cameras)} with observe=state"
            )
        if self.size < 16 or self.size % 16:
            raise ValueError(f"size: must be a multiple of 16, got {self.size}")
        if not (math.isfinite(self.timeout) and self.timeout >= 0):
            raise ValueError(f"timeout: must be at least 0 and finite, got {self.timeout}")
        if not 0 <= self.heldout_share <= 0.5:
            raise ValueError(f"heldout_share: must be between 0 and 0.5, got {self.heldout_share}")


class UnknownTask(UserError):
    """No such task, or one whose package cannot be imported."""


def make_env(task: str, config: EnvConfig, seed: int, render: bool = False) -> gymnasium.Env:
    """The environment of `task`: observations a Dict of Boxes, float32 for vectors, int32 from 0 on for categories and uint8
    (H, W, C) for images; actions Box(-1, 1, (A,)) or Choices.

    Its k-th `reset()` is seeded from (seed, k). With `render`, its method `render()` gives rgb
    arrays, where the task can. UnknownTask or UnsupportedSpace, naming the task, for what cannot be made.
    """
    env = _load(task, config, render)
    if not task.startswith("atari_"):  # which counts its frames itself
        env = TimeLimit(env, config.time_limit) if config.time_limit else env
        env = ActionRepeat(env, config.repeat) if config.repeat > 1 else env
    return EpisodeSeeds(env, seed)


def spaces_of(env: gymnasium.Env) -> Spaces:
    """What the model sees and does in an environment of `make_env`."""
    return spaces_from(env.observation_space, env.action_space)


def spaces_from(observations: Space, actions: Space) -> Spaces:
    """The same from the two spaces of such an environment."""
    assert isinstance(observations, Dict), observations
    obs = {key: _seen(_box(space)) for key, space in observations.spaces.items()}
    return Spaces(obs, _box(actions).shape[0], getattr(actions, "factors", ()))


def _seen(space: Box) -> ObsSpec:
    """Bytes are images, whole numbers categories from 0 on, and anything else is a vector."""
    if space.dtype == DTYPES["image"]:
        return ObsSpec(space.shape, kind="image")
    classes = int(space.high.max()) + 1 if space.dtype == DTYPES["category"] else 0
    return ObsSpec(space.shape, classes)


def _box(space: Space) -> Box:
    assert isinstance(space, Box), space
    return space


def episode_length(task: str, config: EnvConfig) -> int:
    """The most agent steps an episode of `task` can have (action repeats counted once), 0 where it is not known.

    UnknownTask for a name that is none; a module:Class is not looked at.
    """
    limits = [limit for limit in (_own_length(task), config.time_limit) if limit]
    return -(-min(limits) // config.repeat) if limits else 0


def _load(task: str, config: EnvConfig, render: bool) -> gymnasium.Env:
    is_seen = config.observe != "state"
    if _is_foreign(task):
        triton_first()  # it may draw what it observes
        if is_seen:
            _import_dmc(
                task
            )  # without graphics: dm_control, were it imported by the task, would take one that cannot draw
            _choose_graphics(task)
        env = _make(task, config, render)
    else:
        with without_graphics():
            env = _make(task, config, render)
        if render or is_seen:
            _choose_graphics(task)
    if is_seen:
        _try_to_draw(env, task)
    return env


def _is_foreign(task: str) -> bool:
    """Whether the task is somebody's own code, and not known to draw only where it is asked to."""
    if task.startswith("gym:"):
        return not str(_spec(task).entry_point).startswith("gymnasium.")
    return ":" in task


def _make(task: str, config: EnvConfig, render: bool) -> gymnasium.Env:
    if ":" in task:
        env = _foreign(task, config, render)
        return GymnasiumEnv(env, task, config.keys, config.size)
    env = _own(task, config, render)
    return PickedKeys(env, task, config.keys) if config.keys else env


def _foreign(task: str, config: EnvConfig, render: bool) -> gymnasium.Env:
    made = (_registered if task.startswith("gym:") else _from_class)(task, config.kwargs, render)
    if isinstance(made, dm_env.Environment):
        return DmTask(made, task, _pictures(config), config.observe != "pixels")
    _check_has_no_cameras(task, config)
    return made


def _own(task: str, config: EnvConfig, render: bool) -> gymnasium.Env:
    kwargs = config.kwargs
    try:
        if task.startswith("dmc_"):
            mode = "rgb_array" if render else None
            return _dmc(task).DmcEnv(task, mode, kwargs, _pictures(config), config.observe != "pixels")
        _check_has_no_cameras(task, config)
        if task == "toy_lq":
            return toy.ToyEnv(toy.LinearQuadratic(**kwargs))
        if task in crafter.TASKS:
            return crafter.CrafterEnv(task, config.size, **kwargs)
        if task.startswith("atari_") and task in atari.games():
            return atari.open_atari(task, config.atari, config.size, config.repeat, config.time_limit, **kwargs)
    except TypeError as error:
        if not kwargs:
            raise
        raise UserError(f"envs.kwargs: {task} cannot be made with {kwargs}: {error}") from error
    raise _unknown(task)


def _pictures(config: EnvConfig) -> Pictures | None:
    return None if config.observe == "state" else Pictures(config.cameras, config.size, config.render)


def _check_has_no_cameras(task: str, config: EnvConfig) -> None:
    if config.observe != "state":
        raise UserError(f"envs.observe: {task} has no cameras to choose: leave it at state")


def _choose_graphics(task: str) -> None:
    try:
        choose_graphics()
    except (ImportError, AttributeError, RuntimeError) as error:  # in each library's own words
        raise _not_drawn(task, error) from error


def _try_to_draw(env: Any, task: str) -> None:
    """A library that can be imported may still find no display, no device or no memory: then nothing has been bought."""
    try:
        env.unwrapped.draw()
    except Exception as error:  # each library has errors of its own
        env.close()
        raise _not_drawn(task, error) from error


def _not_drawn(task: str, error: Exception) -> UnknownTask:
    return UnknownTask(f"task: {task} cannot be drawn here (MUJOCO_GL is {_gl()}): {error}")


def _own_length(task: str) -> int:
    if task == "toy_lq":
        return toy.EPISODE_LENGTH
    if task.startswith("dmc_"):
        return _dmc(task).EPISODE_LENGTH
    if task in crafter.TASKS:
        return crafter.EPISODE_LENGTH
    if task.startswith("atari_") and task in atari.games():
        return atari.EPISODE_LENGTH
    if task.startswith("gym:"):
        return _spec(task).max_episode_steps or 0
    if ":" in task:
        return 0
    raise _unknown(task)


def _dmc(task: str):
    dmc = _import_dmc(task)
    if task not in dmc.TASKS:
        raise _unknown(task)
    return dmc


def _import_dmc(task: str):
    try:
        from .suites import dmc  # imported late: it takes a second and is not needed for other tasks
    except (
        ImportError,
        AttributeError,
        RuntimeError,
    ) as error:  # what dm_control raises where its own needs are missing
        raise UnknownTask(f"task: {task}: dm_control cannot be imported: {error}") from error
    return dmc


def _gl() -> str:
    return os.environ.get("MUJOCO_GL", "unset")


def _spec(task: str) -> EnvSpec:
    """The registered environment of gym:Id or of gym:module:Id, which imports the module that registers it."""
    module, _, name = task.removeprefix("gym:").rpartition(":")
    if module:
        _register(task, module)
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error as error:
        raise _unknown(f"gym:{name}") from error


def _register(task: str, module: str) -> None:
    try:
        own_module(module)
    except (Exception, SystemExit) as error:  # whatever a person's own module raises
        raise UnknownTask(f"task: {task}: {module} cannot be imported: {told(error)}") from error


def _registered(task: str, kwargs: dict[str, Any], render: bool) -> gymnasium.Env:
    spec = _spec(task)
    try:
        assert spec.entry_point is not None, "its registration names no entry point"
        creator = spec.entry_point if callable(spec.entry_point) else load_env_creator(spec.entry_point)
        drawn = {"render_mode": "rgb_array"} if render and _names(creator, "render_mode") else {}
        return gymnasium.make(spec, disable_env_checker=True, **drawn, **kwargs)
    except (
        Exception,
        SystemExit,
    ) as error:  # a missing dependency, a version that is no more, or what a person's own class raises
        raise UnknownTask(f"task: {task} cannot be made: {told(error)}") from error


def _from_class(task: str, kwargs: dict[str, Any], render: bool) -> gymnasium.Env | dm_env.Environment:
    try:
        offered = {"render_mode": "rgb_array"} if render else {}
        env = make_own(task, "task", offered=offered, keywords=kwargs)
    except UserError as error:
        raise UnknownTask(str(error)) from error
    if not isinstance(env, gymnasium.Env | dm_env.Environment):
        raise UnknownTask(f"task: {task} is neither a gymnasium.Env nor a dm_env.Environment, but {type(env).__name__}")
    return env


def _names(creator: Any, argument: str) -> bool:
    parameters = inspect.signature(creator).parameters.values()
    return any(one.name == argument or one.kind is one.VAR_KEYWORD for one in parameters)


def _unknown(task: str) -> UnknownTask:
    known = ["toy_lq", *crafter.TASKS, *_import_dmc(task).TASKS, *(f"gym:{name}" for name in gymnasium.registry)]
    known += atari.games() if task.startswith("atari_") else []
    nearest = difflib.get_close_matches(task, known, n=1, cutoff=0.0)[0]
    return UnknownTask(f"task: no task {task!r}; the nearest is {nearest!r} (tasks are {FORMS})")
