"""The journal of received transitions: sealed chunks on disk, each under the key of its purchase, oldest key first."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ....envs.records import Transition
from ..counts import Counts
from ..tick import Tick
from ..transitions import TransitionReplay
from .npz import ChunkError, read_npz, write_npz

FLAGS = ("is_first", "is_last", "is_terminal", "step", "is_heldout")
ORIGIN = ("rows", "received", "next_step", "next_episode")  # counts before the first tick of a chunk


class ChunkWriter:
    """Gathers ticks and seals them as one file. What is not sealed is not received: a crash loses it unpaid."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        paths = _paths(self.folder)
        self.last_key = paths[-1].stem if paths else ""
        self.counts = _counts_after(paths[-1]) if paths else None  # after the ticks appended so far
        self.origin = self.counts
        self.ticks: list[Tick] = []

    def append(self, tick: Tick) -> None:
        if self.counts is None:
            self.counts = self.origin = Counts.zero(len(tick.transition.step))
        self.counts = self.counts.after(tick.transition)
        self.ticks.append(tick)

    def seal(self, key: str) -> int:
        """Put the ticks since the last seal on disk under `key` (digits, padded with zeros so that names sort by number).

        Returns the transitions bought among them (0 writes no file if there was no tick at all). OSError leaves the
        ticks here, to be sealed once there is room.
        """
        if not self.ticks:
            return 0
        assert key.isdigit() and key > self.last_key, (key, self.last_key)
        assert self.counts is not None and self.origin is not None, "ticks were counted as they came"
        units = self.counts.received - self.origin.received
        write_npz(_path(self.folder, key), _arrays(self.ticks, self.origin, units))
        self.last_key, self.origin, self.ticks = key, self.counts, []
        return units


def _arrays(ticks: list[Tick], origin: Counts, units: int) -> dict[str, np.ndarray]:
    """Arrays (K, N, ...) over the K ticks."""
    arrays = {f"obs/{k}": np.stack([tick.transition.obs[k] for tick in ticks]) for k in ticks[0].transition.obs}
    arrays |= {name: np.stack([getattr(tick.transition, name) for tick in ticks]) for name in FLAGS}
    arrays |= {name: np.stack([getattr(tick, name) for tick in ticks]) for name in ("action", "deter", "stoch")}
    arrays |= {f"origin/{name}": np.asarray(getattr(origin, name)) for name in ORIGIN}
    return arrays | {"units": np.asarray(units)}


def sealed_units(folder: Path, key: str) -> int | None:
    """Transitions bought in the chunk of this key; None where it was never sealed (or was dropped)."""
    path = _path(Path(folder), key)
    return int(read_npz(path)["units"]) if path.exists() else None


def read_chunks(folder: Path) -> Iterator[Tick]:
    """All ticks on disk in the order of their collection. ChunkError names a damaged file."""
    for path in _paths(Path(folder)):
        yield from _ticks(read_npz(path))


def refill(replay: TransitionReplay, folder: Path) -> None:
    """Give an empty replay all that is on disk. Its load_state_dict comes afterwards."""
    for path in _paths(Path(folder)):
        arrays = read_npz(path)
        origin = _origin(arrays)
        if not np.array_equal(origin.rows, replay.counts.rows):
            raise ChunkError(f"{path}: begins at rows {origin.rows.tolist()}, expected {replay.counts.rows.tolist()}")
        for tick in _ticks(arrays):
            replay.add(tick)


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.npz"


def _paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.npz") if path.stem.isdigit())


def _ticks(arrays: dict[str, np.ndarray]) -> Iterator[Tick]:
    names = [name for name in arrays if name.startswith("obs/")]
    for i in range(len(arrays["step"])):
        obs = {name.removeprefix("obs/"): arrays[name][i] for name in names}
        transition = Transition(obs=obs, **{name: arrays[name][i] for name in FLAGS})
        yield Tick(transition, arrays["action"][i], arrays["deter"][i], arrays["stoch"][i])


def _origin(arrays: dict[str, np.ndarray]) -> Counts:
    return Counts(
        rows=arrays["origin/rows"],
        received=int(arrays["origin/received"]),
        next_step=arrays["origin/next_step"],
        next_episode=arrays["origin/next_episode"],
    )


def _counts_after(path: Path) -> Counts:
    arrays = read_npz(path)
    counts = _origin(arrays)
    for tick in _ticks(arrays):
        counts = counts.after(tick.transition)
    return counts
