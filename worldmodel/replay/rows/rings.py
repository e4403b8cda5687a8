"""N rings of rows. A row keeps its number in its ring for ever; its slot is that number modulo the allocated length."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import DTypeLike

from .storage import Storage

FIRST_ROWS = 1024  # allocated at the start; doubled on demand, so that a large capacity costs nothing until it is used

BFLOAT16 = "bfloat16"  # the type of a column that takes and gives float32, and keeps the upper half of it, rounded

Columns = dict[str, tuple[tuple[int, ...], DTypeLike]]  # name -> shape and type of one row


class Rings:
    """Columns of shape (N, R, *shape) in a storage, R growing to `capacity` and wrapping only there.

    The columns are numpy arrays because numpy writes duplicate indices in order (the last one wins), which a threaded
    tensor scatter does not promise. numpy has no bfloat16: such a column holds its bits, and `read` and `write` convert.
    """

    def __init__(self, columns: Columns, num_streams: int, capacity: int, storage: Storage | None = None):
        """storage: of these rings alone; main memory where there is none."""
        self.num_streams, self.capacity = num_streams, capacity
        self.storage = storage or Storage()
        self.count = np.zeros(num_streams, np.int64)  # rows ever written
        self.length = min(capacity, FIRST_ROWS)
        self.rounded = {name for name, (_, dtype) in columns.items() if dtype == BFLOAT16}
        self.columns = {
            name: self.storage.array(
                name, (num_streams * self.length, *shape), np.uint16 if name in self.rounded else dtype
            )
            for name, (shape, dtype) in columns.items()
        }

    @property
    def oldest(self) -> np.ndarray:
        """(N,) number of the oldest row still held (equal to `count` where a ring is empty)."""
        return np.maximum(self.count - self.capacity, 0)

    @property
    def alive(self) -> np.ndarray:
        """(N,) rows held now."""
        return self.count - self.oldest

    def append(self, stream: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """One row for each of the streams (n,), each at most once; values (n, *shape) for every column."""
        self._make_room(self.count[stream] + 1)
        slot = self.slot(stream, self.count[stream])
        self._put(slot, values)
        self.count[stream] += 1

    def extend(self, is_here: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """The rows of K ticks for which is_here (K, N) is true; values (K, N, *shape) for every column.

        The same as appending them tick by tick, but a row that a later one of the block overwrites is never written.
        """
        count = self.count + is_here.sum(0)
        self._make_room(count)
        tick, stream = np.nonzero(is_here)
        row = (self.count + np.cumsum(is_here, 0))[tick, stream] - 1
        kept = row >= (count - self.capacity)[stream]
        place = (tick * self.num_streams + stream)[kept]
        slot = self.slot(stream[kept], row[kept])
        self._put(slot, {name: value.reshape(-1, *value.shape[2:])[place] for name, value in values.items()})
        self.count = count

    def extend_one(self, stream: int, values: dict[str, np.ndarray]) -> None:
        """Rows of one stream in their order; values (K, *shape) for every column. Those that later ones overwrite are left out."""
        count = self.count.copy()
        count[stream] += len(next(iter(values.values())))
        self._make_room(count)
        row = np.arange(self.count[stream], count[stream])[-self.capacity :]
        self._put(self.slot(np.full(len(row), stream), row), {name: one[-len(row) :] for name, one in values.items()})
        self.count = count

    def _make_room(self, count: np.ndarray) -> None:
        """For streams that are going to have `count` rows."""
        length = self.length
        while length < self.capacity and (count > length).any():
            length = min(self.capacity, 2 * length)
        if length > self.length:
            self._resize(length)

    def _put(self, slot: np.ndarray, values: dict[str, np.ndarray]) -> None:
        assert values.keys() == self.columns.keys(), (sorted(values), sorted(self.columns))
        for name, value in values.items():
            self.write(name, slot, value)

    def _resize(self, length: int) -> None:
        """Make the columns longer in place; a stream's rows move to where its ring begins now, the last stream first."""
        for name in list(self.columns):
            shape, dtype = self.columns[name].shape[1:], self.columns[name].dtype
            del self.columns[name]  # a storage grows what nobody looks at
            self.columns[name] = self.storage.array(name, (self.num_streams * length, *shape), dtype)
            for stream in reversed(range(1, self.num_streams)):
                self._move(self.columns[name], stream, length)
        self.length = length

    def _move(self, column: np.ndarray, stream: int, length: int) -> None:
        old, new = stream * self.length, stream * length
        column[new : new + self.length] = column[old : old + self.length]  # numpy minds what overlaps
        end_before, stale = (stream - 1) * length + self.length, self.num_streams * self.length
        column[end_before : min(new, stale)] = 0  # what lies there was moved; beyond it no page was ever written

    def slot(self, stream: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Index into a column of rows (broadcast over stream and row)."""
        return stream * self.length + row % self.length

    def read(self, name: str, slot: np.ndarray) -> np.ndarray:
        """A copy of the column's rows at `slot` (any shape): (*slot.shape, *shape)."""
        values = np.take(self.columns[name], slot, axis=0)
        return widened(values) if name in self.rounded else values

    def write(self, name: str, slot: np.ndarray, values: np.ndarray) -> None:
        """Replace the column's rows at `slot`; of duplicates the last one wins."""
        self.columns[name][slot] = narrowed(values) if name in self.rounded else values

    def write_windows(self, name: str, stream: np.ndarray, row: np.ndarray, values: torch.Tensor) -> None:
        """The same for windows of T rows in a row: the first is `row` (B,) of `stream` (B,), values (B, T, *shape).

        Rows of a window lie side by side, so it is one copy, or two where the ring wraps; torch converts on the way.
        """
        column = torch.from_numpy(self.columns[name])
        column = column.view(torch.bfloat16) if name in self.rounded else column
        number = values.shape[1]
        assert number <= self.length, (number, self.length)
        before = np.minimum(number, self.length - row % self.length).tolist()  # rows up to the ring's end
        for slot, ring, most, window in zip(
            self.slot(stream, row).tolist(), stream.tolist(), before, values, strict=True
        ):
            column[slot : slot + most].copy_(window if most == number else window[:most])
            if most < number:
                column[ring * self.length :][: number - most].copy_(window[most:])

    def take(self, name: str, slot: np.ndarray) -> torch.Tensor:
        """As `read`, as a tensor."""
        return torch.from_numpy(self.read(name, slot))

    def is_alive(self, stream: np.ndarray, row: np.ndarray) -> np.ndarray:
        return (row >= self.oldest[stream]) & (row < self.count[stream])

    def every_row(self) -> tuple[np.ndarray, np.ndarray]:
        """(stream, row) of all rows held, stream by stream and oldest first."""
        alive = self.alive
        stream = np.repeat(np.arange(self.num_streams), alive)
        first = np.repeat(np.cumsum(alive) - alive, alive)
        return stream, np.arange(len(stream)) - first + self.oldest[stream]

    def find(self, stream: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Row numbers (n,) of the rows whose column `step` has these values; -1 where there is no such row.

        Steps rise along a ring, with gaps where an episode went to the other ring: a binary search for all at once.
        """
        low, end = self.oldest[stream], self.count[stream]
        high = end.copy()
        for _ in range(int(self.alive.max()).bit_length()):
            middle = (low + high) // 2
            is_less = self.columns["step"][self.slot(stream, middle)] < step
            is_open = low < high
            low = np.where(is_open & is_less, middle + 1, low)
            high = np.where(is_open & ~is_less, middle, high)
        is_found = (low < end) & (self.columns["step"][self.slot(stream, low)] == step)
        return np.where(is_found, low, -1)

    def held(self) -> Iterator[tuple[str, np.ndarray]]:
        """How many rows there were, and every column of those held as it is stored, stream by stream and oldest first."""
        slot = self.slot(*self.every_row())
        yield "count", self.count
        for name in sorted(self.columns):
            yield name, self.columns[name][slot]

    def state_dict(self, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """These columns of the rows held as they are stored, and their row numbers; copies."""
        state = {name: torch.from_numpy(self._in_order(name)) for name in names}
        state |= {name: state[name].view(torch.bfloat16) for name in names if name in self.rounded}
        return state | {"count": torch.from_numpy(self.count.copy()), "oldest": torch.from_numpy(self.oldest)}

    def _in_order(self, name: str) -> np.ndarray:
        """A copy of the column's rows held, stream by stream and oldest first: at most two pieces of memory a stream."""
        pieces = []
        for stream, (oldest, alive) in enumerate(zip(self.oldest.tolist(), self.alive.tolist(), strict=True)):
            ring = self.columns[name][stream * self.length :][: self.length]
            first = oldest % self.length
            pieces += [ring[first : first + alive], ring[: max(0, first + alive - self.length)]]
        return np.concatenate(pieces)

    def load_state_dict(
        self, state: dict[str, torch.Tensor], names: tuple[str, ...], what: str, is_exact: bool = True
    ) -> None:
        """Write back what `state_dict` took. ValueError, which begins with `what`, where it does not fit.

        Without exactness these rings may have gone on since: rows evicted since are left out, newer ones stay as they are.
        """
        check_keys(state, {*names, "count", "oldest"}, what)
        count, oldest = state["count"].numpy(), state["oldest"].numpy()
        is_known = count.shape == self.count.shape and not (count > self.count).any()
        if not is_known or (is_exact and (count < self.count).any()):
            raise ValueError(f"{what}: the checkpoint knows {count.tolist()} rows, the journal {self.count.tolist()}")
        if not np.array_equal(oldest, np.maximum(count - self.capacity, 0)):
            raise ValueError(f"{what}: the checkpoint holds rows from {oldest.tolist()} on, with another capacity")
        alive = count - oldest
        stream = np.repeat(np.arange(self.num_streams), alive)
        row = np.arange(len(stream)) - np.repeat(np.cumsum(alive) - alive, alive) + oldest[stream]
        kept = np.flatnonzero(self.is_alive(stream, row))
        slot = self.slot(stream[kept], row[kept])
        for name in names:
            self.columns[name][slot] = self._stored(state[name], name, len(stream), what)[kept]

    def _stored(self, saved: torch.Tensor, name: str, number: int, what: str) -> np.ndarray:
        """The saved rows of a column as it keeps them."""
        column = torch.from_numpy(self.columns[name][:0])
        column = column.view(torch.bfloat16) if name in self.rounded else column
        expected = (number, *column.shape[1:])
        if saved.shape != expected or saved.dtype != column.dtype:
            raise ValueError(
                f"{what}: {name} is {saved.dtype} of shape {tuple(saved.shape)}, expected {column.dtype} of {expected}"
            )
        return (saved.view(torch.uint16) if name in self.rounded else saved).numpy()


def narrowed(values: np.ndarray) -> np.ndarray:
    """The bits of float32 numbers in bfloat16, rounded to the nearest, the even one of two."""
    values = np.require(values, np.float32, ["C", "W"])  # torch takes what it may write to
    return torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()


def widened(bits: np.ndarray) -> np.ndarray:
    """The float32 numbers of which these are the bits in bfloat16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def check_keys(state: dict, expected: set[str], what: str) -> None:
    """ValueError, which begins with `what`, names the keys that a saved state lacks or has too many."""
    if state.keys() != expected:
        raise ValueError(f"{what}: the checkpoint holds {sorted(state)}, expected {sorted(expected)}")
