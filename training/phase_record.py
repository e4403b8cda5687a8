"""What a finished phase bought and found: all that later plans remember of it."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from ..budget.offers import LabelOffer
from ..budget.plan import Measured, Plan
from ..durable import whole_file


@dataclass(frozen=True)
class PhaseRecord:
    """Counts and coins are totals at the phase's end. Written before anything of the phase is looked at."""

    phase: int  # 0: the pilot
    step: int  # environment steps over all streams
    spent: float  # coins
    transitions: int
    labels: int
    spent_on_tiers: dict[str, float]  # coins, by tier of labels
    plan: Plan
    measured: Measured | None = None  # None where there was too little to measure on
    residual: float | None = None  # mean squared reward error that is no rater's noise, reward units squared
    clean_labels: float = 0.0  # what all labels are worth in labels of a perfect rater
    offers: tuple[LabelOffer, ...] = ()  # the ways to buy more labels; none: the default tier alone
    gaps: dict[str, float] = field(default_factory=dict)  # for the picture of bounds, return units
    raters: dict[str, dict[str, float]] = field(default_factory=dict)  # by tier: see `measurements.raters.told`

    def to_plain(self) -> dict:
        """Dicts, lists, numbers and text, for checkpoints and JSON."""
        return asdict(self) | {"plan": self.plan.record()}

    @classmethod
    def from_plain(cls, plain: dict) -> Self:
        known = {
            "plan": Plan.from_record(plain["plan"]),
            "measured": plain["measured"] and Measured.from_record(plain["measured"]),
            "offers": tuple(LabelOffer(**offer) for offer in plain["offers"]),
        }
        return cls(**plain | known)


def write_phases(history: list[PhaseRecord], path: Path) -> None:
    """A line of JSON a phase, null for what is no finite number; the file is replaced as a whole."""
    with whole_file(path, "w") as file:
        file.writelines(json.dumps(_finite(record.to_plain()), allow_nan=False) + "\n" for record in history)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
