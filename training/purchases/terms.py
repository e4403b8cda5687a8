"""What an answer costs, of whom and about what, and when a labeler that refuses is given up."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...envs.labelers.question_keys import DEFAULT
from ...envs.records import Clip
from ...worldmodel.replay.stock import StockRows
from ...worldmodel.replay.transitions import TransitionReplay


@dataclass(frozen=True)
class StockPrice:
    """Labels of the default tier where they have two prices, micro-coins."""

    rows: StockRows
    of_stock: int  # about a row of these
    of_others: int


@dataclass(frozen=True)
class Terms:
    prices: Mapping[str, int]  # micro-coins reserved for an answer, by tier
    item_micro: int = 0  # for showing an item to the first of the named tiers
    refusals: int = 0  # declined questions in a row that end the run, 0: none
    stock: StockPrice | None = None  # in place of the default tier's price; None: there is one price

    def price(self, tier: str, is_first: bool, clip: Clip) -> int:
        """Of an answer; the first of the named tiers to answer about an item is shown it."""
        if tier != DEFAULT:
            return self.prices[tier] + (self.item_micro if is_first else 0)
        if self.stock is None:
            return self.prices[DEFAULT]
        return self.stock.of_stock if self.stock.rows.holds(clip) else self.stock.of_others

    def most(self, tier: str) -> int:
        """That the first answer about an item may cost."""
        if tier != DEFAULT:
            return self.prices[tier] + self.item_micro
        return max(self.stock.of_stock, self.stock.of_others) if self.stock else self.prices[DEFAULT]

    def mean(self, transitions: TransitionReplay) -> int | None:
        """What an answer about a row costs on average that is drawn of all open ones, rounded up; None where they cost the same."""
        if self.stock is None:
            return None
        in_stock = transitions.open.before(self.stock.rows.next_step)
        others = len(transitions.open) - in_stock
        total = in_stock * self.stock.of_stock + others * self.stock.of_others
        return math.ceil(total / max(1, in_stock + others)) or None
