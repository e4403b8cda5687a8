"""What was heard and is not booked yet."""

from dataclasses import asdict, dataclass, field

from ...budget.ledger import Ledger
from ...envs.records import Answer, Work
from .heard import Heard


@dataclass
class Till:
    """Answers to pay, questions to release, and other paid work, in the order heard."""

    ledger: Ledger
    answered: dict[str, Answer] = field(default_factory=dict)  # by key
    declined: list[str] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)

    def take(self, heard: Heard) -> None:
        self.answered |= {answer.key: answer for answer in heard.answers}
        self.declined += [one.key for one in heard.declined]
        self.works += heard.works

    def book(self) -> None:
        """All in one commit; then nothing is left here."""
        with self.ledger.together():
            self._settle(list(self.answered))
            self.ledger.release(self.declined)
        self.answered, self.declined, self.works = {}, [], []

    def _settle(self, keys: list[str]) -> None:
        self.ledger.settle(dict.fromkeys(keys, 1))

    def reconcile(self, keys: list[str]) -> None:
        """Pay for those of the answers here that the ledger does not know as paid."""
        self._settle(keys)

    def to_plain(self) -> dict:
        """For a checkpoint: plain values."""
        return {
            "answered": [asdict(one) | {"moments": list(map(list, one.moments))} for one in self.answered.values()],
            "declined": list(self.declined),
            "works": [asdict(work) for work in self.works],
        }

    def load(self, state: dict) -> None:
        answers = [Answer(**one | {"moments": tuple(map(tuple, one["moments"]))}) for one in state["answered"]]
        self.answered = {answer.key: answer for answer in answers}
        self.declined, self.works = list(state["declined"]), [Work(**work) for work in state["works"]]
