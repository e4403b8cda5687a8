"""The labeler that knows: it answers with the environment's own reward."""

import math

from ..records import Label, Query
from ..vault import RewardVault


class NonFiniteReward(ValueError):
    """A reward that was to be sold is NaN or infinite."""


class EnvReward:
    """Answers a query with the true reward of its segment, `delay` calls of `collect` later than it could."""

    def __init__(self, vault: RewardVault, delay: int = 0):
        self._vault = vault
        self._delay = delay
        self._num_collects = 0
        self._waiting: dict[str, tuple[int, Label]] = {}  # query key -> (number of the collect that gives it, answer)

    def submit(self, queries: list[Query]) -> None:
        """UnknownReward for a segment that no environment produced, NonFiniteReward for one that is not a number."""
        for query in queries:
            label = Label(query.key, self._answer(query))
            self._waiting[query.key] = (self._num_collects + self._delay, label)

    def collect(self) -> list[Label]:
        ready = [label for due, label in self._waiting.values() if due <= self._num_collects]
        for label in ready:
            del self._waiting[label.key]
        self._num_collects += 1
        return ready

    def _answer(self, query: Query) -> float:
        value = self._vault.reward(query.segment)
        if not math.isfinite(value):
            where = f"environment {query.segment.env}, row {query.segment.step}"
            raise NonFiniteReward(f"task: the reward of {where} is {value}, it cannot be sold as a label")
        return value
