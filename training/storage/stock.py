"""Labels of an earlier run as stock: they were paid for there, and a new run begins with them.

A label's copy holds the rows that it is about, so nothing else of that run is needed: neither its transitions nor its true
rewards. The stock is copied into the run's folder once, before the folder is a run.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from ...durable import sync_folder
from ...envs.labelers.base import LabelerConfig
from ...envs.labelers.question_keys import DEFAULT
from ...envs.records import Answer, Clip, Spaces
from ...errors import UserError
from ...links import refuse_links
from ...worldmodel.replay.copies import Copy
from ...worldmodel.replay.journal.labels import Entry, LabelJournal
from ...worldmodel.replay.label_store import Asked, LabelStore
from ...worldmodel.replay.labels import LabelReplay
from .card import RunCard
from .folder import SAVED_AS, RunFolder

PREFIX = "stock/"  # of the keys: no question of the run itself has it
NEW = ".new"


@dataclass(frozen=True)
class DataConfig:
    labels: str = ""  # the folder of an earlier run of the same task, whose labels this one begins with


@dataclass(frozen=True)
class Fit:
    """What labels of another run must be like."""

    spaces: Spaces
    labeler: LabelerConfig
    burn_in: int
    num_envs: int  # the streams of stock are numbered from here on


def take_stock(folder: RunFolder, data: DataConfig, fit: Fit) -> None:
    """Copy the answered labels of another run, where one is named, with those that it had itself taken as stock. UserError
    "data.labels: ..." where they do not fit.

    Who was retracted there teaches nothing here either.
    """
    if not data.labels:
        return
    source = Path(data.labels)
    card = checked_source(source, fit)
    theirs = RunFolder(source)
    journals = [LabelJournal(one) for one in (theirs.stock, theirs.labels) if one.is_dir()]
    stock = folder.path / (folder.stock.name + NEW)
    shutil.rmtree(stock, ignore_errors=True)
    kept = LabelJournal(stock)
    number = 0
    for asked, answer in _answered(journals):
        what = _misfit(asked, fit)
        if what:
            raise UserError(f"data.labels: {source}: {what}")
        item, given = _as_stock(asked, answer, fit.num_envs)
        kept.write(Entry(0, (item,), (given,)))
        number += 1
    for journal in journals:
        journal.log.close()
    kept.log.sync()
    kept.log.close()
    if not number:
        raise UserError(f"data.labels: {source}: holds no answered label (made by version {card.version})")
    os.replace(stock, folder.stock)
    sync_folder(folder.path)
    print(f"data.labels: {number:,} labels of {source} are there, paid for elsewhere", flush=True)


def checked_source(source: Path, fit: Fit) -> RunCard:
    """The card of a run whose labels may fit. UserError in one line."""
    if not (source / SAVED_AS).is_file():
        raise UserError(f"data.labels: {source} is no run's folder, it has no {SAVED_AS}")
    refuse_links(source)
    card = RunCard.find(source)
    if card is None:
        raise UserError(f"data.labels: {source}: is of a version that kept no card of its spaces")
    theirs, ours = (dict(one.obs) | {"action": one.action_size} for one in (card.spaces, fit.spaces))
    for name in sorted(theirs.keys() | ours.keys()):
        if theirs.get(name) != ours.get(name):
            told = f"{name} is {theirs.get(name, 'nothing')} there and {ours.get(name, 'nothing')} here"
            raise UserError(f"data.labels: {source}: is of another task: {told}")
    return card


def load_stock(folder: RunFolder, labels: LabelStore) -> LabelStore:
    """Put the stock, where there is any, into a label store that is still empty. Its latents begin at zero: those of another
    model would mean nothing here."""
    if not folder.stock.is_dir() or not isinstance(labels, LabelReplay):
        return labels
    deter, stoch = (labels.training.columns[name].shape[1] for name in ("start_deter", "start_stoch"))
    for entry in LabelJournal(folder.stock).read():
        for asked in entry.asked:
            copies = [replace(copy, **_nothing(deter, stoch)) for copy in asked.copies]
            labels.ask(replace(asked, copy=copies[0], right=copies[1] if asked.right else None))
        for answer in entry.answers:
            labels.answer(answer)
    labels.num_stock = labels.received
    return labels


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


def _as_stock(asked: Asked, answer: Answer, num_envs: int) -> tuple[Asked, Answer]:
    """Of streams of their own, asked of the default tier; whoever answered under another name keeps it."""
    question = asked.question
    key, tier = PREFIX + question.key, question.tier
    moved = {"clip": _moved(question.clip, num_envs), "right": question.right and _moved(question.right, num_envs)}
    copies = [replace(_begun(copy), env=copy.env + num_envs) for copy in asked.copies]
    item = Asked(replace(question, key=key, tier=DEFAULT, **moved), copies[0], asked.is_uniform, *copies[1:])
    return item, replace(answer, key=key, rater=answer.rater or ("" if tier == DEFAULT else tier))


def _moved(clip: Clip, num_envs: int) -> Clip:
    return replace(clip, env=clip.env + num_envs)


def _begun(copy: Copy) -> Copy:
    """Beginning at its first row, as one whose history is gone."""
    start = copy.num_padding
    is_first, prev_action = copy.is_first.copy(), copy.prev_action.copy()
    is_first[start], prev_action[start] = True, 0
    return replace(copy, is_first=is_first, prev_action=prev_action, **_nothing(1, 1))


def _nothing(deter: int, stoch: int) -> dict:
    zeros = {"start_deter": np.zeros(deter, np.float32), "start_stoch": np.zeros(stoch, np.uint8)}
    return zeros | {"context_step": -1}
