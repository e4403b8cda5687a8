"""What dreams are compared under: tasks, and settings of the dynamics model."""

from dataclasses import dataclass

BASELINE = "free_nats_1"  # as the presets stood when this was written
BEST = ("dynamics.free_nats=0.1",)
SETTINGS = {
    "free_nats_1": ("dynamics.free_nats=1",),
    "free_nats_0.3": ("dynamics.free_nats=0.3",),
    "free_nats_0.1": BEST,
    "free_nats_0": ("dynamics.free_nats=0",),
    "rec_10": ("dynamics.free_nats=1", "dynamics.rec_scale=10"),
    # One at a time around what did best of these.
    "best_rec_10": (*BEST, "dynamics.rec_scale=10"),
    "best_groups_4": (*BEST, "dynamics.stoch=4"),
    "best_groups_16": (*BEST, "dynamics.stoch=16"),
    "best_classes_16": (*BEST, "dynamics.classes=16"),
    "best_unimix_0": (*BEST, "dynamics.unimix=0"),
    "best_horizon_6": (*BEST, "train.horizon=6"),
    "best_horizon_18": (*BEST, "train.horizon=18"),
    "best_lr_2e-3": (*BEST, "dynamics.optimizer.lr=2e-3"),
}
# Half each; measuring while training is kept short, for it is done anew afterwards; every phase's models are kept.
COMMON = (
    *("allocator.name=fixed", "train.anneal=false", "evaluate.episodes=8", "evaluate.envs=8", "log.figures=false"),
    *("measure.samples=1", "measure.episodes=1", "measure.windows=1", "measure.labels=32", "measure.snapshots=100"),
)


@dataclass(frozen=True)
class Task:
    """A market, how much is computed, and the return that counts as good."""

    name: str
    settings: tuple[str, ...]
    random_return: float  # of uniform actions
    good_return: float  # the target in docs/benchmarks.md or, for the tasks of allocators.py, the best that it found

    @property
    def level(self) -> float:
        """90 % of the way from random actions to the good return."""
        return self.random_return + 0.9 * (self.good_return - self.random_return)


TASKS = (
    Task("pendulum", ("quick_pendulum", "price.label=10", "budget.total=4000", "train.updates=1500"), -1250, -171),
    Task("balance", ("quick_balance", "price.label=10", "budget.total=10000", "train.updates=2500"), 250, 950),
    Task("cartpole", ("quick_cartpole", "price.label=10", "budget.total=10000", "train.updates=2500"), 22, 400),
    Task("swingup", ("quickstart", "price.label=10", "budget.total=24000", "train.updates=4000"), 30, 748),
)
