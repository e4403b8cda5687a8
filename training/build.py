"""Putting a run together: every part made from its own section of the configuration, fresh or from a run's folder."""

import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from ..agents.actor_critic import ActorCritic
from ..agents.agent import Agent
from ..budget.allocator import make_allocator
from ..budget.ledger import Ledger
from ..budget.money import MICRO, to_micro
from ..budget.plan import Allocator
from ..envs.datasets.closed import Closed
from ..envs.labelers.base import Labeler
from ..envs.labelers.make import make_labeler
from ..envs.make import make_env, spaces_of
from ..envs.records import Spaces
from ..envs.sights.reel import Reel
from ..envs.vault import RewardVault
from ..envs.vector import VectorEnv, to_stderr
from ..heap import keep_memory
from ..seeds import Channel, derive_seed
from ..watch import Watch
from ..worldmodel.dynamics import DynamicsModel
from ..worldmodel.replay.journal.labels import LabelJournal
from ..worldmodel.replay.journal.transitions import TransitionJournal, refill
from ..worldmodel.replay.label_store import LabelStore
from ..worldmodel.replay.labels import LabelReplay
from ..worldmodel.replay.tick import Ticks
from ..worldmodel.replay.transitions import TransitionReplay
from ..worldmodel.reward import RewardModel
from .config import Config, ConfigError
from .execution.execution import capture_policy, make_execution
from .forecast.forecast import foresee
from .learner import Learner
from .measurements.findings import Measurer
from .measurements.snapshots import Snapshots
from .models import Models
from .parts.money import check_pilot, first_progress, label_money, open_ledger, prices_of, stock_price, terms_of
from .parts.stores import Stores, make_stores
from .parts.world import World, fit_of, look_around, make_envs, views_of
from .purchases.choice import Choice
from .purchases.desk import drawer_for, open_desk
from .purchases.labels import LabelDesk
from .purchases.transitions import PREFIX, Collector
from .reports import pictures, status
from .reports.evaluate import Evaluator
from .reports.films.studio import Studio
from .reports.logger import Logger
from .reports.look import Onlooker
from .reports.sinks.begin import begin_logging
from .run import Run
from .settings import read_config, to_yaml, trusted_config
from .stop import Stop
from .storage import checkpoint
from .storage.card import RunCard
from .storage.folder import SAVED_AS, RunFolder, take_away
from .storage.keeper import Keeper
from .storage.older import bring_over
from .storage.restore import Standpoint, check_received, fitting, load_parts, reconcile_transitions, standpoint
from .storage.stock.stock import StockCard, read_card, take_stock
from .storage.stock.transitions import REWARDS
from .storage.trust import signed


def build(config: Config, is_resumed: bool, is_exact: bool = True) -> Run:
    """Everything that training needs. A new run's folder is made here, after all that can be wrong has been checked.

    is_exact: a resumed run begins exactly where its checkpoint was made and does again what came after it; without it, the
    run begins with everything that it bought.
    """
    folder, device = RunFolder(Path(config.run.dir)), resolve_device(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    keep_memory()
    world = look_around(config, folder, is_resumed)  # before anything is made
    spaces = world.spaces
    vault = RewardVault(folder.vault, folder.stock / REWARDS)
    reel = Reel(folder.sights, to_stderr) if config.labeler.is_looking and config.data.collect else None
    labeler = make_labeler(config.labeler, vault, config.seed, folder.path, prices_of(config)["label"])
    allocator = make_allocator(config.allocator)
    there = world.source.num_transitions if world.source else 0
    if not is_resumed:
        check_pilot(config, there)
    seed_everything(config.seed)
    learner = make_learner(config, spaces, device)
    # What a run that goes on has on disk already is not told apart from what is to come.
    is_refused = not is_resumed and config.run.forecast == "refuse"
    foreseen = foresee(config, spaces, learner, device, there or read_card(folder).transitions).check(is_refused)
    made, lock = folder.missing(), folder.hold()
    told = [foreseen, *([] if is_resumed else [f"warning: {note}" for note in world.notes])]
    try:
        if not is_resumed:
            make_folder(config, folder, world, made)
        elif bring_over(folder):
            told.append(
                "the journals of an older version were brought into today's form; the old ones stay beside them"
            )
        begin = standpoint(folder, is_exact, told.append) if is_resumed else Standpoint(None, is_exact=True)
        vault.load()
        if reel is not None:
            reel.load()
        run = assemble(config, folder, spaces, device, learner, vault, reel, labeler, allocator, begin, lock)
    except BaseException:
        lock.close()
        raise
    for line in told:
        run.logger.line(line)
    return run


def try_out(config: Config) -> World:
    """All that a new run looks at before its models and its folder are made. UserError as there."""
    folder = RunFolder(Path(config.run.dir))
    world = look_around(config, folder, is_resumed=False)
    make_labeler(config.labeler, RewardVault(folder.vault), config.seed, folder.path, prices_of(config)["label"])
    make_allocator(config.allocator)
    check_pilot(config, world.source.num_transitions if world.source else 0)
    return world


def make_folder(config: Config, folder: RunFolder, world: World, made: list[Path]) -> None:
    """A new run's folder, which is a run only once its config.yaml is there. What exists is copied first: where it is refused,
    nothing is left of what was `made` to hold the folder."""
    text = to_yaml(config)
    if not folder.config.exists():
        try:
            take_stock(folder, config.data, world.source, fit_of(config, world), views_of(config))
        except BaseException:
            take_away(made)
            raise
        card = signed(RunCard.made(text, world.spaces), config)
        card.write(folder.path)
        folder.checkpoints.mkdir(exist_ok=True)
        card.write(folder.checkpoints)  # to spare
    folder.make(text, to_micro(config.budget.total), prices_of(config))


def assemble(
    config: Config,
    folder: RunFolder,
    spaces: Spaces,
    device: torch.device,
    learner: Learner,
    vault: RewardVault,
    reel: Reel | None,
    labeler: Labeler,
    allocator: Allocator,
    begin: Standpoint,
    lock: IO,
) -> Run:
    """All parts, as they were at the point where the run begins; what is on disk beyond it comes again."""
    ledger, stop, watch = open_ledger(config, folder), Stop(), Watch(tuple(status.PARTS))
    journal = TransitionJournal(folder.transitions)
    stores = make_stores(config, folder, spaces)
    later = refill(stores.transitions, journal, begin.positions.ticks if begin.is_exact else None)
    desk = make_desk(config, folder, stores, learner, labeler, ledger, stop, reel)
    desk.reopen(begin.positions.entries if begin.is_exact else None)
    rows = journal.received + stores.stock.num_transitions
    check_received(folder, ledger, rows, desk.num_answers, vault.num_rows, desk.waiting)
    logger = begin_logging(config, folder, begin.purge_step)
    env = make_envs(config, spaces, vault, reel, logger)
    run = Run(
        config=config,
        folder=folder,
        spaces=spaces,
        device=device,
        learner=learner,
        execution=make_execution(config.runtime, learner, device, logger.line),
        agent=make_agent(config, spaces, learner, logger),
        transitions=stores.transitions,
        labels=stores.labels,
        collector=make_collector(config, env, vault, stores, ledger, journal, stop, device, watch),
        desk=desk,
        ledger=ledger,
        allocator=allocator,
        terms=terms_of(config),
        measurer=make_measurer(config, folder, learner, stores.transitions, stores.labels, logger),
        onlooker=make_onlooker(config, folder, spaces, learner, stores.transitions, stores.labels, logger, env),
        logger=logger,
        progress=first_progress(config, ledger),
        **generators(config.seed, device),
        keeper=Keeper(folder.checkpoints, config.checkpoint),
        stop=stop,
        stock=read_card(folder),
        lock=lock,
    )
    return take_up(run, begin, later)


def make_desk(
    config: Config,
    folder: RunFolder,
    stores: Stores,
    learner: Learner,
    labeler: Labeler,
    ledger: Ledger,
    stop: Stop,
    reel: Reel | None,
) -> LabelDesk:
    drawer = drawer_for(config.labeler, stores.transitions, make_choice(config, learner))
    journal, price = LabelJournal(folder.labels), stock_price(config, stores.stock)
    return open_desk(config.labeler, drawer, stores.labels, labeler, ledger, journal, stop, reel, price)


def make_collector(
    config: Config,
    env: VectorEnv | Closed,
    vault: RewardVault,
    stores: Stores,
    ledger: Ledger,
    journal: TransitionJournal,
    stop: Stop,
    device: torch.device,
    watch: Watch,
) -> Collector:
    has_returns = config.mode == "coupled"  # published curves are training returns
    return Collector(env, vault, stores.transitions, ledger, journal, stop, device, has_returns, watch, stores.stock)


def generators(seed: int, device: torch.device) -> dict[str, Any]:
    """Those that a run draws from."""
    noise = torch.Generator(device).manual_seed(derive_seed(seed, Channel.NOISE))
    return {"numpy_rng": np.random.default_rng(derive_seed(seed, Channel.DRAWS)), "noise_rng": noise}


def take_up(run: Run, begin: Standpoint, later: list[Ticks]) -> Run:
    """Put the run where it begins."""
    if begin.is_exact:
        run.ledger.rewind(begin.positions.ledger)
        run.collector.do_again(later)
        load_parts(begin, run.parts())
        if not begin.found:
            run.logger.cut(0)
        return run
    reconcile_transitions(run.ledger, run.collector.journal, PREFIX)
    run.desk.reconcile()
    load_parts(begin, run.parts())
    run.collector.begin_anew()
    run.logger.line(
        "going on with everything that was bought; from here on it is not what an uninterrupted run would be"
    )
    run.save()
    return run


def seed_everything(seed: int) -> None:
    """The global generators: of our own code only torch draws from its own, for first weights; a person's code may."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def make_choice(config: Config, learner: Learner) -> Choice | None:
    """Of the rows that are labelled; None: uniform."""
    if config.labels.choice == "uniform":
        return None
    return Choice(learner.reward, learner.dynamics, config.labels.uniform)


def make_agent(config: Config, spaces: Spaces, learner: Learner, logger: Logger) -> Agent:
    """The one that collects."""
    agent = Agent(learner.dynamics, learner.actor_critic, spaces, derive_seed(config.seed, Channel.AGENT))
    capture_policy(config.runtime, agent, logger.line)
    return agent


def make_measurer(
    config: Config,
    folder: RunFolder,
    learner: Learner,
    transitions: TransitionReplay,
    labels: LabelStore,
    logger: Logger,
) -> Measurer | None:
    """None in coupled mode, which allocates nothing."""
    if not isinstance(labels, LabelReplay):
        return None
    return Measurer(
        config=config.measure,
        models=Models.of(learner),
        transitions=transitions,
        labels=labels,
        labeler=config.labeler,
        snapshots=Snapshots(folder.snapshots, config.measure.snapshots),
        horizon=config.train.horizon,
        seed=config.seed,
        warn=logger.line,
        label_money=label_money(config),
    )


def make_onlooker(
    config: Config,
    folder: RunFolder,
    spaces: Spaces,
    learner: Learner,
    transitions: TransitionReplay,
    labels: LabelStore,
    logger: Logger,
    env: VectorEnv | Closed,
) -> Onlooker:
    evaluator = Evaluator(config.task, config.envs, config.evaluate, config.seed, logger.line)
    if isinstance(env, VectorEnv):
        evaluator.borrow(env)
    return Onlooker(
        models=Models.of(learner),
        spaces=spaces,
        transitions=transitions,
        labels=labels,
        evaluator=evaluator,
        logger=logger,
        coins=coins_of(config, read_card(folder)),
        horizon=config.train.horizon,
        seed=config.seed,
        task=config.task,
        studio=Studio(logger.film, logger.line) if config.log.figures and config.log.films else None,
    )


def coins_of(config: Config, stock: StockCard) -> pictures.Coins:
    """What the pictures must know of the money."""
    prices, data = prices_of(config), config.data
    return pictures.Coins(
        config.budget.total,
        prices["transition"] / MICRO,
        prices["label"] / MICRO,
        bool(config.labeler.tiers),
        stock.transitions,
        data.price_transition,
        data.collect,
    )


def make_learner(config: Config, spaces: Spaces, device: torch.device) -> Learner:
    dynamics = DynamicsModel(config.dynamics, spaces)
    reward_config = config.reward
    if config.mode == "coupled":  # as published; folds mean nothing where every row has a label
        reward_config = replace(reward_config, members=1)
    reward = RewardModel(reward_config, config.dynamics.feat_size)
    actor_critic = ActorCritic(config.actor_critic, spaces, config.dynamics.feat_size, config.dynamics.discount)
    for model in (dynamics, reward, actor_critic):
        model.to(device)  # in place
    anneal = (config.train.updates or 0) if config.train.anneal else 0  # whoever anneals counts updates
    return Learner(dynamics, reward, actor_critic, use_bfloat16(config, device), anneal)


def load_agent(folder: Path, is_trusted: bool = False) -> Agent:
    """The agent of a run's newest checkpoint, on the CPU.

    The run's card tells its spaces; for runs of 0.1 and 0.2 the environment is made, with code of theirs if `is_trusted`.
    """
    return load_trained(folder, is_trusted)[1]


def load_trained(folder: Path, is_trusted: bool = False) -> tuple[Models, Agent]:
    """The same with its models."""
    config, card = read_config(folder / SAVED_AS), RunCard.find(folder)
    spaces = card.spaces if card else task_spaces(trusted_config(folder, is_trusted))
    learner = make_learner(replace(config, precision="float32"), spaces, torch.device("cpu"))
    found = checkpoint.load(RunFolder(folder).checkpoints, wanted=lambda name: name == "learner")
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    with fitting(found):
        learner.load_state_dict(found.parts["learner"])
    seed = derive_seed(config.seed, Channel.LOADED_AGENT)
    return Models.of(learner), Agent(learner.dynamics, learner.actor_critic, spaces, seed, learner.reward)


def task_spaces(config: Config) -> Spaces:
    env = make_env(config.task, config.envs, config.seed)
    try:
        return spaces_of(env)
    finally:
        env.close()


def resolve_device(config: Config) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch sees no GPU here")
    if config.runtime.execution == "graph" and (config.device == "cpu" or not torch.cuda.is_available()):
        raise ConfigError(
            f"runtime.execution: graph needs a GPU, got device={config.device} and torch sees "
            f"{torch.cuda.device_count()} of them"
        )
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def use_bfloat16(config: Config, device: torch.device) -> bool:
    return config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
