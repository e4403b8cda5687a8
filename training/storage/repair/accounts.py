"""The ledger against the journals: what was paid for and is gone is written off, what is there and was not booked is booked."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from ....budget.books.rebuild import upgrade
from ....budget.books.state import WORK, KeyState
from ....budget.ledger import BudgetExceeded, Ledger
from ....budget.money import Paid, Purchase, price_in_micro
from ....envs.labelers.question_keys import DEFAULT
from ....envs.records import Answer, Work
from ....worldmodel.replay.journal.stock import KEY as STOCK
from ....worldmodel.replay.journal.transitions import PREFIX
from ...config import Config
from .bench import Bench
from .ledger_rows import in_coins
from .questions import Questions
from .rows import Rows

SHOWN = 6  # keys of a list


@dataclass(frozen=True)
class Unknown:
    """What the journals hold and the ledger does not know."""

    purchase: Purchase
    units: int | None  # that arrived; None: it is still open
    answer: Answer | None = None  # of a label that arrived

    def terms(self) -> dict[str, Paid]:
        """For `Ledger.settle`."""
        one = self.answer
        return {self.purchase.key: Paid(one.price_micro, one.rater, one.seconds)} if one else {}


@dataclass(frozen=True)
class Lost:
    """Of one kind and tier."""

    noun: str
    units: dict[str, int]  # by key
    micro: int


def settle_accounts(bench: Bench, config: Config, rows: Rows, questions: Questions, is_rebuilt: bool) -> bool:
    """Whether something was booked. What was never paid for and has no question any more is released."""
    with closing(Ledger.open(bench.folder.ledger)) as ledger:
        states = ledger.state_of_keys()
        lost = list(_lost(states, rows, questions))
        unknown = _unknown(states, rows, questions, config, ledger.prices, is_rebuilt)
        orphans = list(_orphans(states, rows, questions, is_rebuilt))
        works = _works(states, questions, is_rebuilt)
        if not (lost or unknown or orphans or works):
            return False
    bench.are_rows_changed = True
    upgrade(bench.folder.ledger)
    with closing(Ledger.open(bench.folder.ledger)) as ledger:
        _write_off(bench, ledger, lost, _reason(rows, questions))
        if orphans:
            freed = sum(states[key].purchase.cost for key in orphans)
            ledger.release(orphans)
            bench.say(f"released: {in_coins(freed)} reserved for what is lost: {_some(orphans)}")
        if works:
            _pay(bench, ledger, works)
        _book(bench, ledger, unknown)
    return True


def _reason(rows: Rows, questions: Questions) -> str:
    whys = [f"{name}: {one.why}" for name, one in (("transitions", rows), ("labels", questions)) if one.why]
    return "tandem repair: " + ("; ".join(whys) or "not on disk")


def _orphans(states: dict[str, KeyState], rows: Rows, questions: Questions, is_rebuilt: bool) -> Iterator[str]:
    """Open purchases of which nothing is left. In a whole run they are what a crash cut off, and are gone on with."""
    for key, state in states.items():
        if state.purchase.kind == "work":
            continue
        is_label = state.purchase.kind == "label"
        is_damaged = is_rebuilt or bool((questions if is_label else rows).why)
        is_there = key in questions.asked if is_label else rows.units[key.removeprefix(PREFIX)] > 0
        if state.is_open and is_damaged and not is_there:
            yield key


def _works(states: dict[str, KeyState], questions: Questions, is_rebuilt: bool) -> dict[str, Work | None]:
    """By key of the ledger: people's time whose payment is lost, None where the journal does not know it either. What is
    open was paid in one commit, of which the second row is lost; what a crash cut off before its commit is paid later."""
    found: dict[str, Work | None] = {
        key: questions.works.get(key.removeprefix(WORK))
        for key, state in states.items()
        if state.is_open and state.purchase.kind == "work"
    }
    heard = {WORK + key: work for key, work in questions.works.items()} if is_rebuilt else {}
    return found | {key: work for key, work in heard.items() if _is_free(states.get(key))}


def _pay(bench: Bench, ledger: Ledger, works: dict[str, Work | None]) -> None:
    known = {key: work for key, work in works.items() if work}
    with ledger.together():
        open_keys = [one.key for one in ledger.outstanding() if one.key in works]
        ledger.release([key for key in open_keys if key in known])
        ledger.settle(dict.fromkeys([key for key in open_keys if key not in known], 1))
        unpaid = ledger.pay(known.values())
    bench.say(f"booked: people's time, the payment of which was lost: {_some(list(works))}")
    if unpaid:
        bench.say(f"not booked: people's time that the budget has no room for: {_some(unpaid)}")


def _lost(states: dict[str, KeyState], rows: Rows, questions: Questions) -> Iterator[Lost]:
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    money: dict[str, int] = defaultdict(int)
    for key, state in states.items():
        bought = state.purchase
        if bought.kind == "work":
            continue  # nobody holds it
        if bought.kind == "transition":
            noun, held = "transitions", rows.stock.transitions if key == STOCK else rows.units[key.removeprefix(PREFIX)]
        else:
            noun, held = f"labels of tier {bought.tier}", int(key in questions.answered)
        if state.held > held:
            groups[noun][key] = state.held - held
            money[noun] += (state.held - held) * bought.price_micro
    for noun, units in groups.items():
        yield Lost(noun, units, money[noun])


def _write_off(bench: Bench, ledger: Ledger, lost: list[Lost], reason: str) -> None:
    with ledger.together():
        for one in lost:
            ledger.write_off(one.units, reason)
    for one in lost:
        number, keys = sum(one.units.values()), _some(list(one.units))
        bench.say(f"lost: {number:,} {one.noun} of {keys}: {in_coins(one.micro)} written off")


def _unknown(
    states: dict[str, KeyState],
    rows: Rows,
    questions: Questions,
    config: Config,
    prices: dict[str, int],
    is_rebuilt: bool,
) -> list[Unknown]:
    """What the journals hold and the ledger does not know.

    In a whole run questions without an answer are what a crash cut off before it was committed, and nobody was asked.
    """
    found: list[Unknown] = []
    for key, units in rows.units.items():
        if units and _is_free(states.get(PREFIX + key)):
            found.append(Unknown(Purchase(PREFIX + key, "transition", units, prices["transition"]), units))
    if rows.stock.transitions and _is_free(states.get(STOCK)):
        units, price = rows.stock.transitions, price_in_micro(config.data.price_transition)
        found.append(Unknown(Purchase(STOCK, "transition", units, price, rows.stock.source), units))
    seen = set()
    for key, item in questions.asked.items():
        tier, clip = item.question.tier, item.question.clip
        if tier == DEFAULT or tier not in config.labeler.tiers:
            price = config.labeler.most_micro(prices["label"])
            if config.data.price_label is not None:
                is_stock = clip.step < rows.stock.next_step[clip.env]
                price = price_in_micro(config.data.price_label if is_stock else config.price.label)
        else:
            price = price_in_micro(config.labeler.tiers[tier].price)
            price += 0 if clip in seen else price_in_micro(config.labeler.item_price)
        seen.add(clip)
        is_cut_off = key not in questions.answered and not (is_rebuilt or questions.why)
        if key not in questions.declined and not is_cut_off and _is_free(states.get(key)):
            answer = questions.answered.get(key)
            price = max(price, answer.price_micro or 0) if answer else price
            found.append(Unknown(Purchase(key, "label", 1, price, tier), 1 if answer else None, answer))
    return found


def _is_free(state: KeyState | None) -> bool:
    return state is None or state.event == "release"


def _book(bench: Bench, ledger: Ledger, unknown: list[Unknown]) -> None:
    booked, left = defaultdict(list), []
    for one in unknown:
        purchase = one.purchase
        try:
            with ledger.together():
                ledger.reserve([purchase])
                if one.units is not None:
                    ledger.settle({purchase.key: one.units}, one.terms())
        except BudgetExceeded:
            left.append(purchase)
        else:
            booked[purchase.kind].append(purchase)
    for kind, bought in booked.items():
        cost, number = sum(one.cost for one in bought), sum(one.units for one in bought)
        where = f"on disk and were not in the ledger, {in_coins(cost)}: {_some([one.key for one in bought])}"
        bench.say(f"booked: {number:,} {kind}s that are {where}")
    if left:
        keys = _some([one.key for one in left])
        bench.say(f"not booked: {len(left):,} purchases on disk that the budget has no room for: {keys}")


def _some(keys: list[str]) -> str:
    shown = ", ".join(keys[:SHOWN])
    return shown if len(keys) <= SHOWN else f"{shown} and {len(keys) - SHOWN:,} more"
