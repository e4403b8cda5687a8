"""Putting a run together: every part made from its own section of the configuration, fresh or from a run's folder."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import torch

from ..agents.actor_critic import ActorCritic
from ..agents.agent import Agent
from ..budget.allocator import make_allocator
from ..budget.ledger import Ledger
from ..budget.money import MICRO, price_in_micro, to_micro
from ..budget.phase import check_budget
from ..budget.plan import Allocator
from ..envs.labelers.base import DEFAULT, Labeler
from ..envs.labelers.make import make_labeler
from ..envs.make import episode_length, make_env, spaces_of
from ..envs.records import Spaces
from ..envs.vault import RewardVault
from ..envs.vector import VectorEnv
from ..seeds import Channel, derive_seed
from ..worldmodel.dynamics import DynamicsModel
from ..worldmodel.replay.journal.labels import LabelJournal
from ..worldmodel.replay.journal.transitions import refill
from ..worldmodel.replay.label_column import LabelColumn
from ..worldmodel.replay.label_store import LabelStore
from ..worldmodel.replay.labels import LabelReplay
from ..worldmodel.replay.transitions import TransitionReplay
from ..worldmodel.reward import RewardModel
from .config import Config, ConfigError
from .learner import Learner
from .measurements.evidence import Stock, Terms, evidence
from .measurements.findings import Measurer
from .measurements.raters import tier_prices
from .measurements.snapshots import Snapshots
from .models import Models
from .progress import Progress
from .purchases.choice import Choice
from .purchases.labels import LabelDesk
from .purchases.transitions import Collector
from .reports import pictures
from .reports.evaluate import Evaluator
from .reports.logger import Logger
from .reports.look import Onlooker
from .run import Run
from .settings import read_config, to_yaml
from .storage import checkpoint
from .storage.folder import SAVED_AS, RunFolder
from .storage.restore import check_received, fitting, reconcile_transitions, restore


def build(config: Config, is_resumed: bool) -> Run:
    """Everything that training needs. A new run's folder is made here, after all that can be wrong has been checked."""
    folder, device = RunFolder(Path(config.run.dir)), resolve_device(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    spaces = task_spaces(config)
    vault = RewardVault()
    labeler = make_labeler(config.labeler, vault, config.seed)
    allocator = make_allocator(config.allocator)
    if not is_resumed:
        check_pilot(config)
        folder.make(to_yaml(config), to_micro(config.budget.total), config.price.in_micro())
    lock = folder.hold()
    run = assemble(config, folder, spaces, device, vault, labeler, allocator, lock)
    if is_resumed:
        restore(run.parts(), folder.checkpoints, run.logger.line)
    return run


def assemble(
    config: Config,
    folder: RunFolder,
    spaces: Spaces,
    device: torch.device,
    vault: RewardVault,
    labeler: Labeler,
    allocator: Allocator,
    lock: IO,
) -> Run:
    """All parts, the replays filled with what the disk holds and the accounts in line with it."""
    ledger = open_ledger(config, folder)
    torch.manual_seed(config.seed)
    learner = make_learner(config, spaces, device)
    vault.load(folder.vault)
    transitions = open_transitions(config, folder, spaces, ledger)
    labels = open_labels(config, spaces)
    desk = open_desk(config, folder, learner, labeler, transitions, labels, ledger)
    check_received(folder.path, ledger, transitions, labels)
    env = VectorEnv(config.task, config.envs, config.seed, vault, transitions.next_step, transitions.next_episode)
    logger = Logger(folder.path, config.log)
    return Run(
        config=config,
        folder=folder,
        spaces=spaces,
        device=device,
        learner=learner,
        agent=Agent(learner.dynamics, learner.actor_critic, spaces, derive_seed(config.seed, Channel.AGENT)),
        transitions=transitions,
        labels=labels,
        collector=Collector(env, vault, transitions, ledger, folder.path, has_returns=config.mode == "coupled"),
        desk=desk,
        ledger=ledger,
        allocator=allocator,
        terms=terms_of(config),
        measurer=make_measurer(config, folder, learner, transitions, labels, logger),
        onlooker=make_onlooker(config, spaces, learner, transitions, labels, logger),
        logger=logger,
        progress=first_progress(config, ledger),
        numpy_rng=np.random.default_rng(derive_seed(config.seed, Channel.DRAWS)),
        noise_rng=torch.Generator(device).manual_seed(derive_seed(config.seed, Channel.NOISE)),
        lock=lock,
    )


def check_pilot(config: Config) -> None:
    """UserError naming budget.total where it cannot pay for the pilot."""
    first = evidence(terms_of(config), 0, config.allocator.phases, Stock(), None)
    check_budget(config.allocator, first, to_micro(config.budget.total), config.price.in_micro())


def terms_of(config: Config) -> Terms:
    return Terms(
        transition_lot=config.envs.num,
        episode_length=episode_length(config.task, config.envs),
        min_transitions=config.train.batch * config.train.length + config.envs.num * (config.train.length + 1),
        labeler=config.labeler,
        seed=config.seed,
    )


def open_ledger(config: Config, folder: RunFolder) -> Ledger:
    ledger = Ledger.open(folder.ledger)
    written = config.price.in_micro()
    # What the ledger says counts. Version 0.1 rounded a price to the nearest micro-coin, which may be one less.
    if any(not 0 <= written[kind] - price <= 1 for kind, price in ledger.prices.items()):
        raise ConfigError(f"price: {folder.config} says other prices than the ledger, which has {ledger.prices}")
    return ledger


def open_transitions(config: Config, folder: RunFolder, spaces: Spaces, ledger: Ledger) -> TransitionReplay:
    latent = (config.dynamics.deter, config.dynamics.stoch)
    transitions = TransitionReplay(config.replay, spaces, config.envs.num, config.train.length, *latent)
    reconcile_transitions(ledger, folder.transitions)
    refill(transitions, folder.transitions)
    return transitions


def open_labels(config: Config, spaces: Spaces) -> LabelStore:
    """Still empty: the desk fills it from its journal."""
    if config.mode == "coupled":
        return LabelColumn(config.envs.num)
    latent = (config.dynamics.deter, config.dynamics.stoch)
    tiers, members = (DEFAULT, *config.labeler.tiers), config.reward.members
    return LabelReplay(config.labels, spaces, *latent, tiers, folds=members)


def open_desk(
    config: Config,
    folder: RunFolder,
    learner: Learner,
    labeler: Labeler,
    transitions: TransitionReplay,
    labels: LabelStore,
    ledger: Ledger,
) -> LabelDesk:
    by_disagreement = config.labels.choice == "disagreement"
    desk = LabelDesk(
        transitions,
        labels,
        labeler,
        ledger,
        LabelJournal(folder.labels),
        tier_prices(config.labeler),
        price_in_micro(config.labeler.item_price),
        Choice(learner.reward, learner.dynamics, config.labels.uniform) if by_disagreement else None,
    )
    desk.reopen()
    return desk


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
    )


def make_onlooker(
    config: Config,
    spaces: Spaces,
    learner: Learner,
    transitions: TransitionReplay,
    labels: LabelStore,
    logger: Logger,
) -> Onlooker:
    prices = config.price
    return Onlooker(
        models=Models.of(learner),
        spaces=spaces,
        transitions=transitions,
        labels=labels,
        evaluator=Evaluator(config.task, config.envs, config.evaluate, config.seed),
        logger=logger,
        coins=pictures.Coins(config.budget.total, prices.transition, prices.label, bool(config.labeler.tiers)),
        horizon=config.train.horizon,
        seed=config.seed,
    )


def first_progress(config: Config, ledger: Ledger) -> Progress:
    rate = config.train.updates * MICRO / ledger.total if config.train.updates else 0.0
    first_phase = 1 if config.mode == "coupled" else 0  # as published: no pilot
    return Progress(config.allocator.phases, rate, config.budget.total, phase=first_phase)


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


def load_agent(folder: Path) -> Agent:
    """The agent of a run's newest checkpoint, on the CPU."""
    config = read_config(folder / SAVED_AS)
    spaces = task_spaces(config)
    learner = make_learner(replace(config, precision="float32"), spaces, torch.device("cpu"))
    found = checkpoint.load(RunFolder(folder).checkpoints)
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    with fitting(found):
        learner.load_state_dict(found.parts["learner"])
    return Agent(learner.dynamics, learner.actor_critic, spaces, derive_seed(config.seed, Channel.LOADED_AGENT))


def task_spaces(config: Config) -> Spaces:
    env = make_env(config.task, config.envs, config.seed)
    try:
        return spaces_of(env)
    finally:
        env.close()


def resolve_device(config: Config) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch sees no GPU here")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def use_bfloat16(config: Config, device: torch.device) -> bool:
    return config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
