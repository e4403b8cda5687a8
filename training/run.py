"""A run: all its parts in one record. Only the loop, its pace and what puts a run together see it."""

from dataclasses import dataclass, field
from typing import IO

import numpy as np
import torch

from ..agents.agent import Agent
from ..budget.ledger import Ledger
from ..budget.plan import Allocator, Evidence
from ..envs.records import Spaces
from ..worldmodel.replay.label_store import LabelStore
from ..worldmodel.replay.transitions import TransitionReplay
from .config import Config
from .learner import Learner
from .measurements.evidence import Stock, Terms, evidence
from .measurements.findings import Measurer
from .models import Models
from .progress import Progress
from .purchases.labels import LabelDesk
from .purchases.transitions import Collector
from .reports.logger import Logger
from .reports.look import Onlooker
from .stop import Stop
from .storage import checkpoint
from .storage.checkpoint import RandomStates
from .storage.folder import RunFolder
from .storage.restore import Part


@dataclass
class Run:
    config: Config
    folder: RunFolder
    spaces: Spaces
    device: torch.device
    learner: Learner
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
    lock: IO  # held while the run is open
    stop: Stop = field(default_factory=Stop)

    def parts(self) -> dict[str, Part]:
        """Everything that is neither in the ledger nor in the journals: what a checkpoint holds."""
        generators = {"numpy": self.numpy_rng, "noise": self.noise_rng, "agent": self.agent.generator}
        return {
            "learner": self.learner,
            "transitions": self.transitions,
            "labels": self.labels,
            "progress": self.progress,
            "rng": RandomStates(generators),
        }

    def save(self) -> None:
        checkpoint.save(self.folder.checkpoints, self.env_steps, self.parts())

    def evidence(self) -> Evidence:
        """What an allocator would be told now."""
        stock = Stock(
            transitions=self.ledger.units("transition"),
            labels=self.desk.num_bought,
            rows_asked=self.desk.num_items,
            pending=len(self.labels.pending),
        )
        last = self.progress.history[-1] if self.progress.history else None
        return evidence(self.terms, self.progress.phase, self.progress.phases, stock, last)

    @property
    def models(self) -> Models:
        return Models.of(self.learner)

    @property
    def env_steps(self) -> int:
        return self.transitions.received * self.config.envs.repeat

    def close(self) -> None:
        self.collector.env.close()
        self.logger.close()
        self.ledger.close()
        self.lock.close()
