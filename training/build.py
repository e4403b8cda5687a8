"""Putting a run together: every part made from its own section of the configuration, fresh or from a run's folder."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import torch

from ..agents.actor_critic import ActorCritic
from ..agents.agent import Agent
from ..budget.allocator import check_budget, make_allocator
from ..budget.ledger import Ledger
from ..budget.money import MICRO, price_in_micro, to_micro
from ..envs.labelers.base import DEFAULT, make_labeler
from ..envs.make import make_env, spaces_of
from ..envs.records import Spaces
from ..envs.vault import RewardVault
from ..envs.vector import VectorEnv
from ..seeds import Channel, derive_seed
from ..worldmodel.dynamics import DynamicsModel
from ..worldmodel.replay.journal.labels import LabelJournal
from ..worldmodel.replay.journal.npz import ChunkError
from ..worldmodel.replay.journal.transitions import refill
from ..worldmodel.replay.label_column import LabelColumn
from ..worldmodel.replay.labels import LabelReplay
from ..worldmodel.replay.transitions import TransitionReplay
from ..worldmodel.reward import RewardModel
from .config import Config, ConfigError, read_config, save_config
from .learner import Learner
from .measurements.evidence import make_evidence
from .measurements.raters import tier_prices
from .measurements.snapshots import Snapshots
from .purchases.choice import Choice
from .purchases.labels import LabelDesk
from .purchases.transitions import Collector, reconcile_transitions
from .reports.evaluate import Evaluator
from .reports.logger import Logger
from .run import Progress, Run
from .storage import checkpoint
from .storage.folder import SAVED_AS


def build(config: Config, is_resumed: bool) -> Run:
    """Everything that training needs. A new run's folder is made here, after all that can be wrong has been checked."""
    folder = Path(config.run.dir)
    device = resolve_device(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    spaces = task_spaces(config)
    if not is_resumed:
        check_pilot(config)
        make_folder(config, folder)
    lock = hold(folder)
    ledger = open_ledger(config, folder)
    torch.manual_seed(config.seed)
    learner = make_learner(config, spaces, device)
    vault, desk = open_data(config, folder, spaces, ledger, learner)
    transitions = desk.transitions
    env = VectorEnv(config.task, config.envs, config.seed, vault, transitions.next_step, transitions.next_episode)
    run = Run(
        config=config,
        folder=folder,
        spaces=spaces,
        device=device,
        learner=learner,
        agent=Agent(learner.dynamics, learner.actor_critic, spaces, derive_seed(config.seed, Channel.AGENT)),
        collector=Collector(env, vault, transitions, ledger, folder, has_returns=config.mode == "coupled"),
        transitions=transitions,
        labels=desk.labels,
        desk=desk,
        ledger=ledger,
        allocator=make_allocator(config.allocator),
        evaluator=Evaluator(config.task, config.envs, config.evaluate, config.seed),
        logger=Logger(folder, config.log),
        snapshots=Snapshots(folder / "snapshots", config.measure.snapshots),
        progress=first_progress(config, ledger),
        numpy_rng=np.random.default_rng(derive_seed(config.seed, Channel.DRAWS)),
        noise_rng=torch.Generator(device).manual_seed(derive_seed(config.seed, Channel.NOISE)),
        lock=lock,
    )
    if is_resumed:
        restore(run)
    return run


def check_pilot(config: Config) -> None:
    """UserError naming budget.total where it cannot pay for the pilot."""
    evidence = make_evidence(config, phase=0, phases=config.allocator.phases, transitions=0, labels=0)
    check_budget(config.allocator, evidence, to_micro(config.budget.total), config.price.in_micro())


def open_ledger(config: Config, folder: Path) -> Ledger:
    ledger = Ledger.open(folder / "ledger.db")
    if ledger.prices != config.price.in_micro():
        raise ConfigError(f"price: {folder / SAVED_AS} says other prices than the ledger, which has {ledger.prices}")
    return ledger


def open_data(
    config: Config, folder: Path, spaces: Spaces, ledger: Ledger, learner: Learner
) -> tuple[RewardVault, LabelDesk]:
    """The replays filled with what the disk holds, and the accounts brought in line with it."""
    latent = (config.dynamics.deter, config.dynamics.stoch)
    transitions = TransitionReplay(config.replay, spaces, config.envs.num, config.train.length, *latent)
    if config.mode == "coupled":
        labels = LabelColumn(config.envs.num)
    else:
        labels = LabelReplay(config.labels, spaces, *latent, tiers=(DEFAULT, *config.labeler.tiers))
    vault = RewardVault()
    vault.load(folder / "vault")
    reconcile_transitions(ledger, folder)
    refill(transitions, folder / "transitions")
    labeler = make_labeler(config.labeler, vault, config.seed)
    desk = LabelDesk(
        transitions,
        labels,
        labeler,
        ledger,
        LabelJournal(folder / "labels"),
        config.labels.burn_in,
        tier_prices(config.labeler),
        price_in_micro(config.labeler.item_price),
        Choice(learner.reward, learner.dynamics, config.labels.uniform)
        if config.labels.choice == "disagreement"
        else None,
    )
    desk.reopen()
    check_received(folder, ledger, transitions, labels)
    return vault, desk


def first_progress(config: Config, ledger: Ledger) -> Progress:
    rate = config.train.updates * MICRO / ledger.total if config.train.updates else 0.0
    first_phase = 1 if config.mode == "coupled" else 0  # as published: no pilot
    return Progress(config.allocator.phases, rate, config.budget.total, phase=first_phase)


def restore(run: Run) -> None:
    """Put the newest whole checkpoint back; a run that was killed before its first begins anew with what it bought."""
    if not checkpoint.list_checkpoints(run.folder / "checkpoints"):
        run.logger.line("no checkpoint yet: learning starts anew with everything that was bought")
        return
    found = checkpoint.load(run.folder / "checkpoints")
    for warning in found.warnings:
        run.logger.line(f"warning: {warning}")
    parts = found.parts
    expected = {"learner", "transitions", "progress", "rng"} | (
        {"labels"} if isinstance(run.labels, LabelReplay) else set()
    )
    if parts.keys() != expected:
        raise checkpoint.CheckpointError(f"{found.path}: holds {sorted(parts)}, expected {sorted(expected)}")
    with fitting(found):
        run.learner.load_state_dict(parts["learner"])
        run.transitions.load_state_dict(parts["transitions"])
        if "labels" in parts:
            run.labels.load_state_dict(parts["labels"])
        run.progress = Progress(**parts["progress"])
    checkpoint.set_rng_state(parts["rng"], run.generators())


@contextmanager
def fitting(found: checkpoint.Checkpoint) -> Iterator[None]:
    """CheckpointError for parts that do not take what the checkpoint holds."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, KeyError) as error:  # torch and dataclasses say it each in their way
        raise checkpoint.CheckpointError(
            f"{found.path}: does not fit the run's {SAVED_AS} and data: {error}"
        ) from error


def hold(folder: Path) -> IO:
    """A lock on the run's folder, so that two processes never spend from one purse. It ends with the process."""
    lock = open(folder / "lock", "w")  # noqa: SIM115  closed by Run.close
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ConfigError(f"run.dir: another process is training the run in {folder}") from error
    return lock


def check_received(folder: Path, ledger: Ledger, transitions: TransitionReplay, labels: LabelReplay | LabelColumn):
    """What the ledger sold is what the replays received; anything else means that files of the run are missing."""
    sold = ledger.units("transition"), ledger.units("label")
    received = transitions.received, labels.received
    if sold != received:
        raise ChunkError(f"{folder}: transitions and labels sold {sold}, found on disk {received}: files are missing")


def make_learner(config: Config, spaces: Spaces, device: torch.device) -> Learner:
    dynamics = DynamicsModel(config.dynamics, spaces)
    reward_config = config.reward
    if config.mode == "coupled":
        reward_config = replace(
            reward_config, members=1
        )  # as published; folds mean nothing where every row has a label
    reward = RewardModel(reward_config, config.dynamics.feat_size)
    actor_critic = ActorCritic(config.actor_critic, spaces, config.dynamics.feat_size, config.dynamics.discount)
    models = [model.to(device) for model in (dynamics, reward, actor_critic)]
    anneal = config.train.updates if config.train.anneal else 0
    return Learner(*models, use_bfloat16(config, device), anneal)


def load_agent(folder: Path) -> Agent:
    """The agent of a run's newest checkpoint, on the CPU."""
    config = read_config(folder / SAVED_AS)
    device = torch.device("cpu")
    spaces = task_spaces(config)
    learner = make_learner(replace(config, precision="float32"), spaces, device)
    found = checkpoint.load(folder / "checkpoints")
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


def make_folder(config: Config, folder: Path) -> None:
    """A crash half way leaves a folder that is no run yet, and in which nothing was bought: it can be made again."""
    for name in ("vault", "transitions", "labels", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / "ledger.db"
    if path.exists():
        with closing(Ledger.open(path)) as old:
            if old.remaining != old.total:
                raise ConfigError(f"run.dir: {folder} has a ledger with purchases but no {SAVED_AS}: choose another")
        path.unlink()
    Ledger.create(path, to_micro(config.budget.total), config.price.in_micro()).close()
    save_config(config, folder / SAVED_AS)  # last: its presence makes the folder a run


def resolve_device(config: Config) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch sees no GPU here")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def use_bfloat16(config: Config, device: torch.device) -> bool:
    return config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
