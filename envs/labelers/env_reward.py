"""The labeler that knows: it answers with the environment's own reward."""

import math

from ..records import Answer, Declined, Question
from ..vault import RewardVault, UnknownReward


class EnvReward:
    """Answers a question with the true reward of its clip, `delay` calls of `collect` later than it could."""

    def __init__(self, vault: RewardVault, delay: int = 0):
        self._vault = vault
        self._delay = delay
        self._num_collects = 0
        self._waiting: dict[
            str, tuple[int, Answer | Declined]
        ] = {}  # key -> (number of the collect that gives it, reply)

    def submit(self, questions: list[Question]) -> None:
        """A key submitted again has the same answer; one about a clip that no environment produced is declined."""
        for question in questions:
            self._waiting[question.key] = (self._num_collects + self._delay, self._reply(question))

    def collect(self) -> list[Answer | Declined]:
        ready = [reply for due, reply in self._waiting.values() if due <= self._num_collects]
        for reply in ready:
            del self._waiting[reply.key]
        self._num_collects += 1
        return ready

    def state_dict(self) -> dict:
        """Plain numbers and text: what waits, and how often it was called."""
        waiting = [
            (reply.key, due, reply.value if isinstance(reply, Answer) else reply.reason)
            for due, reply in self._waiting.values()
        ]
        return {"calls": self._num_collects, "waiting": waiting}

    def load_state_dict(self, state: dict) -> None:
        self._num_collects = state["calls"]
        self._waiting = {
            key: (due, Declined(key, said) if isinstance(said, str) else Answer(key, said))
            for key, due, said in state["waiting"]
        }

    def _reply(self, question: Question) -> Answer | Declined:
        """A reward that is no number cannot be sold."""
        try:
            value = self._vault.reward(question.clip)
        except UnknownReward as error:
            return Declined(question.key, str(error))
        if math.isfinite(value):
            return Answer(question.key, value)
        where = f"environment {question.clip.env}, row {question.clip.step}"
        return Declined(question.key, f"the reward of {where} is {value}")
