"""Buying labels: choose rows, reserve, ask, and take in whatever has been answered since."""

from collections import deque
from dataclasses import replace

import numpy as np

from ...budget.ledger import Diverged, Ledger
from ...budget.money import Purchase
from ...budget.offers import LabelOffer
from ...envs.labelers.base import Labeler
from ...envs.labelers.question_keys import DEFAULT
from ...envs.records import Answer, Declined, Question
from ...frames import DamagedLog
from ...worldmodel.replay.journal.labels import Entry, LabelJournal
from ...worldmodel.replay.label_store import Asked, LabelStore
from ..stop import Stop
from .heard import Heard, checked
from .items import Drawer, Item, num_scored, requests
from .looks import Looks
from .sellers import SellerFailed, calling
from .terms import Terms
from .till import Till

STATE = {"calls", "declined_in_a_row", "booked", "labeler"}
UNPAID = "the run ended before money was set aside for it"


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
        drawer: Drawer,
        labels: LabelStore,
        labeler: Labeler,
        ledger: Ledger,
        journal: LabelJournal,
        stop: Stop,
        terms: Terms,
        looks: Looks | None = None,
    ):
        """looks: what a labeler that looks is shown; None: it does not."""
        self.drawer, self.transitions, self.labels, self.labeler = drawer, drawer.transitions, labels, labeler
        self.ledger, self.journal, self.stop, self.terms, self.looks = ledger, journal, stop, terms, looks
        self.till = Till(ledger)
        self.num_items = self.num_uniform = 0  # what was asked about, and how much of it was drawn uniformly
        self.calls = 0  # of the labeler's collect
        self.declined_in_a_row = 0
        self.untold: list[Question] = []  # ordered, and the labeler has not heard of them
        self.ahead: deque[Entry] = deque()
        ledger.before_commit.append(journal.log.sync)
        self.repeats = hasattr(labeler, "state_dict") and hasattr(labeler, "load_state_dict")
        self.is_live = True  # the labeler knows all that is open

    @property
    def tiers(self) -> list[str]:
        """Who can be asked."""
        return list(self.terms.prices)

    @property
    def num_bought(self) -> int:
        """Labels received or on their way, those that another run has paid for included."""
        return self.labels.received + len(self.labels.pending)

    @property
    def num_answers(self) -> int:
        """Answers on disk that the run paid for."""
        return self.labels.received - self.labels.num_stock + sum(len(entry.answers) for entry in self.ahead)

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
        wanted = number if offer is None else max(1, int(number / offer.answers))
        wanted = min(wanted, self.ledger.remaining // self._first_price(offer))
        scored = num_scored(self.labels) if self.drawer.kind == "pair" else 0
        items = self.drawer.draw(wanted, self.num_items, self.num_uniform, rng, scored)
        wishes = list(requests(items, rng, offer))
        if offer is None or number < offer.answers:
            wishes = wishes[:number]
        asked, purchases = self._affordable(wishes)
        self._buy(asked, purchases)
        return len(asked)

    def _affordable(self, wishes: list[tuple[Item, str, int]]) -> tuple[list[Asked], list[Purchase]]:
        """Questions in their order while the money lasts, and what each costs."""
        money, seen = self.ledger.remaining, set[Item]()
        asked: list[Asked] = []
        purchases: list[Purchase] = []
        for item, tier, repeat in wishes:
            is_first = item not in seen
            price = self.terms.price(tier, is_first, item.clip)
            if price > money:
                break
            money -= price
            seen.add(item)
            question = item.question(tier, repeat)
            purchases.append(Purchase(question.key, "label", 1, price, tier))
            # An item counts once where errors are measured, however often it is answered.
            asked.append(Asked(question, None, is_first and item.is_uniform))
        return asked, purchases

    def _buy(self, asked: list[Asked], purchases: list[Purchase]) -> None:
        clips = [clip for one in asked for clip in one.question.clips]
        copies = iter(self.labels.copies(self.transitions, clips))
        asked = [replace(one, copy=next(copies), right=next(copies) if one.question.right else None) for one in asked]
        with self.ledger.together():
            self.ledger.reserve(purchases)
            self._write_asked(tuple(asked))
        self._ask(asked)
        self.untold += [one.question for one in asked]

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
        self._submit(questions)

    def _submit(self, questions: list[Question]) -> None:
        if questions:
            shown = self.looks.shown(questions, self.labels) if self.looks else questions
            with calling(self.stop, "labeler.name"):
                self.labeler.submit(shown)

    def _ask(self, asked: list[Asked]) -> None:
        for item in asked:
            self.labels.ask(item)
        self.num_items += len({item.question.clips for item in asked})  # all questions about an item come together
        self.num_uniform += sum(item.is_uniform for item in asked)

    def _first_price(self, offer: LabelOffer | None) -> int:
        return self.terms.most(DEFAULT if offer is None else offer.tier)

    def collect(self) -> Heard:
        """Take in what the labeler says: answers are paid, the money of what is declined goes back.

        SellerFailed after as many refusals in a row as the terms say, with nothing lost.
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
        """Pay for what was answered or worked since the last time, and take back the money of what was declined."""
        self.till.book()

    def _take_in(self) -> Heard:
        """Everything is checked before it is written, so that the journal can always be read again."""
        heard = self._heard()
        self.calls += 1
        for answer in heard.answers:
            self.labels.answer(answer)
        for one in heard.declined:
            self.labels.decline(one.key)
        if heard.retracted:
            self.labels.retract(frozenset(heard.retracted))
        self.till.take(heard)
        return heard

    def _heard(self) -> Heard:
        """What is said at this call: what was said at it before, or what the labeler says now."""
        if not self.ahead:
            self.tell()
        said = self._said() if self.is_live or self.repeats else Heard()
        if not self.ahead:
            if said.is_worth_writing:
                self._write_heard(said)
            return said
        if self.ahead[0].call > self.calls or self.ahead[0].asked or self.ahead[0].is_expiry:
            return Heard()
        before = self.ahead.popleft()
        return Heard(
            list(before.answers), list(before.declined), list(before.works), list(before.retracted), said.unknown
        )

    def _write_heard(self, heard: Heard, is_expiry: bool = False) -> None:
        answers, declined = tuple(heard.answers), tuple(heard.declined)
        works, retracted = tuple(heard.works), tuple(heard.retracted)
        self.journal.write(Entry(self.calls, (), answers, declined, works, retracted, is_expiry))
        if not self.repeats:  # else a power cut loses nothing: it says the same again
            self.journal.log.sync()

    def _said(self) -> Heard:
        with calling(self.stop, "labeler.name"):
            heard = checked(self.labeler.collect(), self.labels.pending, self.terms.prices)
            gone = frozenset(getattr(self.labeler, "retracted", frozenset)())
        heard.retracted = sorted(gone - self.labels.retracted)
        return heard

    @property
    def is_expiring(self) -> bool:
        """Whether a run that goes on gave up here what was open: then it does again, whatever the clock says now."""
        return bool(self.ahead) and self.ahead[0].is_expiry and self.ahead[0].call <= self.calls

    def expire(self, reason: str) -> Heard:
        """Nobody is waited for any longer: what is open is declined, and its money goes back. SellerFailed as in `collect`."""
        heard = self._expired(reason)
        self.calls += 1
        for one in heard.declined:
            self.labels.decline(one.key)
        self.till.take(heard)
        self.book()
        self._count(heard)
        return heard

    def _expired(self, reason: str) -> Heard:
        """What was given up here before, or all that is open now, which is written."""
        if not self.is_expiring:
            heard = Heard(declined=[Declined(key, reason) for key in self.labels.pending])
            self._tell_expired(heard)
            self._write_heard(heard, is_expiry=True)
            return heard
        heard = Heard(declined=list(self.ahead.popleft().declined))
        if self.repeats:
            self._tell_expired(heard)
        return heard

    def _tell_expired(self, heard: Heard) -> None:
        if hasattr(self.labeler, "expire"):
            with calling(self.stop, "labeler.name"):
                self.labeler.expire([one.key for one in heard.declined])  # type: ignore[attr-defined]

    def _count(self, heard: Heard) -> None:
        refused = [one for one in heard.declined if not one.is_given_up]
        self.declined_in_a_row = 0 if heard.answers else self.declined_in_a_row + len(refused)
        if refused and self.terms.refusals and self.declined_in_a_row >= self.terms.refusals:
            number, self.declined_in_a_row = self.declined_in_a_row, 0
            last = refused[-1].reason
            raise SellerFailed(f"labeler.refusals: {number} questions in a row were declined, the last: {last}")

    @property
    def label_price(self) -> int | None:
        """Micro-coins that the default tier's next label costs on average, where that is not simply its price."""
        price = self.terms.mean(self.transitions)
        return self.ledger.mean_price("label") if price is None else price

    def status(self) -> str:
        """What is waited for, for a person."""
        status = getattr(self.labeler, "status", None)
        if status is None:
            return f"{len(self.labels.pending):,} questions open"
        with calling(self.stop, "labeler.name"):
            return str(status())

    def account(self) -> dict[str, float]:
        """What the labeler counts, for the log: labeler/asked, answered and so on; nothing where it does not."""
        return getattr(self.labeler, "account", dict)()

    @property
    def is_showing(self) -> bool:
        """Whether the labeler has an owner to whom it shows what is known of those who answer."""
        return hasattr(self.labeler, "told")

    def told(self, facts: dict) -> None:
        with calling(self.stop, "labeler.name"):
            self.labeler.told(facts)  # type: ignore[attr-defined]  is_showing says so

    def close(self) -> None:
        if hasattr(self.labeler, "close"):
            self.labeler.close()  # type: ignore[attr-defined]

    def reopen(self, entries: int | None = None) -> None:
        """Fill the store with the first `entries` of the journal, all where it is None; those after them come again.

        DamagedLog where there are fewer, or where an answer's question is missing.
        """
        self.ahead = deque()
        number = 0
        for entry in self.journal.read():  # one at a time: their copies are large
            if entries is None or number < entries:
                self.transitions.open.mark_asked([clip for item in entry.asked for clip in item.question.clips])
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
        if entry.retracted:
            self.labels.retract(frozenset(entry.retracted))
        self.calls = max(self.calls, entry.call + 1)

    def reconcile(self) -> None:
        """Bring the accounts in line with a journal that was taken in as a whole, and ask again what is open."""
        wanted, said = set[str](), Till(self.ledger)
        for entry in self.journal.read():
            wanted |= {item.question.key for item in entry.asked}
            wanted -= {one.key for one in entry.declined}
            said.take(Heard(list(entry.answers), works=list(entry.works)))
        outstanding = [purchase.key for purchase in self.ledger.outstanding() if purchase.kind == "label"]
        said.reconcile([key for key in outstanding if key in wanted and key not in self.labels.pending])
        self.ledger.release([key for key in outstanding if key not in wanted])
        self._refuse(sorted(self.labels.pending.keys() - set(outstanding)))
        self.is_live = True
        self._submit([item.question for item in self.labels.pending.values()])

    def _refuse(self, keys: list[str]) -> None:
        """Questions that were written and not committed: nobody was asked."""
        if keys:
            self._write_heard(Heard(declined=[Declined(key, UNPAID) for key in keys]))
        for key in keys:
            self.labels.decline(key)

    def state_dict(self) -> dict:
        """What the journal does not know."""
        labeler = self.labeler.state_dict() if self.repeats else None  # type: ignore[attr-defined]  repeats says so
        return {
            "calls": self.calls,
            "declined_in_a_row": self.declined_in_a_row,
            "booked": self.till.to_plain(),
            "labeler": labeler,
        }

    def load_state_dict(self, state: dict) -> None:
        """ValueError where the checkpoint knows other things."""
        if state.keys() != STATE:
            raise ValueError(f"desk: the checkpoint holds {sorted(state)}, expected {sorted(STATE)}")
        self.calls, self.declined_in_a_row = state["calls"], state["declined_in_a_row"]
        self.till.load(state["booked"])
        if self.repeats and state["labeler"] is not None:
            self.labeler.load_state_dict(state["labeler"])  # type: ignore[attr-defined]
