"""What a labeler is, and which there are."""

import math
import re
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..records import Answer, Question
from ..vault import RewardVault
from .env_reward import EnvReward
from .rater import Rater, TierConfig, Tiers

DEFAULT = "default"


@dataclass(frozen=True)
class LabelerConfig:
    name: Literal["env_reward", "noisy"] = "env_reward"  # who answers the default tier, at price.label
    sigma: float = 1.0  # standard deviation of the noise, in reward units; noisy only
    delay: int = 0  # answers arrive after this many further calls of collect: to try out late answers
    tiers: dict[str, TierConfig] = field(default_factory=dict)  # raters for sale instead of name at price.label
    gold: str = ""  # the tier that the others are held against; empty: the dearest
    item_price: float = 0.0  # coins for showing a row to the first of its raters; with tiers only

    def __post_init__(self):
        for name in ("sigma", "item_price"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name}: must be at least 0 and finite, got {getattr(self, name)}")
        if self.delay < 0:
            raise ValueError(f"delay: must be at least 0, got {self.delay}")
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
    """Ask now, hear later. A key submitted again is the same question: it has the same answer."""

    def submit(self, questions: list[Question]) -> None: ...

    def collect(self) -> list[Answer]:
        """Whatever has been answered so far, once each."""
        ...


def make_labeler(config: LabelerConfig, vault: RewardVault, seed: int) -> Labeler:
    """The configured labeler over the true rewards in `vault`; `seed` fixes its noise. ValueError: unknown name."""
    default = _default_labeler(config, vault, seed)
    if not config.tiers:
        return default
    raters = {tier: Rater(EnvReward(vault, config.delay), one, seed) for tier, one in config.tiers.items()}
    return Tiers({DEFAULT: default, **raters})


def _default_labeler(config: LabelerConfig, vault: RewardVault, seed: int) -> EnvReward | Rater:
    if config.name == "env_reward":
        return EnvReward(vault, config.delay)
    if config.name == "noisy":
        # What it is paid does not matter to its answers: price.label is in the ledger.
        return Rater(EnvReward(vault, config.delay), TierConfig(price=1.0, sigma=config.sigma), seed)
    raise ValueError(f"name: must be env_reward or noisy, got {config.name!r}")
