"""Putting a run together: every part made from its own section of the configuration, fresh or from a run's folder."""

import random
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from ..agents.actor_critic import ActorCritic
from ..agents.agent import Agent
from ..budget.allocator import make_allocator
from ..budget.books.rebuild import upgrade
from ..budget.ledger import Ledger
from ..budget.money import MICRO, to_micro
from ..budget.phase import check_budget, money_for_labels
from ..budget.plan import Allocator
from ..envs.labelers.base import Labeler
from ..envs.labelers.make import make_labeler
from ..envs.labelers.question_keys import DEFAULT
from ..envs.make import episode_length, make_env, spaces_of
from ..envs.pool import look_at
from ..envs.probe import look
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
from ..worldmodel.replay.label_column import LabelColumn
from ..worldmodel.replay.label_form import LabelForm
from ..worldmodel.replay.label_store import LabelStore
from ..worldmodel.replay.labels import LabelReplay
from ..worldmodel.replay.tick import Ticks
from ..worldmodel.replay.transitions import TransitionReplay
from ..worldmodel.reward import RewardModel
from .config import Config, ConfigError
from .execution.execution import capture_policy, make_execution
from .forecast.forecast import foresee
from .learner import Learner
from .measurements.evidence import Stock, Terms, evidence
from .measurements.findings import Measurer
from .measurements.snapshots import Snapshots
from .models import Models
from .progress import Progress
from .purchases.choice import Choice
from .purchases.desk import drawer_for, open_desk
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
from .storage.folder import SAVED_AS, RunFolder
from .storage.keeper import Keeper
from .storage.older import bring_over
from .storage.restore import Standpoint, check_received, fitting, load_parts, reconcile_transitions, standpoint
from .storage.stock import Fit, load_stock, take_stock
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
    # The task is tried before anything is made: UserError where it does not keep to what it states.
    spaces, notes = look_at(config.task, config.envs, config.seed, partial(look, task=config.task))
    vault = RewardVault(folder.vault)
    reel = Reel(folder.sights, to_stderr) if config.labeler.is_looking else None
    labeler = make_labeler(config.labeler, vault, config.seed, folder.path, config.price.in_micro()["label"])
    allocator = make_allocator(config.allocator)
    if not is_resumed:
        check_pilot(config)
    seed_everything(config.seed)
    learner = make_learner(config, spaces, device)
    # What a run that goes on has on disk already is not told apart from what is to come.
    foreseen = foresee(config, spaces, learner, device, is_refused=not is_resumed and config.run.forecast == "refuse")
    lock = folder.hold()
    told = [foreseen, *([] if is_resumed else [f"warning: {note}" for note in notes])]
    try:
        if not is_resumed:
            make_folder(config, folder, spaces)
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


def make_folder(config: Config, folder: RunFolder, spaces: Spaces) -> None:
    """A new run's folder, its card first: the folder is a run only once its config.yaml is there."""
    text = to_yaml(config)
    if not folder.config.exists():
        card = signed(RunCard.made(text, spaces), config)
        card.write(folder.path)
        folder.checkpoints.mkdir(exist_ok=True)
        card.write(folder.checkpoints)  # to spare
    take_stock(folder, config.data, Fit(spaces, config.labeler, config.labels.burn_in, config.envs.num))
    folder.make(text, to_micro(config.budget.total), config.price.in_micro())


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
    transitions, labels = make_transitions(config, spaces), load_stock(folder, make_labels(config, spaces))
    later = refill(transitions, journal, begin.positions.ticks if begin.is_exact else None)
    drawer, entries = drawer_for(config.labeler, transitions, make_choice(config, learner)), LabelJournal(folder.labels)
    desk = open_desk(config.labeler, drawer, labels, labeler, ledger, entries, stop, reel)
    desk.reopen(begin.positions.entries if begin.is_exact else None)
    check_received(folder, ledger, journal.received, desk.num_answers, vault.num_rows, desk.waiting)
    logger = begin_logging(config, folder, begin.purge_step)
    env = make_envs(config, vault, reel, logger)
    run = Run(
        config=config,
        folder=folder,
        spaces=spaces,
        device=device,
        learner=learner,
        execution=make_execution(config.runtime, learner, device, logger.line),
        agent=make_agent(config, spaces, learner, logger),
        transitions=transitions,
        labels=labels,
        collector=Collector(env, vault, transitions, ledger, journal, stop, device, config.mode == "coupled", watch),
        desk=desk,
        ledger=ledger,
        allocator=allocator,
        terms=terms_of(config),
        measurer=make_measurer(config, folder, learner, transitions, labels, logger),
        onlooker=make_onlooker(config, spaces, learner, transitions, labels, logger, env),
        logger=logger,
        progress=first_progress(config, ledger),
        **generators(config.seed, device),
        keeper=Keeper(folder.checkpoints, config.checkpoint),
        stop=stop,
        lock=lock,
    )
    take_up(run, begin, later)
    return run


def generators(seed: int, device: torch.device) -> dict[str, Any]:
    """Those that a run draws from."""
    noise = torch.Generator(device).manual_seed(derive_seed(seed, Channel.NOISE))
    return {"numpy_rng": np.random.default_rng(derive_seed(seed, Channel.DRAWS)), "noise_rng": noise}


def take_up(run: Run, begin: Standpoint, later: list[Ticks]) -> None:
    """Put the run where it begins."""
    if begin.is_exact:
        run.ledger.rewind(begin.positions.ledger)
        run.collector.do_again(later)
        load_parts(begin, run.parts())
        if not begin.found:
            run.logger.cut(0)
        return
    reconcile_transitions(run.ledger, run.collector.journal, PREFIX)
    run.desk.reconcile()
    load_parts(begin, run.parts())
    run.collector.begin_anew()
    run.logger.line(
        "going on with everything that was bought; from here on it is not what an uninterrupted run would be"
    )
    run.save()


def seed_everything(seed: int) -> None:
    """The global generators: of our own code only torch draws from its own, for first weights; a person's code may."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


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
        label_micro=config.price.in_micro()["label"],
        label_money=money_for_labels(to_micro(config.budget.total)),
    )


def open_ledger(config: Config, folder: RunFolder) -> Ledger:
    upgrade(folder.ledger)  # one that an older version wrote
    ledger = Ledger.open(folder.ledger, is_only_writer=True)  # the run's lock is held
    written = config.price.in_micro()
    # What the ledger says counts. Version 0.1 rounded a price to the nearest micro-coin, which may be one less.
    if any(not 0 <= written[kind] - price <= 1 for kind, price in ledger.prices.items()):
        raise ConfigError(f"price: {folder.config} says other prices than the ledger, which has {ledger.prices}")
    return ledger


def make_transitions(config: Config, spaces: Spaces) -> TransitionReplay:
    latent = (config.dynamics.deter, config.dynamics.stoch)
    return TransitionReplay(config.replay, spaces, config.envs.num, config.train.length, *latent, scratch_of(config))


def scratch_of(config: Config) -> Path | None:
    """The folder of rows that are mapped; None: they lie in memory."""
    return Path(config.replay.folder or config.run.dir) if config.replay.storage == "mmap" else None


def make_labels(config: Config, spaces: Spaces) -> LabelStore:
    """Still empty: stock comes first, and then the desk fills it from its journal."""
    if config.mode == "coupled":
        return LabelColumn(config.envs.num)
    latent = (config.dynamics.deter, config.dynamics.stoch)
    tiers, members = (DEFAULT, *config.labeler.tiers), config.reward.members
    form = LabelForm(config.labeler.kind, config.labeler.rows)
    kept = {"folds": members, "latents": config.replay.latents, "scratch": scratch_of(config), "form": form}
    return LabelReplay(config.labels, spaces, *latent, tiers, **kept)


def make_envs(config: Config, vault: RewardVault, reel: Reel | None, logger: Logger) -> VectorEnv:
    """Those that training plays in. reel: takes the sights of their rows; None: nobody looks."""
    looks = config.labeler.look if reel else ""
    return VectorEnv(config.task, config.envs, config.seed, vault, logger.line, reel=reel, looks=looks)


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
        label_money=money_for_labels(to_micro(config.budget.total)),
    )


def make_onlooker(
    config: Config,
    spaces: Spaces,
    learner: Learner,
    transitions: TransitionReplay,
    labels: LabelStore,
    logger: Logger,
    env: VectorEnv,
) -> Onlooker:
    prices = config.price
    evaluator = Evaluator(config.task, config.envs, config.evaluate, config.seed, logger.line)
    evaluator.borrow(env)
    return Onlooker(
        models=Models.of(learner),
        spaces=spaces,
        transitions=transitions,
        labels=labels,
        evaluator=evaluator,
        logger=logger,
        coins=pictures.Coins(config.budget.total, prices.transition, prices.label, bool(config.labeler.tiers)),
        horizon=config.train.horizon,
        seed=config.seed,
        task=config.task,
        studio=Studio(logger.film, logger.line) if config.log.figures and config.log.films else None,
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
