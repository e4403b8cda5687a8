"""The rows of copies in the journal of labels, each written once: a copy names them by their numbers in the journal.

A copy may name a row of an earlier frame, but none further back than `reach` rows: so much a reader has to remember.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ....frames import Frame
from ..copies import Copy
from ..rows.rings import Columns, Rings

REACH_BYTES, REACH_ROWS = 2**30, 2**18
PADDING = -1  # the number of a row that is none
PREFIX, NUMBERS, FIRST = "rows/", "copy/rows", "first_row"  # in a frame: columns, numbers (n, L), number of the first
Rows = dict[str, np.ndarray]  # columns, by name


def reach(row_bytes: int) -> int:
    """How many rows back a copy may name one."""
    return max(1, min(REACH_ROWS, REACH_BYTES // max(row_bytes, 1)))


class WrittenRows:
    """What the end of a journal holds, so that it is not written again: rows are the same where their bytes are."""

    def __init__(self, count: int = 0):
        self.count = count  # rows in the journal
        self.numbers: dict[bytes, int] = {}  # digest -> number, the oldest first

    def arrays(self, copies: Sequence[Copy]) -> Rows:
        """As a frame holds the rows of these copies: those that are new, and the numbers of all."""
        numbers = np.full((len(copies), len(copies[0].is_first)), PADDING, np.int64)
        oldest = self.count - reach(_row_bytes(copies[0].rows))
        new: dict[bytes, tuple[int, int]] = {}  # digest -> which copy's, and its place there
        order: dict[bytes, int] = {}
        for i, copy in enumerate(copies):
            for place, digest in enumerate(digests(copy.rows, copy.num_padding), copy.num_padding):
                number = self.numbers.get(digest, PADDING)
                if number < max(oldest, 0):
                    new.setdefault(digest, (i, place))
                    number = order.setdefault(digest, self.count + len(order))
                numbers[i, place] = number
        rows = {name: values[:0] for name, values in copies[0].rows.items()}
        for name in rows if new else ():
            rows[name] = np.stack([copies[i].rows[name][place] for i, place in new.values()])
        return {PREFIX + name: values for name, values in rows.items()} | {NUMBERS: numbers}

    def keep(self, arrays: Rows) -> None:
        """The frame with these arrays is in the journal."""
        rows = {name.removeprefix(PREFIX): one for name, one in arrays.items() if name.startswith(PREFIX)}
        for digest in digests(rows):
            self.numbers.pop(digest, None)  # one that was out of reach
            self.numbers[digest] = self.count
            self.count += 1
        oldest = self.count - reach(_row_bytes(rows))
        while self.numbers and next(iter(self.numbers.values())) < oldest:
            del self.numbers[next(iter(self.numbers))]


@dataclass(frozen=True)
class Found:
    """The rows of n copies: columns (n, L, ...), and which of them are lost, (n, L). Padding and what is lost are zero."""

    rows: Rows
    is_lost: np.ndarray


class ReadRows:
    """The newest rows of a journal that is being read, as many as its copies may name."""

    def __init__(self):
        self.count = 0
        self._rings: Rings | None = None

    def take(self, frame: Frame) -> Found:
        """The rows of a frame's copies. Frames before it may be missing: what they held is lost."""
        rows = {n.removeprefix(PREFIX): one for n, one in frame.arrays.items() if n.startswith(PREFIX)}
        numbers, first = frame.arrays[NUMBERS], frame.values[FIRST]
        new = len(rows["is_first"])
        is_old, is_new = (numbers >= 0) & (numbers < first), numbers >= first
        is_held = np.zeros_like(is_old)
        if self._rings is not None:
            slot = numbers % self._rings.length  # of the only ring
            is_held = is_old & (self._rings.columns["number"][slot] == numbers + 1)
        found = {}
        for name, values in rows.items():
            found[name] = np.zeros((*numbers.shape, *values.shape[1:]), values.dtype)
            found[name][is_new] = values[numbers[is_new] - first]
            if self._rings is not None:
                found[name][is_held] = self._rings.read(name, slot[is_held])
        self._remember(rows, first, new)
        return Found(found, is_old & ~is_held)

    def _remember(self, rows: Rows, first: int, new: int) -> None:
        self.count = first + new
        if not new:
            return
        if self._rings is None:
            columns: Columns = {name: (values.shape[1:], values.dtype) for name, values in rows.items()}
            columns["number"] = ((), np.int64)  # of the row, and one more: 0 is nobody's
            self._rings = Rings(columns, 1, reach(_row_bytes(rows)))
        self._rings.count[:] = first  # frames between may be missing
        number = np.arange(first, first + new) + 1
        block = {name: values[:, None] for name, values in rows.items()} | {"number": number[:, None]}
        self._rings.extend(np.ones((new, 1), bool), block)

    def written(self) -> WrittenRows:
        """What the journal's end holds, for whoever writes on."""
        known = WrittenRows(self.count)
        if self._rings is not None:
            stream, row = self._rings.every_row()
            for number in row.tolist():
                slot = self._rings.slot(stream[:1], np.array([number]))
                one = {name: self._rings.read(name, slot) for name in self._rings.columns if name != "number"}
                known.numbers[next(digests(one))] = number
        return known


def digests(rows: Rows, start: int = 0) -> Iterator[bytes]:
    """Of each of the rows from `start` on: of its bytes in all columns."""
    names = sorted(rows)
    for place in range(start, len(rows["is_first"])):
        yield hashlib.blake2b(b"".join(rows[name][place].tobytes() for name in names), digest_size=16).digest()


def _row_bytes(rows: Rows) -> int:
    return sum(int(np.prod(values.shape[1:])) * values.itemsize for values in rows.values())
