"""The journal of transitions: ticks before and after what is lost, and names of rows that are never given twice."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ....worldmodel.replay.journal.transitions import KIND, arrays_of, ticks_of
from ....worldmodel.replay.tick import Ticks
from ..stock.mend import Stocked
from .bench import Bench
from .logs import Row, condition, whole_frames, write_new

EMPTY_KEY = "00000000"  # of a chunk, where no other is known


@dataclass
class Rows:
    """What the journal holds after the repair."""

    units: Counter[str] = field(default_factory=Counter)  # transitions by the key of their chunk
    next_step: np.ndarray | None = None  # (N,) of each stream; None where no tick is left
    why: str = ""  # what was wrong with the journal; empty: nothing
    stock: Stocked = field(default_factory=Stocked)  # rows that were there before


def mend_transitions(bench: Bench, floor: dict[int, int], blank: Ticks | None) -> Rows:
    """Replace a damaged journal by one of all ticks that can be read.

    A row whose predecessor is lost becomes a first one: the transition into it is gone. floor: stream -> the step from
    which on rows have no name yet, as far as questions tell. Where that is further than the ticks go, a last row that costs
    nothing is added there. blank: such a row where no tick is left, None where nobody knows what one looks like.
    """
    folder, rows = bench.folder.transitions, Rows()
    rows.why = condition(folder, bench.written).why
    last, key, jumps = None, EMPTY_KEY, 0
    for _, ticks, key, jumped in _mended(bench):
        rows.units[key] += ticks.num_bought
        last, jumps = ticks, jumps + jumped
    closing = _closing(last or blank, floor, is_blank=last is None)
    if jumps or closing is not None:
        rows.why = rows.why or "rows are missing"
    if last is not None:
        rows.next_step = last.step[-1] + 1
    if rows.why:
        bench.are_rows_changed = True
        bench.replace_folder(folder, rows.why, write_new(folder, _frames(bench, closing, key)))
    return rows


def _mended(bench: Bench) -> Iterator[tuple[str, Ticks, str, int]]:
    """(kind, ticks, key, rows that became first ones) of every whole frame."""
    before = None
    for frame in whole_frames(bench.folder.transitions):
        ticks = ticks_of(frame)
        if not len(ticks):
            continue
        before = np.full(ticks.step.shape[1], -1) if before is None else before
        jumped = (ticks.step != np.concatenate([before[None], ticks.step[:-1]]) + 1) & ~ticks.is_first
        before = ticks.step[-1]
        yield frame.kind, replace(ticks, is_first=ticks.is_first | jumped), frame.values["key"], int(jumped.sum())


def _frames(bench: Bench, closing: Ticks | None, last_key: str) -> Iterator[Row]:
    for kind, ticks, key, _ in _mended(bench):
        yield kind, arrays_of(ticks), {"key": key, "units": ticks.num_bought}
    if closing is not None:
        yield KIND, arrays_of(closing), {"key": last_key, "units": 0}


def _closing(last: Ticks | None, floor: dict[int, int], is_blank: bool) -> Ticks | None:
    """A tick of rows that end where they begin, at steps that nobody has asked about; None where none is needed."""
    if last is None:
        return None
    tick = last[len(last) - 1 :]
    next_step = tick.step[0] if is_blank else tick.step[0] + 1
    wanted = np.array([max(step, floor.get(env, 0)) for env, step in enumerate(next_step.tolist())])
    if (wanted <= next_step).all():
        return None
    yes, no = np.ones_like(tick.is_first), np.zeros_like(tick.is_first)
    flags = {"is_first": yes, "is_last": yes, "is_terminal": no, "step": wanted[None]}
    return replace(tick, **flags, action=np.zeros_like(tick.action))
