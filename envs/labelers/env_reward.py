"""The labeler that knows: it answers with the environment's own reward."""

import math
from collections.abc import Iterator

from ..records import Answer, Clip, Declined, Question
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
            (reply.key, due, reply.value if isinstance(reply, Answer) else reply.reason, moments_of(reply))
            for due, reply in self._waiting.values()
        ]
        return {"calls": self._num_collects, "waiting": waiting}

    def load_state_dict(self, state: dict) -> None:
        self._num_collects = state["calls"]
        self._waiting = {
            key: (due, Declined(key, said) if isinstance(said, str) else Answer(key, said, moments=as_moments(rest)))
            for key, due, said, *rest in state["waiting"]
        }

    def sums(self, question: Question) -> list[float]:
        """The true reward of each of its clips. UnknownReward where no environment produced one of them."""
        return [self._vault.reward(clip) for clip in question.clips]

    def _reply(self, question: Question) -> Answer | Declined:
        """A reward that is no number cannot be sold."""
        try:
            sums = self.sums(question)
        except UnknownReward as error:
            return Declined(question.key, str(error))
        for clip, value in zip(question.clips, sums, strict=True):
            if not math.isfinite(value):
                return Declined(question.key, f"the reward of {_place(clip)} is {value}")
        if question.kind == "pair":
            return Answer(question.key, preferred(sums[0] - sums[1]))
        moments = tuple(self._moments(question.clip)) if question.kind == "moments" else ()
        return Answer(question.key, sums[0], moments=moments)

    def _moments(self, clip: Clip) -> Iterator[tuple[int, float]]:
        """The rows of a clip that have a reward, from 0 on."""
        for row in range(clip.length):
            value = self._vault.reward(Clip(clip.env, clip.step - clip.length + 1 + row))
            if value:
                yield row, value


def moments_of(reply: Answer | Declined) -> list[list[float]]:
    return [list(moment) for moment in reply.moments] if isinstance(reply, Answer) else []


def as_moments(rest: list) -> tuple[tuple[int, float], ...]:
    """What stands after an answer's value in a saved state; nothing in those of before version 0.3."""
    return tuple((int(row), float(reward)) for row, reward in rest[0]) if rest else ()


def preferred(difference: float) -> float:
    """1: the left clip is better, 0: the right one is, .5: they are the same."""
    return 0.5 if difference == 0 else float(difference > 0)


def _place(clip: Clip) -> str:
    rows = f"row {clip.step}" if clip.length == 1 else f"one of the {clip.length} rows up to {clip.step}"
    return f"environment {clip.env}, {rows}"
