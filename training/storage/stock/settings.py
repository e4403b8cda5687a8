"""What can be set about data that exists."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class DataConfig:
    transitions: str = ""  # a run's folder, minari:ID or its folder, .npz or HDF5 episodes; rewards are withheld
    labels: str = ""  # the same, whose labels this run begins with; of a data set: the rewards that it knows
    price_transition: float = 0.0  # coins for each of these transitions
    price_label: float | None = None  # coins for a label about one of them; null: price.label
    collect: bool = True  # false: nothing is played but evaluation, the run learns from data.transitions alone

    def __post_init__(self):
        if not (math.isfinite(self.price_transition) and 0 <= self.price_transition <= 1e12):
            raise ValueError(f"price_transition: must be from 0 to 1e+12 coins, got {self.price_transition}")
        if self.price_label is not None and not 1e-6 <= self.price_label <= 1e12:
            raise ValueError(f"price_label: must be positive (from 0.000001 to 1e+12 coins), got {self.price_label}")
        if not self.transitions:
            for name, unset in (("price_transition", 0.0), ("price_label", None), ("collect", True)):
                if getattr(self, name) != unset:
                    raise ValueError(f"{name}: is about data.transitions, which names nothing")
