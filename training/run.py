"""A run: all its parts in one record, and where its loop stands."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import torch

from ..agents.agent import Agent
from ..budget.allocator import Allocator
from ..budget.ledger import Ledger
from ..budget.money import MICRO
from ..envs.records import Spaces
from ..worldmodel.replay.label_column import LabelColumn
from ..worldmodel.replay.labels import LabelReplay
from ..worldmodel.replay.transitions import TransitionReplay
from .config import Config
from .learner import Learner
from .measurements.snapshots import Snapshots
from .purchases.labels import LabelDesk
from .purchases.transitions import Collector
from .reports.evaluate import Evaluator
from .reports.logger import Logger
from .stop import Stop
from .storage import checkpoint


@dataclass
class Progress:
    """Where the loop stands: all that a checkpoint must know beside the parts' own states. Plain numbers and lists."""

    phases: int
    updates_per_coin: float  # 0 where train.ratio rules
    total: float  # coins that the phases were counted for
    phase: int = 0  # the one to do next, or under way
    plan: dict | None = None  # of the phase under way
    stock: list[int] = field(default_factory=lambda: [0, 0])  # transitions and labels held before that plan
    updates: int = 0
    start: float | None = None  # coins spent (or rows collected) when learning began
    history: list[dict] = field(default_factory=list)  # a row a finished phase

    def updates_in_all(self, total_micro: int) -> int:
        """That a budget of so many micro-coins pays for; 0 where train.ratio rules. A raised budget brings more."""
        return round(self.updates_per_coin * total_micro / MICRO)

    def state_dict(self) -> dict:
        return asdict(self)


@dataclass
class Run:
    """All parts of a run."""

    config: Config
    folder: Path
    spaces: Spaces
    device: torch.device
    learner: Learner
    agent: Agent
    collector: Collector
    transitions: TransitionReplay
    labels: LabelReplay | LabelColumn
    desk: LabelDesk
    ledger: Ledger
    allocator: Allocator
    evaluator: Evaluator
    logger: Logger
    snapshots: Snapshots
    progress: Progress
    numpy_rng: np.random.Generator
    noise_rng: torch.Generator
    lock: IO  # held while the run is open
    stop: Stop = field(default_factory=Stop)

    def generators(self) -> dict:
        return {"numpy": self.numpy_rng, "noise": self.noise_rng, "agent": self.agent.generator}

    def save(self) -> None:
        """A checkpoint of everything that is not in the ledger and the chunks."""
        parts = {
            "learner": self.learner,
            "transitions": self.transitions,
            "progress": self.progress,
            "rng": checkpoint.rng_state(self.generators()),
        }
        if isinstance(self.labels, LabelReplay):
            parts["labels"] = self.labels
        checkpoint.save(self.folder / "checkpoints", self.env_steps, parts)

    @property
    def env_steps(self) -> int:
        return self.transitions.received * self.config.envs.repeat

    def close(self) -> None:
        self.collector.env.close()
        self.logger.close()
        self.ledger.close()
        self.lock.close()
