"""What was heard and is not booked yet."""

from dataclasses import asdict, dataclass, field

from ...budget.ledger import Ledger
from ...budget.money import MICRO, Paid
from ...envs.records import Answer, Work
from .heard import Heard


@dataclass
class Till:
    """Answers to pay, questions to release, and other paid work, in the order heard."""

    ledger: Ledger
    answered: dict[str, Answer] = field(default_factory=dict)  # by key
    declined: list[str] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    unpaid: list[str] = field(default_factory=list)
    _told: dict[str, int] | None = field(default=None, init=False)  # what was owed when it was last asked

    def take(self, heard: Heard) -> None:
        self.answered |= {answer.key: answer for answer in heard.answers}
        self.declined += [one.key for one in heard.declined]
        self.works += heard.works

    def book(self) -> None:
        """All in one commit; then nothing is left here but the keys of work for which the money does not suffice."""
        with self.ledger.together():
            self._settle(list(self.answered))
            self.ledger.release(self.declined)
            self.unpaid = self.ledger.pay(self.works)
            works = [work for work in self.works if work.key in self.unpaid]
        self.answered, self.declined, self.works = {}, [], works

    @property
    def owed(self) -> dict[str, int]:
        """rater -> micro-coins of work for which the money does not suffice, as far as it was tried."""
        owed: dict[str, int] = {}
        for work in self.works:
            if work.key in self.unpaid:
                owed[work.rater] = owed.get(work.rater, 0) + work.price_micro
        return owed

    def news(self) -> dict[str, int] | None:
        """`owed`, where it is another than when this was called last."""
        before, self._told = self._told, self.owed
        return None if self._told == before else self._told

    def lines(self) -> list[str]:
        """What is owed, for a person."""
        return [
            f"warning: {micro / MICRO:,.4g} coins owed to {name} wait for budget.total: it has nothing free for them"
            for name, micro in self.owed.items()
        ]

    def _settle(self, keys: list[str]) -> None:
        answers = {key: self.answered[key] for key in keys}
        terms = {
            key: Paid(one.price_micro, one.rater, one.seconds) for key, one in answers.items() if is_of_people(one)
        }
        self.ledger.settle(dict.fromkeys(keys, 1), terms)

    def reconcile(self, keys: list[str]) -> None:
        """Pay for those of the answers here that the ledger does not know as paid, and for all work that it does not know."""
        with self.ledger.together():
            self._settle([key for key in keys if key in self.answered])
            self.ledger.pay(self.works)

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


def is_of_people(answer: Answer) -> bool:
    """Whether more is known of it than that it was given at its tier's price."""
    return bool(answer.rater or answer.seconds) or answer.price_micro is not None
