"""Labels that are there as stock: they were paid for elsewhere, and a run begins with them.

A label's copy holds the rows that it is about, so nothing else of where it comes from is needed. Where its rows are in the
stock too, it lies on them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from ....envs.datasets.find import find_data
from ....envs.datasets.given import Given
from ....envs.labelers.question_keys import DEFAULT, key_of
from ....envs.records import Answer, Clip, Question
from ....errors import UserError
from ....worldmodel.replay.copies import Copy
from ....worldmodel.replay.journal.labels import Entry, LabelJournal
from ....worldmodel.replay.label_store import Asked, LabelStore
from ....worldmodel.replay.labels import LabelReplay
from ....worldmodel.replay.transitions import TransitionReplay
from ..folder import RunFolder
from .earlier import card_of, is_run
from .fit import Fit, check_source, check_spaces
from .transitions import Place, Places, Shelf

LABELS = "labels"  # in the folder of the stock
PREFIX = "stock/"  # of the keys: no question of the run itself has it
KEY = "data.labels"


@dataclass(frozen=True)
class Views:
    """How a data set is looked at: what is picked of its observations."""

    keys: tuple[str, ...]
    size: int


def take_labels(stock: Path, name: str, fit: Fit, views: Views, places: Places | None) -> int:
    """Copy the labels of a run or data set into the folder `stock`. -> how many. UserError "data.labels: ..." where they do not
    fit. places: of the episodes of the stock, where they come from the same; None: from elsewhere."""
    entries = _of_run(Path(name), fit, places) if is_run(Path(name)) else _of_data(name, fit, views, places)
    kept, number = LabelJournal(stock / LABELS), 0
    try:
        for entry in entries:
            kept.write(entry)
            number += len(entry.answers)
    finally:
        kept.log.sync()
        kept.log.close()
    if not number:
        raise UserError(f"{KEY}: {name}: holds no answered label")
    return number


def _of_run(source: Path, fit: Fit, places: Places | None) -> Iterator[Entry]:
    """Who was retracted there teaches nothing here either."""
    check_spaces(KEY, str(source), card_of(KEY, source).spaces, fit.spaces)
    folder = RunFolder(source)
    held = [LabelJournal(place) for place in (folder.stock / LABELS, folder.labels) if place.is_dir()]
    for asked, answer in _answered(held):
        what = _misfit(asked, fit)
        if what:
            raise UserError(f"{KEY}: {source}: {what}")
        item, given = _as_stock(asked, answer, fit.num_envs, places)
        if len({copy.is_heldout for copy in item.copies}) > 1:
            continue  # a pair, of which one clip now measures and the other trains
        yield Entry(0, (item,), (given,))


def _of_data(name: str, fit: Fit, views: Views, places: Places | None) -> Iterator[Entry]:
    """An entry an episode: the rewards that are known of it."""
    source = find_data(KEY, name, views.keys, views.size, gaps=True)
    check_source(KEY, source, fit)
    if fit.labeler.kind != "step":
        raise UserError(f"{KEY}: {name}: its rewards are about single rows, labeler.kind is {fit.labeler.kind}")
    shelf = Shelf(replace(fit, num_envs=1))
    for given in source.episodes():
        place = places.by_name[given.name] if places else replace(shelf.put(given), env=fit.num_envs)
        known = np.flatnonzero(~np.isnan(given.rewards))
        is_uniform = len(known) == len(given)  # chosen rows measure nothing
        items = [
            Asked(_question(place, row), _copy(given, place, row, fit.burn_in), is_uniform)
            for row in (known + 1).tolist()
        ]
        answers = [Answer(item.question.key, float(given.rewards[row])) for item, row in zip(items, known, strict=True)]
        if items:
            yield Entry(0, tuple(items), tuple(answers))


def _question(place: Place, row: int) -> Question:
    clip = Clip(place.env, place.step + int(row))
    return Question(PREFIX + key_of("step", clip, None, DEFAULT, 0), clip)


def _copy(given: Given, place: Place, row: int, burn_in: int) -> Copy:
    """As `copy_rows` would make it of the replay, beginning at its first row."""
    length, first = burn_in + 1, max(0, row - burn_in)
    padding, number = length - (row + 1 - first), row + 1 - first

    def padded(values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros((padding, *values.shape[1:]), values.dtype), values])

    led = np.concatenate([np.zeros_like(given.action[:1]), given.action])  # to each row
    prev_action = led[first : row + 1].copy()
    prev_action[0] = 0
    return Copy(
        env=place.env,
        step=place.step + int(row),
        episode=place.episode,
        is_heldout=place.is_heldout,
        obs={key: padded(values[first : row + 1]) for key, values in given.obs.items()},
        prev_action=padded(prev_action),
        is_first=padded(np.arange(number) == 0),
        **_nothing(1, 1),
    )


def load_labels(stock: Path, labels: LabelStore, transitions: TransitionReplay) -> None:
    """Put the labels of the stock, where there are any, into a store that is still empty. Their latents begin at zero: those of
    another model would mean nothing here. Rows that they lie on are not asked about again."""
    if not (stock / LABELS).is_dir() or not isinstance(labels, LabelReplay):
        return
    deter, stoch = (labels.training.columns[name].shape[1] for name in ("start_deter", "start_stoch"))
    for entry in LabelJournal(stock / LABELS).read():
        for asked in entry.asked:
            copies = [replace(copy, **_nothing(deter, stoch)) for copy in asked.copies]
            labels.ask(replace(asked, copy=copies[0], right=copies[1] if asked.right else None))
        clips = [clip for asked in entry.asked for clip in asked.question.clips if clip.env < transitions.num_streams]
        transitions.open.mark_asked(clips)
        for answer in entry.answers:
            labels.answer(answer)
    labels.num_stock = labels.received


def _answered(journals: Sequence[LabelJournal]) -> Iterator[tuple[Asked, Answer]]:
    """Who was retracted in one of them is in all."""
    open_questions: dict[str, Asked] = {}
    retracted = {name for journal in journals for entry in journal.read() for name in entry.retracted}
    for entry in chain.from_iterable(journal.read() for journal in journals):
        open_questions |= {item.question.key: item for item in entry.asked}
        for answer in entry.answers:
            asked = open_questions.pop(answer.key)
            if answer.rater not in retracted:
                yield asked, answer
        for one in entry.declined:
            open_questions.pop(one.key)
    for journal in journals:
        journal.log.close()


def _misfit(asked: Asked, fit: Fit) -> str:
    """What is wrong with a label; empty: nothing."""
    question, length = asked.question, fit.burn_in + fit.labeler.rows
    kinds = {fit.labeler.kind, "clip"} if fit.labeler.kind == "pair" else {fit.labeler.kind}
    if question.kind not in kinds:
        return f"its labels are about a {question.kind}, labeler.kind is {fit.labeler.kind}"
    if asked.copy is None:
        return "its labels have no copies of what they are about: it was coupled"
    if len(asked.copy.is_first) != length:
        rows = len(asked.copy.is_first)
        return f"its labels hold {rows} rows, labels.burn_in and labeler.length make {length}"
    return ""


def _as_stock(asked: Asked, answer: Answer, num_envs: int, places: Places | None) -> tuple[Asked, Answer]:
    """On their rows where these are here, else of streams of their own; asked of the default tier, and whoever answered under
    another name keeps it."""
    question = asked.question
    key, tier = PREFIX + question.key, question.tier
    pairs = [_moved(clip, copy, num_envs, places) for clip, copy in zip(question.clips, asked.copies, strict=True)]
    moved = {"clip": pairs[0][0], "right": pairs[1][0] if question.right else None}
    item = Asked(
        replace(question, key=key, tier=DEFAULT, **moved),
        pairs[0][1],
        asked.is_uniform,
        *(copy for _, copy in pairs[1:]),
    )
    return item, replace(answer, key=key, rater=answer.rater or ("" if tier == DEFAULT else tier))


def _moved(clip: Clip, copy: Copy, num_envs: int, places: Places | None) -> tuple[Clip, Copy]:
    found = places.of(clip) if places else None
    if found is None:
        return replace(clip, env=clip.env + num_envs), replace(_begun(copy), env=copy.env + num_envs)
    here, place = found
    return here, replace(_begun(copy), env=here.env, step=here.step, episode=place.episode, is_heldout=place.is_heldout)


def _begun(copy: Copy) -> Copy:
    """Beginning at its first row, as one whose history is gone."""
    start = copy.num_padding
    is_first, prev_action = copy.is_first.copy(), copy.prev_action.copy()
    is_first[start], prev_action[start] = True, 0
    return replace(copy, is_first=is_first, prev_action=prev_action, **_nothing(1, 1))


def _nothing(deter: int, stoch: int) -> dict:
    zeros = {"start_deter": np.zeros(deter, np.float32), "start_stoch": np.zeros(stoch, np.uint8)}
    return zeros | {"context_step": -1}
