"""A run as its folder tells it: settings, phases, true returns by what they cost, and every row of its metrics."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ..phase_record import PhaseRecord
from .configuration import read_configuration, setting
from .metrics import Metrics, Row, holds
from .phases import read_phases, rebuilt_phases


@dataclass(frozen=True)
class Evaluated:
    """True returns at a phase's end, means over its evaluation episodes, and all that had been paid for until then."""

    phase: int  # 0: the pilot
    step: int  # environment steps over all streams
    spent: float  # coins
    transitions: int
    labels: int
    updates: int  # as counted last
    hours: float  # that the run worked, waiting included, stops left out
    return_mode: float  # NaN where it was no finite number
    return_sampled: float


@dataclass(frozen=True)
class RunFiles:
    """What the folder of a run holds for a reader, finished or not, of any version. Damaged lines are counted and left out."""

    path: Path
    configuration: dict[str, Any]  # as saved: a setting of a later version is missing
    phases: tuple[PhaseRecord, ...]  # the finished ones
    metrics: Metrics
    damaged: tuple[str, ...]  # a line for a person, for each file of which something was left out
    is_history_whole: bool  # nothing was left out of what tells the phases

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a run's folder. UserError in one line where it is none; no torch, no code that the folder names."""
        configuration = read_configuration(path)
        metrics = Metrics.read(path / "metrics.jsonl")
        damaged = {"metrics.jsonl": metrics.num_damaged}
        has_records = (path / "phases.jsonl").is_file()
        if has_records:
            phases, damaged["phases.jsonl"] = read_phases(path / "phases.jsonl")
        else:
            phases = rebuilt_phases(metrics, _prices(configuration), _first_phase(configuration))
        told = tuple(
            f"{path / name}: {number} damaged line{'s' * (number != 1)} left out"
            for name, number in damaged.items()
            if number
        )
        is_whole = not damaged["phases.jsonl" if has_records else "metrics.jsonl"]
        return cls(path, configuration, phases, metrics, told, is_whole)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def task(self) -> str:
        return self.configuration["task"]

    @property
    def seed(self) -> int:
        return self.setting("seed", 0)

    @property
    def repeat(self) -> int:
        """Environment steps in a transition."""
        return self.setting("envs.repeat", 1)

    @property
    def prices(self) -> dict[str, float]:
        """Coins for a `transition` and for a `label` of the default tier."""
        return _prices(self.configuration)

    @property
    def is_over(self) -> bool:
        """Whether the last phase is done, and less than a phase's money is left."""
        total, phases = self.setting("budget.total", math.inf), self.setting("allocator.phases", 0)
        if not self.phases or self.phases[-1].phase < phases:
            return False
        return total - self.phases[-1].spent < total / (phases + 1)

    def setting(self, key: str, default: Any = None) -> Any:
        """Under a full key such as `envs.repeat`; the default where the version that saved it had no such setting."""
        return setting(self.configuration, key, default)

    @cached_property
    def evaluations(self) -> tuple[Evaluated, ...]:
        """In order, one a phase that was evaluated: the latest, where a phase was looked at again."""
        accounts = list(self.metrics.accounts())
        found: dict[int, Evaluated] = {}
        for place, row in enumerate(self.metrics.rows):
            if "eval/return" in row:
                following = max(found) + 1 if found else _first_phase(self.configuration)
                one = self._evaluated(place, row, accounts, following)
                found[one.phase] = one
        return tuple(sorted(found.values(), key=lambda one: one.phase))

    def _evaluated(self, place: int, row: Row, accounts: list[tuple[int, Row, float]], following: int) -> Evaluated:
        """The account that follows is of the same phase's end; a run that was cut off between the two has one before.

        following: the phase, where no record tells which: one that has no evaluation yet, so that none is replaced.
        """
        after = next(((account, hours) for at, account, hours in accounts if at > place), None)
        account, hours = after or (accounts[-1][1:] if accounts else ({}, 0.0))
        spent = row["budget/spent"] if holds(row, "budget/spent") else account.get("budget/spent", 0.0)
        same = [one for one in self.phases if one.step == row["step"] and math.isclose(one.spent, spent, abs_tol=1e-6)]
        phase = same[-1] if same else None
        return Evaluated(
            phase=phase.phase if phase else following,
            step=int(row["step"]),
            spent=spent,
            transitions=phase.transitions if phase else int(account.get("budget/transitions", 0)),
            labels=phase.labels if phase else int(account.get("budget/labels", 0)),
            updates=int(account.get("train/updates", 0)),
            hours=hours,
            return_mode=row["eval/return"],
            return_sampled=row.get("eval/return_sampled", math.nan),
        )


def _first_phase(configuration: dict[str, Any]) -> int:
    """Coupled runs have no pilot, as published."""
    return 1 if configuration.get("mode") == "coupled" else 0


def _prices(configuration: dict[str, Any]) -> dict[str, float]:
    return {kind: setting(configuration, f"price.{kind}", 1.0) for kind in ("transition", "label")}
