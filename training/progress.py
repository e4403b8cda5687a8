"""Where a run's loop stands: all that a checkpoint must know beside the parts' own states."""

from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from ..budget.money import MICRO
from ..budget.plan import Plan
from .phase_record import PhaseRecord
from .reports.evaluate import Evaluation

# What a phase goes through. A run that goes on begins with the stage that it was in, and each can be begun again.
Stage = Literal["buy", "learn", "measure"]


@dataclass
class Progress:
    phases: int
    updates_per_coin: float  # 0 where train.ratio rules
    total: float  # coins that the phases were counted for
    phase: int = 0  # the one to do next, or under way
    stage: Stage = "buy"
    plan: Plan | None = None  # of the phase under way
    stock: list[int] = field(default_factory=lambda: [0, 0])  # transitions and labels held before that plan
    updates: int = 0
    start: float | None = None  # coins spent (or rows collected) when learning began
    history: list[PhaseRecord] = field(default_factory=list)  # of the finished phases
    evaluations: list[Evaluation] = field(default_factory=list)  # for a person to see

    def updates_in_all(self, total_micro: int) -> int:
        """That a budget of so many micro-coins pays for; 0 where train.ratio rules. A raised budget brings more."""
        return round(self.updates_per_coin * total_micro / MICRO)

    @property
    def is_over(self) -> bool:
        return self.phase > self.phases

    def state_dict(self) -> dict:
        """Plain numbers, text, lists and dicts."""
        history = [record.to_plain() for record in self.history]
        return asdict(self) | {"plan": self.plan and self.plan.record(), "history": history}

    def load_state_dict(self, state: dict) -> None:
        """ValueError where a checkpoint knows other things. What versions 0.1 and 0.2 saved is understood."""
        if "evaluations" not in state:
            state = _of_version_0_1(state)
        state = {"stage": "buy"} | state  # version 0.2 did not keep it
        if state.keys() != (known := {one.name for one in fields(self)}):
            raise ValueError(f"progress: the checkpoint holds {sorted(state)}, expected {sorted(known)}")
        for name, value in state.items():
            setattr(self, name, value)
        self.plan = state["plan"] and Plan.from_record(state["plan"])
        self.history = [PhaseRecord.from_plain(record) for record in state["history"]]
        self.evaluations = [Evaluation(**one) for one in state["evaluations"]]


def _of_version_0_1(state: dict) -> dict:
    """In 0.1 one row a phase held both what it found and what its evaluation returned."""
    returns = ("returns_mode", "returns_sampled")
    evaluations = [{name: row[name] for name in ("phase", "spent", *returns)} for row in state["history"]]
    known = {one.name for one in fields(PhaseRecord)}
    history = [{name: row[name] for name in known & row.keys()} | {"offers": []} for row in state["history"]]
    return state | {"history": history, "evaluations": evaluations}
