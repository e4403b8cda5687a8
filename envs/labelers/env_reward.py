"""The labeler that knows: it answers with the environment's own reward."""

import math

from ...errors import UserError
from ..records import Answer, Question
from ..vault import RewardVault


class NonFiniteReward(UserError):
    """A reward that was to be sold is NaN or infinite."""


class EnvReward:
    """Answers a question with the true reward of its clip, `delay` calls of `collect` later than it could."""

    def __init__(self, vault: RewardVault, delay: int = 0):
        self._vault = vault
        self._delay = delay
        self._num_collects = 0
        self._waiting: dict[
            str, tuple[int, Answer]
        ] = {}  # question key -> (number of the collect that gives it, answer)

    def submit(self, questions: list[Question]) -> None:
        """UnknownReward for a clip that no environment produced, NonFiniteReward for one that is not a number."""
        for question in questions:
            label = Answer(question.key, self._answer(question))
            self._waiting[question.key] = (self._num_collects + self._delay, label)

    def collect(self) -> list[Answer]:
        ready = [label for due, label in self._waiting.values() if due <= self._num_collects]
        for answer in ready:
            del self._waiting[answer.key]
        self._num_collects += 1
        return ready

    def _answer(self, question: Question) -> float:
        value = self._vault.reward(question.clip)
        if not math.isfinite(value):
            where = f"environment {question.clip.env}, row {question.clip.step}"
            raise NonFiniteReward(f"task: the reward of {where} is {value}, it cannot be sold as a label")
        return value
