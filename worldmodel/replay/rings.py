"""N rings of rows. A row keeps its number in its ring for ever; its slot is that number modulo the allocated length."""

import numpy as np
import torch
from numpy.typing import DTypeLike

FIRST_ROWS = 1024  # allocated at the start; doubled on demand, so that a large capacity costs nothing until it is used

Columns = dict[str, tuple[tuple[int, ...], DTypeLike]]  # name -> shape and type of one row


class Rings:
    """Columns of shape (N, R, *shape) in main memory, R growing to `capacity` and wrapping only there.

    The columns are numpy arrays because numpy writes duplicate indices in order (the last one wins), which a threaded
    tensor scatter does not promise.
    """

    def __init__(self, columns: Columns, num_streams: int, capacity: int):
        self.num_streams, self.capacity = num_streams, capacity
        self.count = np.zeros(num_streams, np.int64)  # rows ever written
        self.length = min(capacity, FIRST_ROWS)
        self.columns = {name: np.zeros((num_streams * self.length, *s), d) for name, (s, d) in columns.items()}

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
        while self.length < self.capacity and (self.count[stream] >= self.length).any():
            self._resize(min(self.capacity, 2 * self.length))
        slot = self.slot(stream, self.count[stream])
        assert values.keys() == self.columns.keys(), (sorted(values), sorted(self.columns))
        for name, value in values.items():
            self.columns[name][slot] = value
        self.count[stream] += 1

    def _resize(self, length: int) -> None:
        for name, old in self.columns.items():
            shape = old.shape[1:]
            new = np.zeros((self.num_streams, length, *shape), old.dtype)
            new[:, : self.length] = old.reshape(self.num_streams, self.length, *shape)
            self.columns[name] = new.reshape(-1, *shape)
        self.length = length

    def slot(self, stream: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Index into a column of rows (broadcast over stream and row)."""
        return stream * self.length + row % self.length

    def take(self, name: str, slot: np.ndarray) -> torch.Tensor:
        """A copy of the column's rows at `slot` (any shape), as a tensor (*slot.shape, *shape)."""
        return torch.from_numpy(np.take(self.columns[name], slot, axis=0))

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

    def state_dict(self, names: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """These columns of the rows held, and their row numbers."""
        slot = self.slot(*self.every_row())
        state = {name: self.take(name, slot) for name in names}
        return state | {"count": torch.from_numpy(self.count.copy()), "oldest": torch.from_numpy(self.oldest)}

    def load_state_dict(self, state: dict[str, torch.Tensor], names: tuple[str, ...]) -> None:
        """Write back what `state_dict` took. Rows evicted since are left out, rows written since stay as they are."""
        if state.keys() != {*names, "count", "oldest"}:
            raise ValueError(
                f"replay: the checkpoint holds {sorted(state)}, expected {sorted((*names, 'count', 'oldest'))}"
            )
        count, oldest = state["count"].numpy(), state["oldest"].numpy()
        if count.shape != self.count.shape or (count > self.count).any():
            raise ValueError(f"replay: the checkpoint knows {count.tolist()} rows, the chunks {self.count.tolist()}")
        alive = count - oldest
        stream = np.repeat(np.arange(self.num_streams), alive)
        row = np.arange(len(stream)) - np.repeat(np.cumsum(alive) - alive, alive) + oldest[stream]
        kept = np.flatnonzero(self.is_alive(stream, row))
        slot = self.slot(stream[kept], row[kept])
        for name in names:
            values, shape = state[name].numpy(), self.columns[name].shape[1:]
            if values.shape != (len(stream), *shape):
                raise ValueError(f"replay: {name} has shape {values.shape}, expected {(len(stream), *shape)}")
            self.columns[name][slot] = values[kept]
