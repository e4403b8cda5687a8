"""The transition replay: a training and a held-out ring for each environment, and windows drawn from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ...envs.records import Clip, Spaces
from ..records import Address, Batch
from .copies import Copy, copy_rows, run_lengths
from .counts import Counts
from .fingerprint import fingerprint
from .late import Late
from .online import OnlineWindows
from .open_rows import OpenRows, stream_and_step
from .rows.rings import Columns, Rings, check_keys
from .rows.storage import Storage
from .tick import Tick, Ticks, as_stored

SAVED = ("deter", "stoch")  # written back since they were collected, so the chunks do not know them


@dataclass(frozen=True)
class ReplayConfig:
    capacity: int = 5_000_000  # start positions over all environments
    heldout_capacity: int = 200_000  # rows over all environments
    online: bool = True  # train on fresh windows first, then uniformly
    latents: Literal["float32", "bfloat16"] = "float32"  # how recurrent states are kept; bfloat16 takes half the memory
    storage: Literal["memory", "mmap"] = (
        "memory"  # mmap: rows lie in files, made anew at every start, and memory caches them
    )
    folder: str = ""  # for these files, on a fast disk; empty: the run's own

    def __post_init__(self):
        for name in ("capacity", "heldout_capacity"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.latents not in ("float32", "bfloat16"):
            raise ValueError(f"latents: must be float32 or bfloat16, got {self.latents!r}")
        if self.storage not in ("memory", "mmap"):
            raise ValueError(f"storage: must be memory or mmap, got {self.storage!r}")
        if self.folder and self.storage == "memory":
            raise ValueError(f"folder: is for storage=mmap, got {self.folder} with storage=memory")


class TransitionReplay:
    """Rows of N streams. Held-out rows live in rings of their own, which no training window ever touches.

    `length` is T of the training windows; deter and stoch are the widths D and S of a latent. Not thread-safe: sampling
    in a thread beside the learner is fine as long as nothing is added or written back meanwhile.
    """

    state_is_copy = True  # its state_dict shares no memory with it: a large replay is not copied twice for a checkpoint

    def __init__(
        self,
        config: ReplayConfig,
        spaces: Spaces,
        num_streams: int,
        length: int,
        deter: int,
        stoch: int,
        scratch: Path | None = None,
    ):
        """scratch: the folder to map the rows into; None: main memory."""
        self.config, self.spaces, self.num_streams, self.length = config, spaces, num_streams, length
        columns: Columns = {f"obs/{k}": (s.shape, s.dtype) for k, s in spaces.obs.items()}
        columns |= {name: ((), bool) for name in ("is_first", "is_last", "is_terminal", "is_open")}
        columns |= {name: ((), np.int64) for name in ("step", "episode")}
        columns |= {"action": ((spaces.action_size,), np.float32)}
        columns |= {"deter": ((deter,), config.latents), "stoch": ((stoch,), np.uint8)}
        capacity = -(-config.capacity // num_streams) + length  # a ring of R rows has R - T start positions
        heldout_capacity = max(-(-config.heldout_capacity // num_streams), length + 1)
        self.training = Rings(columns, num_streams, capacity, Storage(scratch))
        self.heldout = Rings(columns, num_streams, heldout_capacity, Storage(scratch))
        self.open = OpenRows(self.training, self.heldout)
        self.online = OnlineWindows(num_streams, length + 1)
        self.counts = Counts.zero(num_streams)
        self.late: Late | None = None  # written back by `settle`

    def add(self, tick: Tick) -> None:
        transition = tick.transition
        self.counts = self.counts.after(transition)
        values = {f"obs/{name}": value for name, value in transition.obs.items()}
        values |= {name: getattr(transition, name) for name in ("is_first", "is_last", "is_terminal", "step")}
        values["is_open"] = ~transition.is_first  # reset rows are never sold
        values["episode"] = self.counts.next_episode - 1
        values |= {name: getattr(tick, name) for name in ("action", "deter", "stoch")}
        for rings, is_here in ((self.training, ~transition.is_heldout), (self.heldout, transition.is_heldout)):
            _end_episodes(rings, np.flatnonzero(transition.is_first))
            stream = np.flatnonzero(is_here)
            if stream.size:
                rings.append(stream, {name: value[stream] for name, value in values.items()})
        if self.config.online:
            self.online.advance(self.training.count)

    def extend(self, ticks: Ticks) -> None:
        """The same as adding the ticks one after the other, in a fraction of the time."""
        if not len(ticks):
            return
        before, self.counts = self.counts, self.counts.after_all(ticks)
        values = {f"obs/{name}": value for name, value in ticks.obs.items()}
        values |= {name: getattr(ticks, name) for name in ("is_first", "is_last", "is_terminal", "step")}
        values["is_open"] = ~ticks.is_first
        values["episode"] = before.next_episode + np.cumsum(ticks.is_first, 0) - 1
        values |= {name: getattr(ticks, name) for name in ("action", "deter", "stoch")}
        tick, stream = np.nonzero(ticks.is_first)
        for rings, is_here in ((self.training, ~ticks.is_heldout), (self.heldout, ticks.is_heldout)):
            count = rings.count + np.cumsum(is_here, 0)  # (K, N), rows after each tick
            rings.extend(is_here, values)
            _end_rows(rings, stream, (count - is_here)[tick, stream] - 1)
            if self.config.online and rings is self.training:
                self.online.advance_each(count)

    @property
    def num_starts(self) -> int:
        """Start positions of training windows."""
        return int(_starts_per_stream(self.training, self.length).sum())

    @property
    def num_heldout_rows(self) -> int:
        return int(self.heldout.alive.sum())

    @property
    def num_training_rows(self) -> int:
        return int(self.training.alive.sum())

    @property
    def received(self) -> int:
        """Transitions received since the run began, evicted ones included: what the ledger must have sold."""
        return self.counts.received

    @property
    def next_step(self) -> np.ndarray:
        """(N,) int64: where the streams go on."""
        return self.counts.next_step

    @property
    def next_episode(self) -> np.ndarray:
        """(N,) int64: episodes begun in each stream."""
        return self.counts.next_episode

    def sample(self, batch: int, rng: np.random.Generator) -> Batch:
        """`batch` training windows: fresh ones in the order they came, the rest uniform over all start positions."""
        fresh = self.online.pop(batch, self.training.oldest)
        stream, row = _draw_starts(self.training, self.length, batch - len(fresh), rng)
        stream, row = np.concatenate([fresh[:, 0], stream]), np.concatenate([fresh[:, 1], row])
        return self._window(self.training, stream, row, self.length)

    def heldout_windows(self, length: int, count: int, rng: np.random.Generator) -> Batch | None:
        """`count` held-out windows of `length` rows, drawn like training windows; None while there are too few rows."""
        if not _starts_per_stream(self.heldout, length).any():
            return None
        return self._window(self.heldout, *_draw_starts(self.heldout, length, count, rng), length)

    def heldout_pieces(self, length: int) -> Iterator[Batch]:
        """All held-out rows, every stream from its oldest row on, in pieces of `length` rows of all streams (B = N), the last
        one of what is left.

        Rows past the end of a shorter stream are padding: write_back skips them. The row before a stream's oldest is
        gone, and its slot may hold the newest: the first piece begins as an episode does, with no action before it.
        """
        oldest, stream = self.heldout.oldest, np.arange(self.num_streams)
        longest = int(self.heldout.alive.max())
        for start in range(0, longest, length):
            piece = self._window(self.heldout, stream, oldest + start - 1, min(length, longest - start))
            yield piece if start else _begun(piece)

    def heldout_episodes(self, most: int) -> list[Batch]:
        """The newest complete held-out episodes, at most `most`, newest last: batches of one, from is_first to is_last.

        The start latent is zero, as it is at every is_first.
        """
        stream, row = self.heldout.every_row()
        slot = self.heldout.slot(stream, row)
        first, last = (np.flatnonzero(self.heldout.columns[name][slot]) for name in ("is_first", "is_last"))
        end = np.searchsorted(last, first)  # the first is_last at or after each is_first
        first, last = first[end < len(last)], last[end[end < len(last)]]
        # The newest episode of a stream may still be running, and one that broke off at its reset has no transition.
        whole = (stream[first] == stream[last]) & (row[last] > row[first])
        first, last = first[whole], last[whole]
        newest = np.argsort(self.heldout.columns["step"][slot[last]], kind="stable")[max(len(last) - most, 0) :]
        return [self._episode(int(stream[first[i]]), int(row[first[i]]), int(row[last[i]])) for i in newest if most]

    def _episode(self, stream: int, first: int, last: int) -> Batch:
        batch = self._window(self.heldout, np.array([stream]), np.array([first - 1]), last - first + 1)
        prev_action = batch.prev_action.clone()
        prev_action[:, 0] = 0
        zero = {"start_deter": torch.zeros_like(batch.start_deter), "start_stoch": torch.zeros_like(batch.start_stoch)}
        return replace(batch, prev_action=prev_action, **zero)

    def _window(self, rings: Rings, stream: np.ndarray, row: np.ndarray, length: int) -> Batch:
        """Windows of `length` rows after the context rows `row` (B,)."""
        rows = row[:, None] + np.arange(length + 1)  # (B, T + 1)
        slot = rings.slot(stream[:, None], rows)
        inside = slot[:, 1:]
        return Batch(
            obs={name: rings.take(f"obs/{name}", inside) for name in self.spaces.obs},
            prev_action=rings.take("action", slot[:, :-1]),
            is_first=rings.take("is_first", inside),
            is_last=rings.take("is_last", inside),
            is_terminal=rings.take("is_terminal", inside),
            start_deter=rings.take("deter", slot[:, 0]),
            start_stoch=rings.take("stoch", slot[:, 0]).long(),
            address=Address(
                torch.from_numpy(stream),
                torch.from_numpy(rows[:, 1:]),
                rings.take("step", inside),
                is_heldout=rings is self.heldout,
            ),
        )

    def hold(self, address: Address, deter: Tensor, stoch: Tensor) -> None:
        """Keep newer latents as of `write_back` until `settle` is called, which is to be before the next ones come."""
        assert self.late is None and not address.is_heldout, "latents of training rows, one batch at a time"
        self.late = Late.of(address, deter, stoch)

    def settle(self) -> None:
        """Write back what is held, if anything is."""
        late, self.late = self.late, None
        if late is not None:
            late.wait()
            self.write_back(late.address, late.deter, late.stoch)

    def write_back(self, address: Address, deter: Tensor, stoch: Tensor) -> None:
        """Store newer latents, deter (B, T, D) and stoch (B, T, S), of a batch; rows overwritten since are skipped, and
        latents that are not finite."""
        rings = self.heldout if address.is_heldout else self.training
        stream, row = address.stream.numpy(), address.row.numpy()
        newer, classes = deter.detach().to("cpu", torch.float32), as_stored(stoch, torch.uint8)
        kept = rings.is_alive(stream[:, None], row)
        if not newer.sum().isfinite():  # that of finite numbers may be too large, but is not often
            kept &= newer.isfinite().all(-1).numpy()
        slot = rings.slot(stream[:, None], row)[kept]
        rings.write("stoch", slot, classes[kept])
        if kept.all():
            rings.write_windows("deter", stream, row[:, 0], newer)
        else:
            rings.write("deter", slot, newer.numpy()[kept])

    def copy(self, clip: Clip, burn_in: int) -> Copy:
        return self.copies([clip], burn_in)[0]

    def copies(self, clips: Sequence[Clip], burn_in: int) -> list[Copy]:
        """Copies that end with these clips, of `burn_in` rows more than one, in their order. KeyError where a row is gone."""
        stream, step = stream_and_step(clips)
        found: dict[int, Copy] = {}  # by place
        for rings in (self.training, self.heldout):
            row = rings.find(stream, step)
            here = np.flatnonzero(row >= 0)
            copies = copy_rows(rings, stream[here], row[here], burn_in, rings is self.heldout)
            found |= zip(here.tolist(), copies, strict=True)
        for place, clip in enumerate(clips):
            if place not in found:
                raise KeyError(f"{clip}: not in the replay")
        return [found[place] for place in range(len(clips))]

    def clips(self, rows: Sequence[Clip], length: int) -> list[Clip]:
        """The clips of at most `length` rows of one episode that end at these rows: shorter where the episode began, or where
        its first rows are gone. A reset row has no reward and is in none."""
        stream, step = stream_and_step(rows)
        found = np.ones(len(rows), np.int64)
        for rings in (self.training, self.heldout):
            row = rings.find(stream, step)
            here = np.flatnonzero(row >= 0)
            found[here] = run_lengths(rings, stream[here], row[here], length)
        return [replace(one, length=number) for one, number in zip(rows, found.tolist(), strict=True)]

    def is_heldout(self, clips: Sequence[Clip]) -> list[bool]:
        """Whether each lies in a held-out episode."""
        return (self.heldout.find(*stream_and_step(clips)) >= 0).tolist()

    def latents(self, stream: np.ndarray, step: np.ndarray, is_heldout: bool) -> tuple[np.ndarray, ...]:
        """(is_found (n,), deter, stoch) with the stored latents of the rows (stream, step) that were found."""
        rings = self.heldout if is_heldout else self.training
        row = rings.find(stream, step)
        slot = rings.slot(stream, row)[row >= 0]
        return row >= 0, rings.read("deter", slot), rings.read("stoch", slot)

    def state_dict(self) -> dict:
        """Latents, also those not written back yet, and the online queue, which a refill from the journal does not bring back, and the counts that it must
        come to. The label journal knows what was asked."""
        return {
            "counts": {name: torch.from_numpy(value.copy()) for name, value in self.counts.arrays().items()},
            "training": self.training.state_dict(SAVED),
            "heldout": self.heldout.state_dict(SAVED),
            "online": self.online.state_dict(),
            "late": self.late and self.late.state_dict(),
        }

    def load_state_dict(self, state: dict, is_exact: bool = True) -> None:
        """After the refill. ValueError names what does not fit.

        Without exactness the refill may have gone further: newer rows keep the latents they were collected with, and
        queue as fresh.
        """
        if not is_exact:
            state = {"counts": {}, "late": None} | state  # version 0.2 did not keep them
        check_keys(state, {"counts", "training", "heldout", "online", "late"}, "replay")
        if is_exact:
            self._check_counts(state["counts"])
        self.training.load_state_dict(state["training"], SAVED, "replay: training rows", is_exact)
        self.heldout.load_state_dict(state["heldout"], SAVED, "replay: held-out rows", is_exact)
        self.online.load_state_dict(state["online"])
        self.late = state["late"] and Late.from_state(state["late"])
        if self.config.online and not is_exact:
            self.online.advance(self.training.count)

    def _check_counts(self, saved: dict) -> None:
        counts = self.counts.arrays()
        check_keys(saved, set(counts), "replay: counts")
        for name, value in counts.items():
            if not np.array_equal(saved[name].numpy(), value):
                raise ValueError(
                    f"replay: {name} was {saved[name].tolist()} at the checkpoint, the journal gives {value.tolist()}"
                )

    def fingerprint(self) -> str:
        """The same for two replays that hold the same rows, latents, flags, counts and online queue, bit for bit."""
        return fingerprint(
            [
                *self.counts.arrays().items(),
                *((f"training/{name}", value) for name, value in self.training.held()),
                *((f"heldout/{name}", value) for name, value in self.heldout.held()),
                *((f"online/{name}", value.numpy()) for name, value in self.online.state_dict().items()),
                *(
                    (f"late/{name}", value.numpy())
                    for name, value in (self.late.state_dict() if self.late else {}).items()
                ),
            ]
        )


def _begun(batch: Batch) -> Batch:
    """Windows whose first rows have nothing before them."""
    is_first, prev_action = batch.is_first.clone(), batch.prev_action.clone()
    is_first[:, 0], prev_action[:, 0] = True, 0
    return replace(batch, is_first=is_first, prev_action=prev_action)


def _end_episodes(rings: Rings, stream: np.ndarray) -> None:
    """An episode begins here, so whatever these streams last wrote was the end of one, although nobody said so."""
    _end_rows(rings, stream, rings.count[stream] - 1)


def _end_rows(rings: Rings, stream: np.ndarray, row: np.ndarray) -> None:
    """These rows (n,) of the streams (n,) are the last ones of their episodes; there may be none, or they may be gone."""
    held = rings.is_alive(stream, row)
    slot = rings.slot(stream[held], row[held])
    rings.columns["is_last"][slot] = True
    rings.columns["action"][slot] = 0


def _starts_per_stream(rings: Rings, length: int) -> np.ndarray:
    return np.maximum(rings.alive - length, 0)


def _draw_starts(rings: Rings, length: int, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(stream, context row), each (number,), uniform over all windows of length + 1 rows that are held entirely."""
    starts = _starts_per_stream(rings, length)
    end = np.cumsum(starts)
    assert end[-1] or not number, f"no window of {length} rows to draw: {rings.alive.tolist()} rows held"
    index = rng.integers(end[-1], size=number) if number else np.zeros(0, np.int64)
    stream = np.searchsorted(end, index, side="right")
    return stream, index - (end - starts)[stream] + rings.oldest[stream]
