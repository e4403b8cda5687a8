"""A run: all its parts in one record. Only the loop, its pace and what puts a run together see it."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import IO

import numpy as np
import torch

from ..agents.agent import Agent
from ..budget.ledger import Ledger
from ..budget.money import to_micro
from ..budget.plan import Allocator, Evidence
from ..envs.records import Spaces
from ..frames import FrameLog
from ..watch import Laps, Watch
from ..worldmodel.replay.label_store import LabelStore
from ..worldmodel.replay.transitions import TransitionReplay
from .config import Config
from .execution.execution import Execution
from .learner import Learner
from .measurements.evidence import Stock, Terms, evidence
from .measurements.findings import Measurer
from .models import Models
from .parallel.team import Solo
from .progress import Progress
from .purchases.labels import LabelDesk
from .purchases.transitions import Collector
from .purchases.waiting import Waiting
from .reports.logger import Logger
from .reports.look import Onlooker
from .settings import to_yaml
from .stop import Stop
from .storage import checkpoint
from .storage.checkpoint import CheckpointError, Content, RandomStates
from .storage.dumps import Recorder
from .storage.folder import RunFolder
from .storage.keeper import Keeper
from .storage.restore import Part, Positions
from .storage.stock.stock import StockCard


@dataclass
class Run:
    config: Config
    folder: RunFolder
    spaces: Spaces
    device: torch.device
    learner: Learner
    execution: Execution  # of the learner's updates
    agent: Agent
    transitions: TransitionReplay
    labels: LabelStore
    collector: Collector
    desk: LabelDesk
    ledger: Ledger
    allocator: Allocator
    terms: Terms
    measurer: Measurer | None  # None in coupled mode, which allocates nothing and measures nothing
    onlooker: Onlooker
    logger: Logger
    progress: Progress
    numpy_rng: np.random.Generator
    noise_rng: torch.Generator
    keeper: Keeper
    stop: Stop
    stock: StockCard  # what was there before the run
    lock: IO  # held while the run is open
    recorder: Recorder = field(default_factory=Recorder)
    team: Solo = field(default_factory=Solo)
    waiting: Waiting = field(init=False)  # for those who answer
    row_laps: Laps = field(init=False)  # between two rows of metrics
    phase_laps: Laps = field(init=False)  # between the ends of two phases, or since the run went on

    def __post_init__(self):
        self.waiting = Waiting(self.config.labeler.ahead, self.config.labeler.patience)
        self.row_laps, self.phase_laps = Laps(self.watch), Laps(self.watch)

    @cached_property
    def settings(self) -> str:
        """The configuration as YAML, which takes a fifth of a second to write."""
        return to_yaml(self.config)

    def parts(self) -> dict[str, Part]:
        """Everything that is neither in the ledger nor in the journals: what a checkpoint holds beside the positions there."""
        generators = {"numpy": self.numpy_rng, "noise": self.noise_rng, "agent": self.agent.generator}
        return {
            "learner": self.learner,
            "transitions": self.transitions,
            "labels": self.labels,
            "collector": self.collector,
            "desk": self.desk,
            "progress": self.progress,
            "logger": self.logger,
            "rng": RandomStates(generators),
        }

    def save(self, is_milestone: bool = False, is_awaited: bool = True) -> None:
        """Keep everything, on disk when this returns or, where it is not awaited, soon. CheckpointError says what is wrong."""
        with self.watch("checkpoint"):
            self.keeper.save(partial(self._content, is_milestone), is_awaited)

    def _content(self, is_milestone: bool) -> Content:
        self.collector.write()
        for log in (*self.logs(), self.logger):
            log.sync()
        self.team.check(self.learner)
        if not self.learner.is_finite():
            raise CheckpointError(
                f"{self.folder.path}: not saved, a model holds numbers that are not finite; --resume goes on from the last "
                f"checkpoint, which holds none"
            )
        positions = Positions(
            self.collector.journal.count - len(self.collector.ahead),
            self.desk.journal.count - len(self.desk.ahead),
            self.ledger.position,
        )
        return checkpoint.content(
            self.env_steps,
            {**self.parts(), "positions": positions.to_plain()},
            settings=self.settings,
            covers=self.folder.hashes(self.logs()),
            is_milestone=is_milestone,
        )

    def evidence(self) -> Evidence:
        """What an allocator would be told now."""
        stock = Stock(
            transitions=self.ledger.units("transition"),
            labels=self.desk.num_bought,
            rows_asked=self.desk.num_items,
            pending=len(self.labels.pending),
            label_price_micro=self.desk.label_price,
            transitions_micro=self._spent_on_transitions,
        )
        last = self.progress.history[-1] if self.progress.history else None
        return evidence(self.terms, self.progress.phase, self.progress.phases, stock, last)

    @property
    def stock_price_micro(self) -> int:
        """Micro-coins for a transition of the stock."""
        return to_micro(self.config.data.price_transition)

    @property
    def _spent_on_transitions(self) -> int:
        own = self.ledger.units("transition") - self.stock.transitions
        return own * self.ledger.prices["transition"] + self.stock.transitions * self.stock_price_micro

    @property
    def watch(self) -> Watch:
        """Where this process spends its time, in parts as reports/status.py names them."""
        return self.collector.watch

    @property
    def models(self) -> Models:
        return Models.of(self.learner)

    @property
    def env_steps(self) -> int:
        """That were played, those of the stock not counted; where nothing is collected, the updates in their place."""
        if not self.config.data.collect:
            return self.progress.updates
        return (self.transitions.received - self.stock.transitions) * self.config.envs.repeat

    def close(self) -> None:
        with ExitStack() as last:  # each of them, whatever another one raises
            for one in (
                self.lock,
                self.ledger,
                self.logger,
                *self.logs(),
                self.collector.env,
                self.onlooker,
                self.desk,
            ):
                last.callback(one.close)
            last.callback(self.keeper.wait)  # first: the lock must not end before the checkpoint under way is written

    def logs(self) -> list[FrameLog]:
        """The append-only logs on disk."""
        vault = self.collector.vault.log
        assert vault is not None, "a run's vault is kept"
        return [self.collector.journal.log, self.desk.journal.log, vault]
