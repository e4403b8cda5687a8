"""Buying labels: choose rows, reserve, ask, and take in whatever has been answered since."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ...budget.ledger import Ledger
from ...budget.money import Purchase
from ...budget.offers import LabelOffer
from ...envs.labelers.base import DEFAULT, Labeler
from ...envs.records import Answer, Clip, Declined, Question
from ...errors import UserError
from ...worldmodel.replay.journal.labels import LabelJournal
from ...worldmodel.replay.journal.npz import ChunkError
from ...worldmodel.replay.label_store import Asked, LabelStore
from ...worldmodel.replay.transitions import TransitionReplay
from .choice import Choice

LARGEST = float(np.finfo(np.float32).max)  # that a label may be


@dataclass
class Heard:
    """What a labeler said at one call. `unknown`: keys that nobody waits for, never asked or answered before."""

    answers: list[Answer] = field(default_factory=list)
    declined: list[Declined] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Warnings for a person."""
        lines = []
        if self.declined:
            first = self.declined[0]
            lines.append(
                f"warning: {len(self.declined)} questions declined, their money is back: {first.key}: {first.reason}"
            )
        if self.unknown:
            lines.append(
                f"warning: {len(self.unknown)} answers to questions that nobody asked, or that were answered before, are "
                f"left aside: {self.unknown[0]}"
            )
        return lines


class LabelDesk:
    """Where labels are bought. Order of every purchase: reserve, seal the question, ask; seal the answer, settle."""

    def __init__(
        self,
        transitions: TransitionReplay,
        labels: LabelStore,
        labeler: Labeler,
        ledger: Ledger,
        journal: LabelJournal,
        tier_prices: Mapping[str, int] | None = None,
        item_micro: int = 0,
        choice: Choice | None = None,
    ):
        """tier_prices: micro-coins an answer of the tiers beside the default one; item_micro: for showing an item;
        choice: of the rows to ask about, uniform without one."""
        self.transitions, self.labels, self.labeler = transitions, labels, labeler
        self.ledger, self.journal = ledger, journal
        self.prices = {DEFAULT: ledger.prices["label"], **(tier_prices or {})}
        self.item_micro, self.choice = item_micro, choice
        self.num_items = self.num_uniform = 0  # rows asked about, and those of them that were drawn uniformly

    @property
    def tiers(self) -> list[str]:
        """Who can be asked."""
        return list(self.prices)

    @property
    def num_bought(self) -> int:
        """Labels received or on their way."""
        return self.labels.received + len(self.labels.pending)

    def can_ask(self, offer: LabelOffer | None = None) -> bool:
        """Whether there is a row to ask about and the money for an answer."""
        return len(self.transitions.open) > 0 and self.ledger.remaining >= self._first_price(offer)

    def ask(self, number: int, rng: np.random.Generator, offer: LabelOffer | None = None) -> int:
        """Buy `number` answers, as far as rows and money go. -> how many.

        Without an offer: the default tier, one answer a row, and never more than `number`. With one: rows are drawn once,
        each is answered `replication` times, and shares of them (by chance) once more by the same tier and by the offer's
        `checks`. Then `number` is what they come to on average: to cut a purchase off there would always leave out the
        checks of its last rows, and those that the offer names last would never become known. Where the money does not
        suffice, or the number not even for one row, it is these extra answers that are left out.
        """
        if not self.can_ask(offer) or number <= 0:
            return 0
        items = self._draw_items(number, rng, offer)
        requests = list(self._requests(list(items), rng, offer))
        if offer is None or number < offer.answers:
            requests = requests[:number]
        requests = list(self._affordable(requests))
        self._buy(requests, items)
        return len(requests)

    def _draw_items(self, number: int, rng: np.random.Generator, offer: LabelOffer | None) -> dict[Clip, bool]:
        """Rows not asked yet for `number` answers -> whether each was drawn uniformly. All get their first answer."""
        wanted = number if offer is None else max(1, int(number / offer.answers))
        wanted = min(wanted, self.ledger.remaining // self._first_price(offer))
        if self.choice is None:
            return dict.fromkeys(self.transitions.open.draw(wanted, rng), True)
        return dict(self.choice.draw(self.transitions, wanted, self.num_items, self.num_uniform, rng))

    def _requests(
        self, items: list[Clip], rng: np.random.Generator, offer: LabelOffer | None
    ) -> Iterator[tuple[Clip, str, int]]:
        """(row, tier, which of the tier's answers about the row): first answers before all others."""
        if offer is None:
            yield from ((item, DEFAULT, 0) for item in items)
            return
        for repeat in range(offer.replication):
            yield from ((item, offer.tier, repeat) for item in items)
        chances = rng.random((len(items), 2))
        for item, (duplicate, gold) in zip(items, chances, strict=True):
            if duplicate < offer.duplicate_share:
                yield item, offer.tier, offer.replication
            if gold < offer.gold_share:
                yield from ((item, tier, repeat) for tier in offer.checks for repeat in range(offer.check_answers))

    def _affordable(self, requests: list[tuple[Clip, str, int]]) -> Iterator[tuple[Question, Purchase, bool]]:
        """Questions in their order while the money lasts, what each costs, and whether it is the first about its row."""
        money, seen = self.ledger.remaining, set()
        for clip, tier, repeat in requests:
            is_first = clip not in seen
            price = self._price(tier, is_first)
            if price > money:
                return
            money -= price
            seen.add(clip)
            key = f"label/{clip.env}/{clip.step}"
            if (tier, repeat) != (DEFAULT, 0):
                key += f"/{tier}/{repeat}"
            yield Question(key, clip, tier), Purchase(key, "label", 1, price, tier), is_first

    def _buy(self, requests: list[tuple[Question, Purchase, bool]], items: dict[Clip, bool]) -> None:
        questions = [question for question, _, _ in requests]
        self.ledger.reserve([purchase for _, purchase, _ in requests])
        copies = self.labels.copies(self.transitions, [question.clip for question in questions])
        # An item counts once where errors are measured, however often it is answered.
        asked = [
            Asked(question, copy, is_first and items[question.clip])
            for (question, _, is_first), copy in zip(requests, copies, strict=True)
        ]
        self.journal.seal_asked(asked)
        self._ask(asked)
        self.labeler.submit(questions)

    def _ask(self, asked: list[Asked]) -> None:
        for item in asked:
            self.labels.ask(item)
        self.num_items += len({item.question.clip for item in asked})  # all questions about a row come together
        self.num_uniform += sum(item.is_uniform for item in asked)

    def _first_price(self, offer: LabelOffer | None) -> int:
        return self._price(DEFAULT if offer is None else offer.tier, is_first=True)

    def _price(self, tier: str, is_first: bool) -> int:
        """Of an answer; the first of the named tiers to answer about a row is shown it."""
        return self.prices[tier] + (self.item_micro if is_first and tier != DEFAULT else 0)

    def collect(self) -> Heard:
        """Take in what the labeler says: answers are paid, the money of what is declined goes back.

        Everything is checked before it is sealed, so that the journal can always be read again.
        """
        heard = self._checked(self.labeler.collect())
        if heard.answers:
            self.journal.seal_answers(heard.answers)
            for answer in heard.answers:
                self.labels.answer(answer)
            self.ledger.settle({answer.key: 1 for answer in heard.answers})
        if heard.declined:
            self.journal.seal_declined(heard.declined)
            for one in heard.declined:
                self.labels.decline(one.key)
            self.ledger.release([one.key for one in heard.declined])
        return heard

    def _checked(self, replies: list[Answer | Declined]) -> Heard:
        """UserError for a reply that is neither an Answer nor Declined: that labeler cannot be understood."""
        heard, open_keys = Heard(), set(self.labels.pending)
        for reply in replies:
            if not isinstance(reply, Answer | Declined):
                raise UserError(f"labeler.name: collect() must give Answer or Declined, got {reply!r}")
            if reply.key not in open_keys:
                heard.unknown.append(reply.key)
                continue
            open_keys.remove(reply.key)
            if isinstance(reply, Declined):
                heard.declined.append(reply)
            elif (value := _number(reply.value)) is None:
                heard.declined.append(Declined(reply.key, f"the answer is {reply.value!r}"))
            else:
                heard.answers.append(Answer(reply.key, value))
        return heard

    def reopen(self) -> None:
        """After a restart: fill the store from the journal, settle what was answered, release what was never asked
        or was declined, and ask again, under the same keys, what is still pending."""
        asked = self.journal.read_asked()
        self.transitions.open.mark_asked([item.question.clip for item in asked])
        self._ask(asked)
        for answer in self.journal.read_answers():
            if answer.key not in self.labels.pending:
                raise ChunkError(
                    f"{self.journal.folder}: {answer.key} was answered, but the file of its question is missing"
                )
            self.labels.answer(answer)
        declined = {one.key for one in self.journal.read_declined()}
        for key in declined:
            self.labels.decline(key)
        wanted = {item.question.key for item in asked} - declined
        outstanding = [purchase.key for purchase in self.ledger.outstanding() if purchase.kind == "label"]
        self.ledger.settle({key: 1 for key in outstanding if key in wanted and key not in self.labels.pending})
        self.ledger.release([key for key in outstanding if key not in wanted])
        self.labeler.submit([item.question for item in self.labels.pending.values()])


def _number(value: object) -> float | None:
    """The value as a float that the label replay can hold; None for what is none."""
    if isinstance(value, str | bytes | bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  anything may come from outside
    except (TypeError, ValueError):
        return None
    return number if abs(number) <= LARGEST else None
