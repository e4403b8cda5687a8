"""The journal of received transitions: frames of ticks in an append-only log, each under the key of its purchase."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....envs.records import Transition
from ....frames import DamagedLog, Frame, FrameLog
from ..tick import FLAGS, LATENTS, Tick, Ticks
from ..transitions import TransitionReplay

KIND = "ticks"
REFILL_ROWS = 16_384  # taken in at once: what is done once a block takes longer than the rows of a chunk
PREFIX = "transitions/"  # of the keys of chunks in the ledger


@dataclass(frozen=True)
class Opened:
    """The rows of an episode that had not ended, T of them: what the environment gave, and what was done in it."""

    env: int
    episode: int  # its number in its stream
    obs: dict[str, np.ndarray]  # key -> (T, *shape)
    action: np.ndarray  # (T, A), the last one not yet taken


class TransitionJournal:
    """Ticks as they came. What is not written and synced is not received: a crash loses it unpaid."""

    def __init__(self, folder: Path):
        self.log = FrameLog(folder)
        self.count = 0  # ticks appended and held
        self.units: Counter[str] = Counter()  # transitions by the key of their purchase
        self.bought = np.zeros(2, np.int64)  # transitions in training and in held-out episodes
        self.last: Transition | None = None  # the newest rows of the streams
        self.unwritten: list[Tick] = []
        self._is_read = False

    @property
    def received(self) -> int:
        """Transitions on disk."""
        return sum(self.units.values())

    def read(self) -> Iterator[Ticks]:
        """All that is on disk in the order of its collection. DamagedLog names a damaged file."""
        self.count, self.units, self.bought = 0, Counter(), np.zeros(2, np.int64)
        for frame in self.log.read():
            ticks = ticks_of(frame)
            self.count += len(ticks)
            self.bought += _bought(ticks)
            self.last = next(iter(ticks[-1:])).transition
            self.units[frame.values["key"]] += frame.values["units"]
            yield ticks
        self._is_read = True

    def append(self, tick: Tick) -> None:
        assert self._is_read, "what is on disk was not read"
        self.unwritten.append(tick)
        self.count += 1
        self.bought += _bought(tick.transition)
        self.last = tick.transition

    def write(self, key: str) -> int:
        """Put the ticks since the last write into the log under `key`; safe after `log.sync`. -> transitions among them.

        OSError leaves the ticks here, to be written once there is room.
        """
        if not self.unwritten:
            return 0
        ticks = Ticks.of(self.unwritten)
        self.log.append(KIND, arrays_of(ticks), key=key, units=ticks.num_bought)
        self.units[key] += ticks.num_bought
        self.unwritten = []
        return ticks.num_bought

    def open_episodes(self, next_episode: np.ndarray) -> list[Opened]:
        """Of every stream whose last row on disk is not the last of its episode. next_episode (N,): episodes begun."""
        missing = set(range(len(next_episode)))
        blocks: list[Ticks] = []
        first: dict[int, int] = {}  # stream -> ticks from its episode's first row to the end
        length = 0
        for number in reversed(range(self.log.count)):
            ticks = ticks_of(self.log.frame(number))
            if not blocks:
                missing -= set(np.flatnonzero(ticks.is_last[-1]).tolist())
            blocks.insert(0, ticks)
            for env in list(missing):
                begins = np.flatnonzero(ticks.is_first[:, env])
                if begins.size:
                    first[env] = length + len(ticks) - int(begins[-1])
                    missing.remove(env)
            length += len(ticks)
            if not missing:
                break
        return [_opened(blocks, env, int(next_episode[env]) - 1, rows) for env, rows in sorted(first.items())]


def refill(replay: TransitionReplay, journal: TransitionJournal, most: int | None) -> list[Ticks]:
    """Give an empty replay the first `most` ticks on disk, all where it is None. -> those that came later.

    DamagedLog where there are fewer.
    """
    later, taken = [], 0
    for block in _joined(journal.read(), REFILL_ROWS // replay.num_streams):
        number = len(block) if most is None else min(len(block), most - taken)
        if number:
            replay.extend(block[:number])
            taken += number
        if number < len(block):
            later.append(block[number:])
    if most is not None and taken < most:
        raise DamagedLog(journal.log.folder, journal.log.count, f"{taken} ticks, {most} were written")
    return later


def _joined(blocks: Iterable[Ticks], least: int) -> Iterator[Ticks]:
    """The same in blocks of at least so many ticks, apart from the last one."""
    waiting: list[Ticks] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= least:
            yield Ticks.joined(waiting)
            waiting = []
    if waiting:
        yield Ticks.joined(waiting)


def arrays_of(ticks: Ticks) -> dict[str, np.ndarray]:
    """As a frame holds them."""
    arrays = {f"obs/{name}": values for name, values in ticks.obs.items()}
    return arrays | {name: getattr(ticks, name) for name in FLAGS + LATENTS}


def _bought(rows: Ticks | Transition) -> np.ndarray:
    bought = ~rows.is_first
    return np.array([np.count_nonzero(bought & ~rows.is_heldout), np.count_nonzero(bought & rows.is_heldout)])


def _opened(blocks: list[Ticks], env: int, episode: int, rows: int) -> Opened:
    obs = {name: np.concatenate([block.obs[name][:, env] for block in blocks])[-rows:] for name in blocks[0].obs}
    return Opened(env, episode, obs, np.concatenate([block.action[:, env] for block in blocks])[-rows:])


def ticks_of(frame: Frame) -> Ticks:
    """What a frame holds."""
    prefix = "obs/"
    obs = {name.removeprefix(prefix): value for name, value in frame.arrays.items() if name.startswith(prefix)}
    return Ticks(obs, **{name: frame.arrays[name] for name in FLAGS + LATENTS})


def read_ticks(folder: Path) -> Iterator[Tick]:
    """All ticks on disk, one by one."""
    for block in TransitionJournal(folder).read():
        yield from block
