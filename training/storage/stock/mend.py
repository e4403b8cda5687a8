"""The stock in a repair: episodes, rewards and labels that can still be read stay, and what is lost is told."""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ....worldmodel.replay.journal.labels import Entry, LabelJournal, entry_of
from ....worldmodel.replay.journal.rows import ReadRows
from ....worldmodel.replay.journal.stock import episode_of
from ....worldmodel.replay.stock import StockEpisode
from ..folder import RunFolder
from ..repair.bench import NEW, Bench, text_into
from ..repair.logs import Row, condition, whole_frames, write_new
from ..repair.rewards import KIND
from .labels import LABELS
from .stock import CARD, DamagedStock, StockCard, read_card
from .transitions import REWARDS, TRANSITIONS


@dataclass
class Stocked:
    """What is there after the repair."""

    transitions: int = 0
    source: str = ""
    next_step: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # stream -> the row after its last


def stocked(folder: RunFolder) -> Iterator[StockEpisode]:
    """The episodes that can be read."""
    yield from map(episode_of, whole_frames(folder.stock / TRANSITIONS))


def mend_stock(bench: Bench) -> Stocked:
    """Replace what is damaged by what can be read. A row that has lost its reward has NaN, which nobody sells."""
    folder, found = bench.folder.stock, Stocked()
    if not folder.is_dir():
        return found
    card, why = _card(bench.folder)
    found.source = card.source if card else ""
    for one in stocked(bench.folder):
        found.transitions += len(one)
        found.next_step[one.env] = one.step + len(one) + 1
    short = "" if card is None or found.transitions >= card.transitions else "its end is missing"
    _replace(
        bench,
        folder / TRANSITIONS,
        short,
        [(one.kind, one.arrays, one.values) for one in whole_frames(folder / TRANSITIONS)],
    )
    _mend_rewards(bench)
    labels = _mend_labels(bench, card.labels if card else 0)
    now = StockCard(found.source, found.transitions, labels)
    if now != card:
        bench.are_rows_changed = True
        bench.replace(
            folder / CARD, why or "less is there than was copied", lambda path: text_into(path, json.dumps(asdict(now)))
        )
    return found


def _card(folder: RunFolder) -> tuple[StockCard | None, str]:
    try:
        return read_card(folder), ""
    except DamagedStock as error:
        return None, str(error)


def _replace(bench: Bench, folder: Path, short: str, rows: list[Row]) -> None:
    why = condition(folder, {}).why or short
    if why:
        bench.are_rows_changed = True
        bench.replace_folder(folder, why, write_new(folder, rows))


def _mend_rewards(bench: Bench) -> None:
    folder = bench.folder.stock / REWARDS
    rows: list[Row] = [(frame.kind, frame.arrays, frame.values) for frame in whole_frames(folder)]
    known = {
        pair for _, arrays, _ in rows for pair in zip(arrays["env"].tolist(), arrays["step"].tolist(), strict=True)
    }
    bought = [(one.env, one.step + row) for one in stocked(bench.folder) for row in range(1, len(one) + 1)]
    missing = [pair for pair in bought if pair not in known]
    if missing:
        env, step = np.array(missing, np.int64).T
        rows.append((KIND, {"env": env, "step": step, "reward": np.full(len(missing), np.nan)}, {}))
        bench.say(
            f"lost: {len(missing):,} rewards of the stock; questions about their rows will be declined, and cost nothing"
        )
    _replace(bench, folder, "rewards are missing" if missing else "", rows)


def _mend_labels(bench: Bench, copied: int) -> int:
    """-> how many are left. A label that has lost a row of its copy goes."""
    folder = bench.folder.stock / LABELS
    entries = list(_whole_entries(folder))
    number = sum(len(entry.answers) for entry in entries)
    if number < copied:
        why = condition(folder, {}).why or "labels are missing"
        bench.are_rows_changed = True
        bench.replace_folder(folder, why, _written(folder.with_name(folder.name + NEW), entries))
        bench.say(f"lost: {copied - number:,} labels of the stock")
    return number


def _whole_entries(folder: Path) -> Iterator[Entry]:
    rows = ReadRows()
    for frame in whole_frames(folder):
        entry = entry_of(frame, rows)
        asked = tuple(item for item in entry.asked if item.question.key not in entry.cut)
        kept = {item.question.key for item in asked}
        if asked:
            yield Entry(entry.call, asked, tuple(one for one in entry.answers if one.key in kept))


def _written(new: Path, entries: list[Entry]) -> Path:
    if new.exists():
        shutil.rmtree(new)
    new.mkdir()
    journal = LabelJournal(new)
    for entry in entries:
        journal.write(entry)
    journal.log.sync()
    journal.log.close()
    return new
