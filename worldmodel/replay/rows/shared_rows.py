"""The rows that copies of labels are made of, each kept once: counted by the copies that need it, gone with the last one."""

import math

import numpy as np
import torch

from ..copies import Copy
from .rings import FIRST_ROWS, Columns
from .storage import Storage

WORD = 4  # bytes
WORDS = "words"  # the array of all that is made of them, side by side: one look finds all of a row that is no image
PADDING = 0  # the slot of a row of zeros, which no copy owns


class SharedRows:
    """Columns of rows in slots. A copy holds L slots; a row of the same content as one that is held takes no slot of its own.

    Where a row may lie already is looked up by (environment, step). That is a hint and no more: contents are compared, so
    that copies of a row which differ (its history was evicted in between) stay what they were.
    """

    def __init__(self, columns: Columns, storage: Storage | None = None):
        self.storage, self.columns = storage or Storage(), columns
        self.places: dict[str, slice] = {}  # of columns among the words
        for name, (shape, dtype) in columns.items():
            if np.dtype(dtype).itemsize == WORD and len(shape) == 1:
                start = max((place.stop for place in self.places.values()), default=0)
                self.places[name] = slice(start, start + shape[0])
        width = max((place.stop for place in self.places.values()), default=0)
        self._forms: Columns = {name: form for name, form in columns.items() if name not in self.places}
        self._forms |= {WORDS: ((width,), np.uint32)}
        self._arrays: dict[str, np.ndarray] = {}
        self.users = np.zeros(0, np.int32)  # copies that need the row in a slot
        self.used, self.free = PADDING + 1, list[int]()  # slots ever taken, and those of them that are free again
        self.hints = np.zeros((1, FIRST_ROWS), np.int32)  # (environment, step) -> slot
        self._grow(FIRST_ROWS)

    def __len__(self) -> int:
        """Rows held."""
        return self.used - 1 - len(self.free)

    @property
    def row_bytes(self) -> int:
        """Of a row, with its count."""
        return WORD + sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in self._forms.values())

    def hold(self, copy: Copy) -> np.ndarray:
        """Slots (L,) int32 of the rows of a copy, which are kept until `release`."""
        padding, steps = copy.num_padding, copy.steps[copy.num_padding :]
        self._make_hints(copy.env, int(steps[-1]))
        values = {name: value[padding:] for name, value in self._stored(copy.rows).items()}
        slot = self.hints[copy.env, steps]
        new = np.flatnonzero(~self._is_held(slot, values))
        slot[new] = self._take_free(len(new))
        for name, value in values.items():
            self._arrays[name][slot[new]] = value[new]
        self.hints[copy.env, steps] = slot
        self._count(slot, 1)
        return np.concatenate([np.full(padding, PADDING, np.int32), slot])

    def release(self, slot: np.ndarray) -> None:
        """A copy that held these slots (L,) is gone."""
        slot = slot[slot != PADDING]
        self._count(slot, -1)
        assert (self.users[slot] >= 0).all(), slot
        self.free += np.unique(slot[self.users[slot] == 0]).tolist()

    def read(self, slot: np.ndarray) -> dict[str, np.ndarray]:
        """The rows in these slots (any shape): copies (*slot.shape, *shape), some of them views of one array."""
        found = {name: np.take(values, slot, axis=0) for name, values in self._arrays.items()}
        words = found.pop(WORDS)
        return found | {n: words[..., place].view(self.columns[n][1]) for n, place in self.places.items()}

    def take(self, slot: np.ndarray) -> dict[str, torch.Tensor]:
        """As `read`, as tensors."""
        return {name: torch.from_numpy(values) for name, values in self.read(slot).items()}

    def _stored(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Rows (L, ...) of all columns, by the arrays that hold them."""
        assert rows.keys() == self.columns.keys(), (sorted(rows), sorted(self.columns))
        words = [np.ascontiguousarray(rows[name], self.columns[name][1]).view(np.uint32) for name in self.places]
        return {name: rows[name] for name in self._forms if name != WORDS} | {WORDS: np.concatenate(words, 1)}

    def _is_held(self, slot: np.ndarray, values: dict[str, np.ndarray]) -> np.ndarray:
        """(L,) which of the rows lie in these slots, bit for bit."""
        same = self.users[slot] > 0
        for name in (WORDS, *values):
            if same.any():
                same &= (_bits(self._arrays[name][slot]) == _bits(values[name])).all(1)
        return same

    def _count(self, slot: np.ndarray, number: int) -> None:
        if len(slot) < 2 or len(set(slot.tolist())) == len(slot):
            self.users[slot] += number
        else:  # rows of one copy that are alike
            np.add.at(self.users, slot, number)

    def _take_free(self, number: int) -> np.ndarray:
        again = [self.free.pop() for _ in range(min(number, len(self.free)))]
        fresh = range(self.used, self.used + number - len(again))
        self.used = fresh.stop
        if self.used > len(self.users):
            self._grow(max(2 * len(self.users), self.used))
        return np.array([*again, *fresh], np.int32)

    def _grow(self, length: int) -> None:
        for name, (shape, dtype) in self._forms.items():
            self._arrays.pop(name, None)  # a storage grows what nobody looks at
            self._arrays[name] = self.storage.array(name, (length, *shape), dtype)
        self.users = np.concatenate([self.users, np.zeros(length - len(self.users), np.int32)])

    def _make_hints(self, env: int, step: int) -> None:
        num, steps = self.hints.shape
        while step >= steps:
            steps *= 2
        if env >= num or steps > self.hints.shape[1]:
            more = (max(num, env + 1) - num, steps - self.hints.shape[1])
            self.hints = np.pad(self.hints, ((0, more[0]), (0, more[1])))


def _bits(rows: np.ndarray) -> np.ndarray:
    """(n, *shape) -> (n, numbers): zeros of two signs differ, and what is no number equals itself."""
    rows = np.ascontiguousarray(rows).reshape(len(rows), -1)
    return rows.view(np.uint32 if rows.itemsize == WORD else np.uint8)
