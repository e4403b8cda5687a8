"""Where the best split lies at either end: tasks, the shares that are tried, and the methods held against them."""

from dataclasses import dataclass

from tandem.budget.plan import AllocatorConfig

SHARES = (5, 10, 20, 35, 50, 65, 80, 90)  # per cent of all spend that go to labels
METHODS = ("adaptive", "coupled")  # beside the shares; half each is share 50
# Nothing is annealed, so that an evaluation in mid-run tells what that money buys; errors are measured for `adaptive` alone.
COMMON = ("dynamics.free_nats=0.1", "train.anneal=false", "log.figures=false")
UNMEASURED = ("measure.samples=1", "measure.episodes=1", "measure.windows=1", "measure.labels=32")


@dataclass(frozen=True)
class Task:
    """A market: what is for sale, the money for it, and how much is computed."""

    name: str
    settings: tuple[str, ...]
    price: float  # of a label; a transition costs 1
    total: float
    updates: int
    random_return: float  # of uniform actions: the return that no coin buys
    doubled: tuple[int, ...]  # the shares that are tried with twice the updates too
    expected: str  # of the best share, written down before it was looked for
    measured: tuple[str, ...] = ()  # how much is measured for `adaptive`
    coupled: tuple[str, ...] = ()  # for `coupled`, where it could not pay for its pilot else

    @property
    def shares(self) -> tuple[int, ...]:
        """Those that pay for more labels than the pilot buys anyway, and at which no transition would need more than one."""
        least, most = AllocatorConfig().pilot_labels * self.price / self.total, self.price / (self.price + 1)
        return tuple(share for share in SHARES if least <= share / 100 <= most)

    @property
    def market(self) -> tuple[str, ...]:
        return (*self.settings, f"price.label={self.price:g}", f"budget.total={self.total:g}", *COMMON)

    def arguments(self, cell: str) -> tuple[str, ...]:
        """Of a cell: share_05, twice_05, adaptive or coupled."""
        kind, _, share = cell.partition("_")
        compute = f"train.updates={self.updates * (2 if kind == 'twice' else 1)}"
        if kind in METHODS:
            pilot = self.coupled if kind == "coupled" else ()
            return (*self.market, compute, f"allocator.name={kind}", *self.measured, *pilot)
        return (
            *self.market,
            compute,
            "allocator.name=fixed",
            f"allocator.label_share={int(share) / 100:g}",
            *UNMEASURED,
        )

    @property
    def cells(self) -> tuple[str, ...]:
        return (*map(share_cell, self.shares), *map(twice_cell, self.doubled), *METHODS)


def share_cell(share: int) -> str:
    return f"share_{share:02d}"


def twice_cell(share: int) -> str:
    """The same share with twice the updates."""
    return f"twice_{share:02d}"


SMALL = ("quick_pendulum", "envs.repeat=1", "dynamics.discount_horizon=20")
SHORT = ("train.batch=16", "train.length=8", "train.horizon=8", "evaluate.episodes=32", "evaluate.envs=32")
EPISODES = ("measure.episodes=32",)  # as many rows as 8 episodes of the other tasks have
PLANES = (*SMALL, *SHORT, "evaluate.final_episodes=32")
# A spot must be told from its neighbours: latents that decode well, and a reward model that can use them.
SHARP = (
    "dynamics.rec_scale=10",
    "dynamics.optimizer.lr=1.5e-3",
    *("reward.layers=2", "reward.units=128", "reward.optimizer.lr=1.5e-3"),
)
LONG = ("evaluate.episodes=8", "evaluate.envs=8")
TASKS = (
    Task(
        "gears",
        (*PLANES, *SHARP, "task=benchmarks.ends.worlds:Gears", "envs.time_limit=10"),
        *(1, 3_000, 3_000, 0.0, (5, 50), "below 15 %", EPISODES),
    ),
    Task(
        "hills",  # one rater, whose noise is four times what rewards differ by; how much it is has to be found out
        (
            *PLANES,
            "task=benchmarks.ends.worlds:Hills",
            "envs.time_limit=15",
            "labeler.tiers={crowd:{price:10,sigma:4}}",
        ),
        *(10, 10_000, 3_000, 0.2, (50, 80), "above 60 %", EPISODES),
    ),
    Task(
        "pendulum",
        ("quick_pendulum", *LONG),
        *(10, 4_000, 1_500, -1250, (50,), "in between"),
        coupled=("envs.heldout_share=0",),  # with a held-out episode a batch's rows and labels cost more than there is
    ),
    Task("swingup", ("quickstart", *LONG), 10, 24_000, 4_000, 30, (50,), "in between"),
)
