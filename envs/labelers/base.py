"""What a labeler is, and what can be set about it."""

import math
import re
from dataclasses import dataclass, field
from typing import Protocol

from ...outside import check_name, is_class
from ..records import Answer, Declined, Question
from .rater import TierConfig

DEFAULT = "default"
LABELERS = ("env_reward", "noisy")  # those of ours


@dataclass(frozen=True)
class LabelerConfig:
    name: str = "env_reward"  # env_reward, noisy or module:Class of your own. Answers the default tier, at price.label
    sigma: float = 1.0  # standard deviation of the noise, in reward units; noisy only
    delay: int = 0  # answers of ours arrive after this many further calls of collect: to try out late answers
    tiers: dict[str, TierConfig] = field(default_factory=dict)  # raters for sale instead of name at price.label
    gold: str = ""  # the tier that the others are held against; empty: the dearest
    patience: int = 100  # questions declined in a row, without an answer between, after which the run stops; 0: never
    item_price: float = 0.0  # coins for showing a row to the first of its raters; with tiers only

    def __post_init__(self):
        check_name(self.name, LABELERS)
        for name in ("sigma", "item_price"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name}: must be at least 0 and finite, got {getattr(self, name)}")
        for name in ("delay", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be at least 0, got {getattr(self, name)}")
        if self.delay and is_class(self.name) and not self.tiers:
            raise ValueError(f"delay: must be 0 for a labeler of your own, {self.name}, got {self.delay}")
        for tier in self.tiers:
            if tier == DEFAULT or not re.fullmatch(r"[A-Za-z0-9_-]+", tier):
                raise ValueError(f"tiers.{tier}: must be named with letters, digits, _ and -, and not {DEFAULT}")
        if self.gold and self.gold not in self.tiers:
            raise ValueError(f"gold: must be one of the tiers ({', '.join(self.tiers) or 'none'}), got {self.gold}")
        if self.item_price and not self.tiers:
            raise ValueError(f"item_price: must be 0 without tiers, got {self.item_price}")

    @property
    def gold_tier(self) -> str:
        """The dearest of the named tiers unless another is configured; the default one without any."""
        return self.gold or max(self.tiers, key=lambda tier: self.tiers[tier].price, default=DEFAULT)


class Labeler(Protocol):
    """Ask now, hear later.

    A question names the rows that it is about (`clip`) and carries no observation of them yet. A key submitted again, as
    after a crash, is the same question: it has the same answer. One that also has `state_dict()` and
    `load_state_dict(state)`, of plain values, says that it repeats itself: a run that goes on after a crash lets it live
    through the calls since its checkpoint again, where any other one is only told what is still open.
    """

    def submit(self, questions: list[Question]) -> None: ...

    def collect(self) -> list[Answer | Declined]:
        """Whatever has been answered or declined so far, once each."""
        ...
