"""The root of the configuration: what can be set, and the checks that span sections.

Every part takes its own dataclass, which lives beside the class it configures; settings.py fills them.
"""

from dataclasses import dataclass, field
from typing import Literal

from ..agents.actor_critic import ActorCriticConfig
from ..budget.money import BudgetConfig, PriceConfig
from ..budget.plan import AllocatorConfig
from ..envs.labelers.base import LabelerConfig
from ..envs.make import EnvConfig
from ..errors import Damaged, UserError
from ..worldmodel.dynamics import DynamicsConfig
from ..worldmodel.replay.labels import LabelReplayConfig
from ..worldmodel.replay.transitions import ReplayConfig
from ..worldmodel.reward import RewardConfig
from .execution.execution import RuntimeConfig
from .learner import TrainConfig
from .measurements.findings import MeasureConfig
from .reports.evaluate import EvaluateConfig
from .reports.logger import LogConfig
from .storage.folder import RunConfig
from .storage.keeper import CheckpointConfig
from .storage.stock.settings import DataConfig

MOST_THREADS = 4096  # torch takes more, and then starts them


class ConfigError(UserError):
    """A setting that cannot be used. The message is one line: the key, what is wrong, where the setting came from."""


class DamagedConfig(ConfigError, Damaged):
    """The saved configuration of a run that cannot be used."""


@dataclass(frozen=True)
class Config:
    """Everything that can be set, one section a part."""

    task: str = "dmc_cartpole_swingup"  # dmc_<domain>_<task>, atari_<game>, crafter_reward, gym:<Id>, module:Class
    seed: int = 0  # of everything that is drawn by chance
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on a GPU
    threads: int = 0  # of torch; 0: torch's own choice
    mode: Literal["decoupled", "coupled"] = "decoupled"  # coupled: DreamerV3 as published, a label for every transition
    run: RunConfig = field(default_factory=RunConfig)  # where the run is kept
    envs: EnvConfig = field(default_factory=EnvConfig)  # how many, action repeat, time limit, held-out share
    budget: BudgetConfig = field(default_factory=BudgetConfig)  # coins there are to spend
    price: PriceConfig = field(default_factory=PriceConfig)  # coins for a transition and for a label
    allocator: AllocatorConfig = field(default_factory=AllocatorConfig)  # who decides what the coins buy
    labeler: LabelerConfig = field(default_factory=LabelerConfig)  # who answers: one rater, or tiers of raters
    replay: ReplayConfig = field(default_factory=ReplayConfig)  # how many transitions are held
    labels: LabelReplayConfig = field(default_factory=LabelReplayConfig)  # how many are held, which rows are asked
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)  # the model of what happens next
    reward: RewardConfig = field(default_factory=RewardConfig)  # the model of what it is worth
    actor_critic: ActorCriticConfig = field(default_factory=ActorCriticConfig)  # the agent: size, return, exploration
    train: TrainConfig = field(default_factory=TrainConfig)  # how much is learned: updates, batches, dreams
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)  # how updates are executed: compiled, as CUDA graphs
    measure: MeasureConfig = field(default_factory=MeasureConfig)  # how closely errors are measured
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)  # episodes for your eyes, that nothing learns from
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)  # how often the run is saved
    data: DataConfig = field(default_factory=DataConfig)  # what the run begins with, bought elsewhere
    log: LogConfig = field(default_factory=LogConfig)  # terminal lines and pictures

    def __post_init__(self):
        if not self.task:
            raise ValueError("task: must name an environment, got nothing")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: must be between 0 and 2**32 - 1, got {self.seed}")
        if not 0 <= self.threads <= MOST_THREADS:
            raise ValueError(f"threads: must be from 0 to {MOST_THREADS}, got {self.threads}")
        if self.mode == "coupled" and self.allocator.name != "coupled":
            raise ValueError(f"allocator.name: must be coupled where mode=coupled, got {self.allocator.name}")
        for name in ("labels", "transitions"):
            if self.mode == "coupled" and getattr(self.data, name):
                raise ValueError(
                    f"data.{name}: is for mode=decoupled: coupled mode pays for a label at every transition"
                )
        if not self.data.collect:
            self._check_offline()
        if self.data.price_label is not None and (self.labeler.tiers or self.labeler.asks_people):
            raise ValueError(
                "data.price_label: is for labels at one price: tiers have their own, and people their wage"
            )
        if self.replay.capacity < self.train.batch * self.train.length:
            least = self.train.batch * self.train.length
            raise ValueError(f"replay.capacity: must hold a batch of {least} rows, got {self.replay.capacity}")
        if self.mode == "coupled" and self.envs.heldout_share > 0:
            raise ValueError(f"envs.heldout_share: must be 0 where mode=coupled, got {self.envs.heldout_share}")
        if self.allocator.name == "adaptive" and not self.envs.heldout_share:
            raise ValueError(
                "envs.heldout_share: must be above 0 where allocator.name=adaptive: errors are measured there"
            )
        if self.allocator.name == "adaptive" and self.reward.members < 2:
            raise ValueError(
                "reward.members: must be 2 or more where allocator.name=adaptive, to score by another, got 1"
            )
        if self.labels.choice == "disagreement" and (self.mode == "coupled" or self.reward.members < 2):
            why = f"mode={self.mode} and reward.members={self.reward.members}"
            raise ValueError(f"labels.choice: must be uniform without an ensemble of the decoupled mode, got {why}")
        if self.mode == "coupled" and self.labeler.asks_people:
            raise ValueError("labeler.name: people answer where mode=decoupled, not for a label at every transition")
        if self.mode == "coupled" and self.labeler.kind != "step":
            raise ValueError(f"labeler.kind: must be step where mode=coupled, got {self.labeler.kind}")
        if self.mode == "coupled" and self.labeler.tiers:
            raise ValueError(f"labeler.tiers: must be none where mode=coupled, got {', '.join(self.labeler.tiers)}")

    def _check_offline(self) -> None:
        """Where nothing is collected."""
        if self.train.ratio is not None:
            raise ValueError("data.collect: false needs train.updates: train.ratio counts rows that are collected")
        if self.evaluate.borrow:
            raise ValueError("evaluate.borrow: there are no training environments to borrow where data.collect=false")
