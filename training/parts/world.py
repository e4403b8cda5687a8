"""Where a run's rows come from: environments, data that exists, or both."""

from dataclasses import dataclass
from functools import partial

from ...envs.datasets.closed import Closed
from ...envs.datasets.given import Source
from ...envs.pool import look_at
from ...envs.probe import look
from ...envs.records import Spaces
from ...envs.sights.reel import Reel
from ...envs.spaces.bounds import Bounds
from ...envs.vault import RewardVault
from ...envs.vector import VectorEnv
from ...errors import UserError
from ..config import Config
from ..reports.logger import Logger
from ..storage.card import RunCard
from ..storage.folder import RunFolder
from ..storage.stock.fit import Fit, check_source
from ..storage.stock.labels import Views
from ..storage.stock.stock import find_source
from ..storage.stock.transitions import KEY


@dataclass(frozen=True)
class World:
    """What was seen before anything is made."""

    spaces: Spaces
    bounds: tuple[Bounds, ...]  # one of which recorded actions must have; none: any
    notes: list[str]  # what a person should know of the environment
    source: (
        Source | None
    )  # of the transitions that are to be stock; None: there are none, or they are in the run's folder


def look_around(config: Config, folder: RunFolder, is_resumed: bool) -> World:
    """Try the task, unless nothing is going to be played, and find the data. UserError where either does not keep to what it
    states, or they do not fit each other."""
    source = None if is_resumed else find_source(config.data, views_of(config))
    if source and not source.has_rewards and not config.labeler.is_looking:
        told = f"answers with rewards, and {source.name} holds none: name one that looks"
        raise UserError(f"labeler.name: {config.labeler.name} {told}")
    if not is_played(config):
        spaces = source.spaces if source else RunCard.read(folder.path).spaces
        return World(spaces, (source.bounds,) if source and source.bounds else (), [], source)
    spaces, bounds, notes = look_at(config.task, config.envs, config.seed, partial(look, task=config.task))
    world = World(spaces, bounds, notes, source)
    if source:
        check_source(KEY, source, fit_of(config, world))
    return world


def is_played(config: Config) -> bool:
    """Whether there are environments at all, if only for evaluation."""
    return config.data.collect or config.evaluate.episodes > 0


def views_of(config: Config) -> Views:
    return Views(config.envs.keys, config.envs.size)


def fit_of(config: Config, world: World) -> Fit:
    """What stock must be like: as the environments, or where there are none as the transitions."""
    num, length, replay = config.envs.num, config.train.length, config.replay
    capacity = -(-replay.capacity // num) + length, max(-(-replay.heldout_capacity // num), length + 1)
    repeat = world.source.repeat if world.source and not is_played(config) else config.envs.repeat
    return Fit(
        world.spaces,
        world.bounds,
        repeat,
        config.labeler,
        config.labels.burn_in,
        num,
        heldout_share=config.envs.heldout_share,
        seed=config.seed,
        capacity=capacity,
        window=length,
        starts=0 if config.data.collect else config.train.batch * length,
    )


def make_envs(
    config: Config, spaces: Spaces, vault: RewardVault, reel: Reel | None, logger: Logger
) -> VectorEnv | Closed:
    """Those that training plays in. reel: takes the sights of their rows; None: nobody looks."""
    if not config.data.collect:
        return Closed(config.envs.num, spaces)
    looks = config.labeler.look if reel else ""
    return VectorEnv(config.task, config.envs, config.seed, vault, logger.line, reel=reel, looks=looks)
