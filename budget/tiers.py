"""Label tiers: who answers at which price and how well, and the cheapest way to a clean label."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LabelOffer:
    """One way to buy labels: distinct items, each answered `replication` times by `tier`.

    A part of the items is answered once more by the same tier (so that its noise can be estimated) and a part by the
    best tier, as gold (so that its bias can).
    """

    tier: str
    price_micro: int  # of an item on average: its answers, its share of duplicates and of gold, showing it
    replication: int = 1  # answers an item
    clean: float = 1.0  # labels of a perfect rater that an item is worth
    bias: float = 0.0  # upper bound of the reward error that no number of labels removes, in reward units
    duplicate_share: float = 0.0  # of the items
    gold_share: float = 0.0  # of the items
