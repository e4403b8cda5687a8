"""The queue of fresh windows: every row of a training stream is offered once, in the order it came, before uniform draws."""

from collections import deque

import numpy as np
import torch

from .rows.rings import check_keys


class OnlineWindows:
    """Windows of `rows` consecutive rows that do not overlap, first in, first out."""

    def __init__(self, num_streams: int, rows: int):
        self.rows = rows
        self.next_row = np.zeros(num_streams, np.int64)  # where the next window of each stream begins
        self.queue: deque[tuple[int, int]] = deque()  # (stream, row of its first row)

    def __len__(self) -> int:
        return len(self.queue)

    def advance(self, count: np.ndarray) -> None:
        """Queue the windows that are complete now that the streams have `count` (N,) rows."""
        while (ready := np.flatnonzero(count - self.next_row >= self.rows)).size:
            self.queue.extend((int(stream), int(self.next_row[stream])) for stream in ready)
            self.next_row[ready] += self.rows

    def advance_each(self, count: np.ndarray) -> None:
        """The same as `advance` for each of K ticks, after which the streams had `count` (K, N) rows."""
        ready = (count[-1] - self.next_row) // self.rows
        stream = np.repeat(np.arange(len(ready)), ready)
        place = np.arange(len(stream)) - np.repeat(np.cumsum(ready) - ready, ready)  # among the stream's windows
        first = self.next_row[stream] + place * self.rows
        tick = np.zeros(len(stream), np.int64)  # at which the window is complete
        for one in np.flatnonzero(ready):
            tick[stream == one] = np.searchsorted(count[:, one], first[stream == one] + self.rows)
        # A tick completes at most one window a stream, but the first one may find several that nobody had queued.
        order = np.lexsort((stream, np.where(tick == 0, place, 0), tick))
        self.queue.extend(zip(stream[order].tolist(), first[order].tolist(), strict=True))
        self.next_row += ready * self.rows

    def pop(self, most: int, oldest: np.ndarray) -> np.ndarray:
        """Up to `most` windows (n, 2) as (stream, first row); windows that lost a row to eviction are dropped."""
        popped = []
        while self.queue and len(popped) < most:
            stream, row = self.queue.popleft()
            if row >= oldest[stream]:
                popped.append((stream, row))
        return np.array(popped, np.int64).reshape(-1, 2)

    def state_dict(self) -> dict[str, torch.Tensor]:
        queue = torch.tensor(list(self.queue), dtype=torch.int64).reshape(-1, 2)
        return {"queue": queue, "next_row": torch.from_numpy(self.next_row.copy())}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        check_keys(state, {"queue", "next_row"}, "replay: online windows")
        if state["next_row"].shape != self.next_row.shape:
            raise ValueError(
                f"replay: online windows: the checkpoint knows {len(state['next_row'])} streams, the run {len(self.next_row)}"
            )
        self.queue = deque((int(stream), int(row)) for stream, row in state["queue"].tolist())
        self.next_row = state["next_row"].numpy().copy()
