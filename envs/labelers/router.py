"""Several labelers who are sold as one."""

from collections.abc import Mapping

from ..records import Question, Reply
from .base import Labeler


class Router:
    """Several labelers behind one counter: each question goes to the one of its tier."""

    def __init__(self, labelers: Mapping[str, Labeler]):
        self._labelers = labelers

    def submit(self, questions: list[Question]) -> None:
        """ValueError for a tier that nobody answers."""
        if unknown := {question.tier for question in questions} - self._labelers.keys():
            raise ValueError(f"tier: must be one of {', '.join(self._labelers)}, got {', '.join(sorted(unknown))}")
        for tier, labeler in self._labelers.items():
            labeler.submit([question for question in questions if question.tier == tier])

    def collect(self) -> list[Reply]:
        return [answer for labeler in self._labelers.values() for answer in labeler.collect()]

    def state_dict(self) -> dict:
        """By tier, of those that have a state."""
        states = {tier: getattr(one, "state_dict", None) for tier, one in self._labelers.items()}
        return {tier: state() for tier, state in states.items() if state}

    def load_state_dict(self, state: dict) -> None:
        for tier, one in state.items():
            self._labelers[tier].load_state_dict(one)  # type: ignore[attr-defined]  its state was saved
