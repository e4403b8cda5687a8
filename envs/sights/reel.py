"""Where the sights of a run's rows lie: on disk, in a ring of logs. What is lost of them costs pictures and nothing else."""

import shutil
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import Damaged
from ...frames import Frame, FrameLog
from ..records import Clip

KIND = "sights"
CAP_BYTES = 4 * 2**30  # on disk; then the oldest logs are dropped
LOG_BYTES = CAP_BYTES // 64  # of one log, about
CACHED = 8  # blocks that are unpacked in memory


@dataclass(frozen=True)
class _Block:
    """One frame of one log: what one `write` put there."""

    log: FrameLog
    number: int


@dataclass(frozen=True)
class _Span:
    """Rows first .. last of one environment, in a block."""

    first: int
    last: int
    block: _Block


class Reel:
    """Sights by (env, step). Only where they lie is held in memory.

    A sight is kept as the bytes in which it differs from the one before in its environment, compressed: what an episode
    changed of a model stands once a block. No failure of the disk reaches the caller; `warn` is told the first.
    """

    def __init__(
        self, folder: Path, warn: Callable[[str], None], cap_bytes: int = CAP_BYTES, log_bytes: int = LOG_BYTES
    ):
        self.folder, self._warn = Path(folder), warn
        self._cap_bytes, self._log_bytes = cap_bytes, log_bytes
        self._logs: list[FrameLog] = []
        self._newest: FrameLog | None = None  # a new process begins one of its own: the last may be torn
        self._spans: dict[int, list[_Span]] = {}
        self._unwritten: dict[tuple[int, int], bytes] = {}
        self._cache: OrderedDict[_Block, dict[tuple[int, int], bytes]] = OrderedDict()
        self._has_warned = False

    def put(self, env: int, step: int, sight: bytes) -> None:
        """Keep the sight of a row. Putting it again replaces it; b"" is not kept."""
        if sight:
            self._unwritten[env, step] = sight

    def of(self, clip: Clip, context: int) -> tuple[bytes, ...]:
        """Of the clip's rows and of `context` rows before it; b"" for one that it has not."""
        return tuple(self._row(clip.env, step) for step in range(clip.step - clip.length - context + 1, clip.step + 1))

    def write(self) -> None:
        """Append what was put since the last write; a process that is killed afterwards loses none of it."""
        if not self._unwritten:
            return
        try:
            log = self._open_log()
            number = log.append(KIND, _packed(self._unwritten))
        except (OSError, Damaged) as error:
            self._tell(f"{self.folder}: sights cannot be kept: {error}")
        else:
            self._index(_Block(log, number), self._unwritten)
        self._unwritten = {}

    def load(self) -> None:
        """Read which rows there are. What is damaged is passed over."""
        for path in sorted(path for path in self.folder.glob("*") if path.is_dir() and path.name.isdecimal()):
            log = FrameLog(path)
            self._logs.append(log)
            try:
                for frame in log.read():
                    self._index(_Block(log, frame.number), _rows_of(frame))
            except (OSError, Damaged, ValueError, KeyError) as error:
                self._tell(f"{error}: its rows are shown without pictures")

    def close(self) -> None:
        for log in self._logs:
            log.close()

    def _row(self, env: int, step: int) -> bytes:
        if (env, step) in self._unwritten:
            return self._unwritten[env, step]
        spans = self._spans.get(env, [])
        place = bisect_right(spans, step, key=lambda span: span.first) - 1
        if place < 0 or spans[place].last < step:
            return b""
        return self._block(spans[place].block).get((env, step), b"")

    def _block(self, block: _Block) -> dict[tuple[int, int], bytes]:
        if block not in self._cache:
            try:
                rows = dict(_unpacked(block.log.frame(block.number)))
            except (OSError, Damaged, ValueError, KeyError, zlib.error) as error:
                self._tell(f"{self.folder}: sights are lost: {error}")
                rows = {}
            self._cache[block] = rows
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(block)
        return self._cache[block]

    def _index(self, block: _Block, rows) -> None:
        """Spans of an environment stand in the order of their first rows: those that come again take the old ones' place."""
        steps: dict[int, list[int]] = {}
        for env, step in rows:
            steps.setdefault(env, []).append(step)
        for env, found in steps.items():
            spans = self._spans.setdefault(env, [])
            span = _Span(min(found), max(found), block)
            while spans and spans[-1].first >= span.first:
                spans.pop()
            spans.append(span)

    def _open_log(self) -> FrameLog:
        """The log to append to."""
        if self._newest is None or _size(self._newest) >= self._log_bytes:
            number = int(self._logs[-1].folder.name) + 1 if self._logs else 0
            self._newest = FrameLog(self.folder / f"{number:06d}")
            self._logs.append(self._newest)
            self._drop_oldest()
        return self._newest

    def _drop_oldest(self) -> None:
        total = sum(map(_size, self._logs))
        while total > self._cap_bytes and len(self._logs) > 1:
            gone = self._logs.pop(0)
            total -= _size(gone)
            gone.close()
            shutil.rmtree(gone.folder, ignore_errors=True)
            for spans in self._spans.values():
                spans[:] = [span for span in spans if span.block.log is not gone]

    def _tell(self, line: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._warn(f"warning: {line}")


def _size(log: FrameLog) -> int:
    return sum(segment.size for segment in log.segments)


def _packed(rows: dict[tuple[int, int], bytes]) -> dict[str, np.ndarray]:
    """env, step, shared, size (n,) and the compressed bytes. shared: bytes at the front that are those of the row before."""
    before: dict[int, bytes] = {}
    shared, rests = [], []
    for (env, _), sight in sorted(rows.items()):
        shared.append(_num_shared(before.get(env, b""), sight))
        rests.append(sight[shared[-1] :])
        before[env] = sight
    env, step = np.array(sorted(rows), np.int64).T
    sizes = np.array([len(rest) for rest in rests], np.uint32)
    content = np.frombuffer(zlib.compress(b"".join(rests), 1), np.uint8)
    return {"env": env, "step": step, "shared": np.array(shared, np.uint32), "size": sizes, "content": content}


def _num_shared(one: bytes, other: bytes) -> int:
    least = min(len(one), len(other))
    differs = np.flatnonzero(np.frombuffer(one, np.uint8, least) != np.frombuffer(other, np.uint8, least))
    return int(differs[0]) if len(differs) else least


def _rows_of(frame: Frame) -> list[tuple[int, int]]:
    return list(zip(frame.arrays["env"].tolist(), frame.arrays["step"].tolist(), strict=True))


def _unpacked(frame: Frame) -> Iterator[tuple[tuple[int, int], bytes]]:
    content, place = zlib.decompress(frame.arrays["content"].tobytes()), 0
    before: dict[int, bytes] = {}
    sizes = zip(_rows_of(frame), frame.arrays["shared"].tolist(), frame.arrays["size"].tolist(), strict=True)
    for (env, step), shared, size in sizes:
        before[env] = before.get(env, b"")[:shared] + content[place : place + size]
        place += size
        yield (env, step), before[env]
