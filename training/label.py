"""Buying labels: choose rows, reserve, ask, and take in whatever has been answered since."""

import math

import numpy as np

from budget.ledger import Ledger
from budget.money import Purchase
from envs.labelers.base import Labeler
from envs.labelers.env_reward import NonFiniteReward
from envs.records import Query
from worldmodel.replay.label_column import LabelColumn
from worldmodel.replay.label_journal import LabelJournal
from worldmodel.replay.labels import Asked, LabelReplay
from worldmodel.replay.npz import ChunkError
from worldmodel.replay.transitions import TransitionReplay


class LabelDesk:
    """Where labels are bought. Order of every purchase: reserve, seal the question, ask; seal the answer, settle."""

    def __init__(
        self,
        transitions: TransitionReplay,
        labels: LabelReplay | LabelColumn,
        labeler: Labeler,
        ledger: Ledger,
        journal: LabelJournal,
        burn_in: int,
    ):
        self.transitions, self.labels, self.labeler = transitions, labels, labeler
        self.ledger, self.journal, self.burn_in = ledger, journal, burn_in

    @property
    def num_bought(self) -> int:
        """Labels received or on their way."""
        return self.labels.received + len(self.labels.pending)

    def ask(self, number: int, rng: np.random.Generator) -> int:
        """Ask about `number` rows, uniform over those not asked yet (fewer where fewer are left). -> how many."""
        number = min(number, self.transitions.num_unlabelled, self.ledger.remaining // self.ledger.prices["label"])
        if number <= 0:
            return 0
        segments = self.transitions.draw_unlabelled(number, rng)
        queries = [Query(f"label/{segment.env}/{segment.step}", segment) for segment in segments]
        self.ledger.reserve([Purchase(query.key, "label", 1, self.ledger.prices["label"]) for query in queries])
        if isinstance(self.labels, LabelReplay):
            copies = self.transitions.copies(segments, self.burn_in)
        else:
            copies = [None] * len(segments)  # coupled: the answer joins its row
        asked = [Asked(query, copy, is_uniform=True) for query, copy in zip(queries, copies, strict=True)]
        self.journal.seal_asked(asked)
        for item in asked:
            self.labels.ask(item.query, item.copy, item.is_uniform)
        self.labeler.submit(queries)
        return len(queries)

    def collect(self) -> int:
        """Take in the answers that have come. -> how many."""
        answers = self.labeler.collect()
        for label in answers:
            if not math.isfinite(label.value):  # before it is sealed: a journal must always be readable again
                raise NonFiniteReward(f"labeler: the answer to {label.key!r} is {label.value}")
        if answers:
            self.journal.seal_answers(answers)
            for label in answers:
                self.labels.answer(label)
            self.ledger.settle({label.key: 1 for label in answers})
        return len(answers)

    def reopen(self) -> None:
        """After a restart: fill the store from the journal, settle what was answered, release what was never asked,
        and ask again, under the same keys, what is still pending."""
        asked = self.journal.read_asked()
        self.transitions.mark_asked([item.query.segment for item in asked])
        for item in asked:
            self.labels.ask(item.query, item.copy, item.is_uniform)
        for label in self.journal.read_answers():
            if label.key not in self.labels.pending:
                raise ChunkError(
                    f"{self.journal.folder}: {label.key} was answered, but the file of its question is missing"
                )
            self.labels.answer(label)
        known = {item.query.key for item in asked}
        outstanding = [purchase.key for purchase in self.ledger.outstanding() if purchase.kind == "label"]
        self.ledger.settle({key: 1 for key in outstanding if key in known and key not in self.labels.pending})
        self.ledger.release([key for key in outstanding if key not in known])
        self.labeler.submit([item.query for item in self.labels.pending.values()])
