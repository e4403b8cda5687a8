"""The journal of labels: answers with their questions, which a repair asks of the rows again where only they are lost."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ....budget.books.state import KeyState
from ....envs.labelers.question_keys import question_of
from ....envs.records import Answer, Clip, Declined, Work
from ....worldmodel.replay.copies import Copy
from ....worldmodel.replay.journal.labels import Entry, LabelJournal, entry_of
from ....worldmodel.replay.journal.rows import ReadRows
from ....worldmodel.replay.label_store import Asked
from .bench import NEW, Bench
from .logs import condition, whole_frames, write_new

GONE = "lost: its answer was in a damaged file"
CopyOf = Callable[[Clip], Copy | None]  # KeyError where the row is gone


@dataclass
class Questions:
    """What the journal holds after the repair, by key."""

    asked: dict[str, Asked] = field(default_factory=dict)
    answered: dict[str, Answer] = field(default_factory=dict)
    declined: set[str] = field(default_factory=set)
    works: dict[str, Work] = field(default_factory=dict)
    why: str = ""  # what was wrong with the journal; empty: nothing

    def take(self, entry: Entry) -> None:
        self.asked |= {item.question.key: item for item in entry.asked}
        self.answered |= {answer.key: answer for answer in entry.answers}
        self.works |= {work.key: work for work in entry.works}
        self.declined |= {one.key for one in entry.declined}

    @property
    def replied(self) -> set[str]:
        return self.answered.keys() | self.declined


def read_questions(bench: Bench) -> tuple[list[Entry], Questions]:
    """All entries that can be read."""
    rows = ReadRows()
    entries = [entry_of(frame, rows) for frame in whole_frames(bench.folder.labels)]
    found = Questions(why=condition(bench.folder.labels, bench.written).why)
    for entry in entries:
        found.take(entry)
    return entries, found


def mend_questions(bench: Bench, known: dict[str, KeyState], copy_of: CopyOf, is_uniform: bool) -> Questions:
    """Replace a damaged journal by one of all entries that can be read.

    Of a copy that has lost rows, and of a question that is lost and was paid for, or was answered, the row is copied anew,
    if it is still there; the question is never asked again. Of a question whose answer is lost and was paid for nobody waits. known: keys of the ledger.
    is_uniform: whether rows are drawn uniformly, so that first answers may measure.
    """
    entries, found = read_questions(bench)
    entries = [_with_whole_copies(entry, copy_of) for entry in entries]
    again = _asked_again(found, known, copy_of, is_uniform)
    names = found.asked.keys() | {item.question.key for item in again}
    kept = [_with_questions(entry, names) for entry in entries]
    gone = [key for key in names if key not in found.replied and _is_over(known.get(key))]
    call = max((entry.call for entry in entries), default=0)
    new = [Entry(0, asked=tuple(again))] if again else []
    new += [entry for entry in kept if entry.asked or entry.answers or entry.declined]
    new += [Entry(call, declined=tuple(Declined(key, GONE) for key in sorted(gone)))] if gone else []
    is_cut = any(
        len(a.answers) + len(a.declined) < len(b.answers) + len(b.declined) for a, b in zip(kept, entries, strict=True)
    )
    if not (found.why or again or gone or is_cut):
        return found
    bench.are_rows_changed = True
    mended = Questions(why=found.why or "questions or answers are missing")
    for entry in new:
        mended.take(entry)
    _write(bench, mended.why, new)
    if again:
        bench.say(f"rescued: {len(again):,} questions about rows that are still there")
    return mended


def _with_whole_copies(entry: Entry, copy_of: CopyOf) -> Entry:
    """With the copies that have lost rows taken anew from rows that are still there."""

    def whole(item: Asked) -> Asked:
        try:
            if item.question.key not in entry.cut:
                return item
            copies = [copy_of(clip) for clip in item.question.clips]
            return Asked(item.question, copies[0], item.is_uniform, *copies[1:])
        except KeyError:
            return item

    return replace(entry, asked=tuple(map(whole, entry.asked)))


def _asked_again(found: Questions, known: dict[str, KeyState], copy_of: CopyOf, is_uniform: bool) -> list[Asked]:
    """Questions that are lost, about rows that are still there."""
    keys = [key for key, state in known.items() if state.purchase.kind == "label" and state.held]
    wanted = dict.fromkeys(key for key in (*keys, *sorted(found.replied)) if key not in found.asked)
    seen = {item.question.clip for item in found.asked.values()}
    again = []
    for question in filter(None, map(question_of, wanted)):
        try:
            copies = [copy_of(clip) for clip in question.clips]
        except KeyError:
            continue
        state = known.get(question.key)
        question = replace(question, tier=state.purchase.tier if state else question.tier)
        again.append(Asked(question, copies[0], is_uniform and question.clip not in seen, *copies[1:]))
        seen.add(question.clip)
    return again


def _with_questions(entry: Entry, names: set[str]) -> Entry:
    """Without replies to questions that nobody knows."""
    return replace(
        entry,
        answers=tuple(answer for answer in entry.answers if answer.key in names),
        declined=tuple(one for one in entry.declined if one.key in names),
    )


def _is_over(state: KeyState | None) -> bool:
    """Whether the ledger no longer waits."""
    return state is not None and not state.is_open


def _write(bench: Bench, why: str, entries: list[Entry]) -> None:
    folder = bench.folder.labels
    new = write_new(folder, [])
    journal = LabelJournal(new)
    for entry in entries:
        journal.write(entry)
    journal.log.sync()
    journal.log.close()
    assert new.name == folder.name + NEW, new
    bench.replace_folder(folder, why, new)
