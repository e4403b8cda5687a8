"""Buying labels: choose rows, reserve, ask, and take in whatever has been answered since."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...budget.ledger import Diverged, Ledger
from ...budget.money import Purchase
from ...budget.offers import LabelOffer
from ...envs.labelers.base import DEFAULT, Labeler
from ...envs.records import Answer, Clip, Declined, Question, Reply
from ...errors import UserError
from ...frames import DamagedLog
from ...worldmodel.replay.journal.labels import Entry, LabelJournal
from ...worldmodel.replay.label_store import Asked, LabelStore
from ...worldmodel.replay.transitions import TransitionReplay
from ..stop import Stop
from .choice import Choice
from .sellers import SellerFailed, calling

LARGEST = float(np.finfo(np.float32).max)  # that a label may be
STATE = {"calls", "declined_in_a_row", "answered", "declined", "labeler"}
UNPAID = "the run ended before money was set aside for it"


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
    """Where labels are bought. Order of every purchase: reserve and write the question, ask; write the answer, settle.

    `ask` and `collect` do all that at once. Who trades in chunks calls `order`, `tell`, `hear` and `book`, which they are
    made of: then one commit does for everything that was ordered and heard since the last one.

    A run that goes on does again what came after its checkpoint. The entries that are on disk already (`ahead`) are
    expected in their order: questions are not asked again, and replies come from there at the same call. A labeler with
    state_dict and load_state_dict repeats itself: it lives through all of that again. Any other one is told what is still
    open once the entries are used up.
    """

    def __init__(
        self,
        transitions: TransitionReplay,
        labels: LabelStore,
        labeler: Labeler,
        ledger: Ledger,
        journal: LabelJournal,
        stop: Stop,
        tier_prices: Mapping[str, int] | None = None,
        item_micro: int = 0,
        choice: Choice | None = None,
        refusals: int = 0,
    ):
        """tier_prices: micro-coins an answer of the tiers beside the default one; item_micro: for showing an item;
        choice: of the rows to ask about, uniform without one; refusals: declined questions in a row that end the run, 0: none."""
        self.transitions, self.labels, self.labeler = transitions, labels, labeler
        self.ledger, self.journal, self.stop, self.refusals = ledger, journal, stop, refusals
        self.prices = {DEFAULT: ledger.prices["label"], **(tier_prices or {})}
        self.item_micro, self.choice = item_micro, choice
        self.num_items = self.num_uniform = 0  # rows asked about, and those of them that were drawn uniformly
        self.calls = 0  # of the labeler's collect
        self.declined_in_a_row = 0
        self.answered: list[str] = []  # keys of replies that are not booked yet
        self.declined: list[str] = []
        self.untold: list[Question] = []  # ordered, and the labeler has not heard of them
        self.ahead: deque[Entry] = deque()
        ledger.before_commit.append(journal.log.sync)
        self.repeats = hasattr(labeler, "state_dict") and hasattr(labeler, "load_state_dict")
        self.is_live = True  # the labeler knows all that is open

    @property
    def tiers(self) -> list[str]:
        """Who can be asked."""
        return list(self.prices)

    @property
    def num_bought(self) -> int:
        """Labels received or on their way."""
        return self.labels.received + len(self.labels.pending)

    @property
    def num_answers(self) -> int:
        """Answers on disk."""
        return self.labels.received + sum(len(entry.answers) for entry in self.ahead)

    @property
    def waiting(self) -> set[str]:
        """Keys of questions on disk that have no reply there."""
        asked = {item.question.key for entry in self.ahead for item in entry.asked}
        replied = {reply.key for entry in self.ahead for reply in (*entry.answers, *entry.declined)}
        return (asked | self.labels.pending.keys()) - replied

    def can_ask(self, offer: LabelOffer | None = None) -> bool:
        """Whether there is a row to ask about and the money for an answer."""
        return len(self.transitions.open) > 0 and self.ledger.remaining >= self._first_price(offer)

    def ask(self, number: int, rng: np.random.Generator, offer: LabelOffer | None = None) -> int:
        """Buy `number` answers, as far as rows and money go. -> how many."""
        ordered = self.order(number, rng, offer)
        self.tell()
        return ordered

    def order(self, number: int, rng: np.random.Generator, offer: LabelOffer | None = None) -> int:
        """Choose rows, reserve the money for `number` answers, as far as rows and money go, and write the questions. -> how
        many. `tell` is to follow once that is committed.

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
        copies = self.labels.copies(self.transitions, [question.clip for question in questions])
        # An item counts once where errors are measured, however often it is answered.
        asked = [
            Asked(question, copy, is_first and items[question.clip])
            for (question, _, is_first), copy in zip(requests, copies, strict=True)
        ]
        with self.ledger.together():
            self.ledger.reserve([purchase for _, purchase, _ in requests])
            self._write_asked(tuple(asked))
        self._ask(asked)
        self.untold += questions

    def _write_asked(self, asked: tuple[Asked, ...]) -> None:
        """Unless they are on disk already. Diverged where others are."""
        if not self.ahead:
            self.journal.write(Entry(self.calls, asked=asked))
            return
        before = self.ahead.popleft()
        now, then = ([item.question for item in one] for one in (asked, before.asked))
        if now != then:
            raise Diverged(f"{self.journal.log.folder}: {len(then)} other questions were asked here before")

    def tell(self) -> None:
        """Ask the labeler what was ordered. One that did not live through the entries hears all that is open, once these
        are used up."""
        questions, self.untold = self.untold, []
        if not self.is_live and not self.repeats:
            questions = [] if self.ahead else [item.question for item in self.labels.pending.values()]
        self.is_live = self.is_live or not self.ahead
        if questions:
            with calling(self.stop, "labeler.name"):
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

        SellerFailed after as many refusals in a row as `refusals` says, with nothing lost.
        """
        heard = self._take_in()
        self.book()
        self._count(heard)
        return heard

    def hear(self) -> Heard:
        """As `collect`, but for the money, which waits for `book`."""
        heard = self._take_in()
        self._count(heard)
        return heard

    def book(self) -> None:
        """Pay for what was answered since the last time, and take back the money of what was declined."""
        with self.ledger.together():
            self.ledger.settle(dict.fromkeys(self.answered, 1))
            self.ledger.release(self.declined)
        self.answered, self.declined = [], []

    def _take_in(self) -> Heard:
        """Everything is checked before it is written, so that the journal can always be read again."""
        heard = self._heard()
        self.calls += 1
        for answer in heard.answers:
            self.labels.answer(answer)
        for one in heard.declined:
            self.labels.decline(one.key)
        self.answered += [answer.key for answer in heard.answers]
        self.declined += [one.key for one in heard.declined]
        return heard

    def _heard(self) -> Heard:
        """What is said at this call: what was said at it before, or what the labeler says now."""
        if not self.ahead:
            self.tell()
        said = self._said() if self.is_live or self.repeats else Heard()
        if not self.ahead:
            if said.answers or said.declined:
                self._write_heard(said.answers, said.declined)
            return said
        if self.ahead[0].call > self.calls or self.ahead[0].asked:
            return Heard()
        before = self.ahead.popleft()
        return Heard(list(before.answers), list(before.declined), said.unknown)

    def _write_heard(self, answers: list[Answer], declined: list[Declined]) -> None:
        self.journal.write(Entry(self.calls, (), tuple(answers), tuple(declined)))
        if not self.repeats:  # else a power cut loses nothing: it says the same again
            self.journal.log.sync()

    def _said(self) -> Heard:
        with calling(self.stop, "labeler.name"):
            return self._checked(self.labeler.collect())

    def _count(self, heard: Heard) -> None:
        self.declined_in_a_row = 0 if heard.answers else self.declined_in_a_row + len(heard.declined)
        if self.refusals and self.declined_in_a_row >= self.refusals:
            number, self.declined_in_a_row = self.declined_in_a_row, 0
            last = heard.declined[-1]
            raise SellerFailed(f"labeler.refusals: {number} questions in a row were declined, the last: {last.reason}")

    def _checked(self, replies: Sequence[Reply]) -> Heard:
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

    def reopen(self, entries: int | None = None) -> None:
        """Fill the store with the first `entries` of the journal, all where it is None; those after them come again.

        DamagedLog where there are fewer, or where an answer's question is missing.
        """
        self.ahead = deque()
        number = 0
        for entry in self.journal.read():  # one at a time: their copies are large
            if entries is None or number < entries:
                self.transitions.open.mark_asked([item.question.clip for item in entry.asked])
                self._take(number, entry)
            else:
                self.ahead.append(entry)
            number += 1
        if entries is not None and number < entries:
            raise DamagedLog(self.journal.log.folder, number, f"{number} entries, {entries} were written")
        self.is_live = False

    def _take(self, number: int, entry: Entry) -> None:
        self._ask(list(entry.asked))
        for reply in (*entry.answers, *entry.declined):
            if reply.key not in self.labels.pending:
                raise DamagedLog(self.journal.log.folder, number, f"{reply.key} was answered and never asked")
            if isinstance(reply, Answer):
                self.labels.answer(reply)
            else:
                self.labels.decline(reply.key)
        self.calls = max(self.calls, entry.call + 1)

    def reconcile(self) -> None:
        """Bring the accounts in line with a journal that was taken in as a whole, and ask again what is open."""
        wanted: set[str] = set()
        for entry in self.journal.read():
            wanted |= {item.question.key for item in entry.asked}
            wanted -= {one.key for one in entry.declined}
        outstanding = [purchase.key for purchase in self.ledger.outstanding() if purchase.kind == "label"]
        self.ledger.settle({key: 1 for key in outstanding if key in wanted and key not in self.labels.pending})
        self.ledger.release([key for key in outstanding if key not in wanted])
        self._refuse(sorted(self.labels.pending.keys() - set(outstanding)))
        self.is_live = True
        with calling(self.stop, "labeler.name"):
            self.labeler.submit([item.question for item in self.labels.pending.values()])

    def _refuse(self, keys: list[str]) -> None:
        """Questions that were written and not committed: nobody was asked."""
        if keys:
            self._write_heard([], [Declined(key, UNPAID) for key in keys])
        for key in keys:
            self.labels.decline(key)

    def state_dict(self) -> dict:
        """What the journal does not know."""
        labeler = self.labeler.state_dict() if self.repeats else None  # type: ignore[attr-defined]  repeats says so
        return {
            "calls": self.calls,
            "declined_in_a_row": self.declined_in_a_row,
            "answered": list(self.answered),
            "declined": list(self.declined),
            "labeler": labeler,
        }

    def load_state_dict(self, state: dict) -> None:
        """ValueError where the checkpoint knows other things."""
        if state.keys() != STATE:
            raise ValueError(f"desk: the checkpoint holds {sorted(state)}, expected {sorted(STATE)}")
        self.calls, self.declined_in_a_row = state["calls"], state["declined_in_a_row"]
        self.answered, self.declined = list(state["answered"]), list(state["declined"])
        if self.repeats and state["labeler"] is not None:
            self.labeler.load_state_dict(state["labeler"])  # type: ignore[attr-defined]


def _number(value: object) -> float | None:
    """The value as a float that the label replay can hold; None for what is none."""
    if isinstance(value, str | bytes | bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  anything may come from outside
    except (TypeError, ValueError):
        return None
    return number if abs(number) <= LARGEST else None
