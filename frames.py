"""Append-only logs of checked frames: few large files, of which a crash can tear the last frame and nothing else.

A frame is a kind, some plain values and some arrays. Its bytes:

    4s magic | Q number in the log | Q bytes of the body | I crc32 of the body | I crc32 of all before
    I bytes of the head | head: JSON {"kind", "values", "arrays": [[name, dtype, shape], ...]} | the arrays, C order
"""

import hashlib
import json
import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from .durable import sync, sync_folder
from .errors import Damaged

SEGMENT_BYTES = 128 * 2**20  # after which the next file begins
MAGIC = b"TNDM"
_START = struct.Struct("<4sQQI")
_CRC = struct.Struct("<I")
HEADER = _START.size + _CRC.size
NAME = re.compile(r"\d{6}\.log")
KINDS = "biufU"  # of numpy's types: numbers, flags and text; never objects


class DamagedLog(Damaged):
    """A file of a log that is damaged or missing; `path` is the file, `number` the first frame that is lost."""

    def __init__(self, path: Path, number: int, why: str):
        super().__init__(f"{path}: damaged at frame {number}: {why}")
        self.path, self.number = path, number


@dataclass(frozen=True)
class Frame:
    number: int
    kind: str
    values: dict[str, Any]  # plain: numbers and text
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Hole:
    """Bytes of a file that are no whole frame."""

    start: int
    size: int


@dataclass
class Segment:
    """One file: the bytes of its whole frames, their running hash, and where each frame begins."""

    path: Path
    first: int  # number of its first frame
    size: int = 0
    starts: list[int] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)


class FrameLog:
    """A folder of files 000000.log, 000001.log and so on. One process writes; whatever was synced survives a power cut."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES):
        self.folder, self.segment_bytes = Path(folder), segment_bytes
        self.segments: list[Segment] = []
        self._file: IO | None = None
        self._is_read = False
        self._has_new_file = self._is_dirty = False

    @property
    def count(self) -> int:
        """Frames held, those appended and not yet synced included."""
        return self.segments[-1].first + len(self.segments[-1].starts) if self.segments else 0

    def read(self) -> Iterator[Frame]:
        """All whole frames, oldest first; an unfinished one at the very end is what a crash left, and is passed over.

        To be read to its end before anything is appended. DamagedLog for any other damage, and for a missing file.
        """
        self.segments = []
        paths = self._paths()
        for place, path in enumerate(paths):
            segment = Segment(path, self.count)
            self.segments.append(segment)
            if path.name != f"{place:06d}.log":
                raise DamagedLog(self.folder / f"{place:06d}.log", segment.first, "the file is missing")
            yield from self._frames(segment, is_last=place == len(paths) - 1)
        self._is_read = True
        self._has_new_file = self._is_dirty = bool(paths)  # a process that was killed may have synced none of the end

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.log") if NAME.fullmatch(path.name))

    def _frames(self, segment: Segment, is_last: bool) -> Iterator[Frame]:
        try:
            content = segment.path.read_bytes()
        except OSError as error:
            raise DamagedLog(segment.path, segment.first, f"not readable: {error}") from error
        view = memoryview(content)
        while segment.size < len(content):
            number = self.count
            try:
                frame, size = _parsed(view[segment.size :], number)
            except ValueError as error:
                # Nothing whole can follow what a crash tore. What it tore was never synced, so nobody counts on it.
                if is_last and not _has_frame(content, segment.size + 1):
                    return
                raise DamagedLog(segment.path, number, str(error)) from error
            segment.digest.update(view[segment.size : segment.size + size])
            segment.starts.append(segment.size)
            segment.size += size
            yield frame

    def frame(self, number: int) -> Frame:
        """One frame read again, by its number."""
        segment = next(one for one in reversed(self.segments) if one.first <= number)
        start = segment.starts[number - segment.first]
        with open(segment.path, "rb") as file:
            file.seek(start)
            length = _START.unpack(file.read(HEADER)[: _START.size])[2]
            file.seek(start)
            try:
                return _parsed(memoryview(file.read(HEADER + length)), number)[0]
            except ValueError as error:
                raise DamagedLog(segment.path, number, str(error)) from error

    def append(self, kind: str, arrays: Mapping[str, np.ndarray], **values: Any) -> int:
        """Write a frame, safe once `sync` has returned. -> its number. OSError (a full disk) leaves the log as it was."""
        if not self._is_read:
            for _ in self.read():
                pass
        number = self.count
        data = packed(number, kind, arrays, values)
        file = self._open_file(len(data))
        segment = self.segments[-1]
        try:
            file.write(data)
            file.flush()
        except OSError:
            self.close()  # the next append cuts off what was written of it
            raise
        segment.digest.update(data)
        segment.starts.append(segment.size)
        segment.size += len(data)
        self._is_dirty = True
        return number

    def sync(self) -> None:
        """All that was appended is on disk when this returns."""
        if not self._is_dirty:
            return
        sync(self._last_file())
        if self._has_new_file:
            sync_folder(self.folder)
        self._has_new_file = self._is_dirty = False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def manifest(self) -> dict[str, dict[str, Any]]:
        """File name -> {"size", "sha256"} of the whole frames in it now."""
        return {one.path.name: {"size": one.size, "sha256": one.digest.copy().hexdigest()} for one in self.segments}

    def _open_file(self, size: int) -> IO:
        """The file that the next frame goes to: the last one, without what a crash tore, or a new one where that is full."""
        if self.segments and self.segments[-1].size and self.segments[-1].size + size > self.segment_bytes:
            self.sync()
            self.close()
            self.segments.append(self._new_segment())
        elif not self.segments:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.segments.append(self._new_segment())
        return self._last_file()

    def _last_file(self) -> IO:
        segment = self.segments[-1]
        if self._file is None:
            self._file = open(segment.path, "ab")  # noqa: SIM115  closed by `close`
            self._file.truncate(segment.size)
            self._file.seek(segment.size)
        return self._file

    def _new_segment(self) -> Segment:
        self._has_new_file = True
        return Segment(self.folder / f"{len(self.segments):06d}.log", self.count)


def scan(path: Path) -> Iterator[Frame | Hole]:
    """All whole frames of one file in their order, whatever their numbers, and what stands before, between and after them."""
    content = path.read_bytes()
    view, start, end = memoryview(content), 0, 0  # `end`: of the last whole frame
    while start < len(content):
        try:
            frame, size = _parsed(view[start:], None)
        except ValueError:
            following = content.find(MAGIC, start + 1)
            start = len(content) if following < 0 else following
            continue
        if start > end:
            yield Hole(end, start - end)
        yield frame
        start = end = start + size
    if end < len(content):
        yield Hole(end, len(content) - end)


def packed(number: int, kind: str, arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> bytes:
    """The bytes of a frame."""
    whole = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    assert all(array.dtype.kind in KINDS for array in whole.values()), {k: v.dtype for k, v in whole.items()}
    shapes = [[name, array.dtype.str, list(array.shape)] for name, array in whole.items()]
    head = json.dumps({"kind": kind, "values": dict(values), "arrays": shapes}, allow_nan=False).encode()
    body = b"".join([_CRC.pack(len(head)), head, *(array.tobytes() for array in whole.values())])
    start = _START.pack(MAGIC, number, len(body), zlib.crc32(body))
    return start + _CRC.pack(zlib.crc32(start)) + body


def _parsed(view: memoryview, number: int | None) -> tuple[Frame, int]:
    """The frame at the beginning of the bytes, and how many of them are its. ValueError for anything else.

    number: that the frame must have; None: any.
    """
    if len(view) < HEADER:
        raise ValueError(f"{len(view)} bytes are no frame")
    magic, found, length, crc = _START.unpack(view[: _START.size])
    if magic != MAGIC or zlib.crc32(view[: _START.size]) != _CRC.unpack(view[_START.size : HEADER])[0]:
        raise ValueError("not the beginning of a frame")
    if number is not None and found != number:
        raise ValueError(f"frame {found} stands where frame {number} is expected")
    if len(view) < HEADER + length:
        raise ValueError(f"{len(view) - HEADER} bytes, {length} were written")
    body = view[HEADER : HEADER + length]
    if zlib.crc32(body) != crc:
        raise ValueError("the checksum is wrong")
    return _unpacked(body, found), HEADER + length


def _unpacked(body: memoryview, number: int) -> Frame:
    head_end = _CRC.size + _CRC.unpack(body[: _CRC.size])[0]
    head = json.loads(bytes(body[_CRC.size : head_end]))
    arrays, place = {}, head_end
    for name, dtype, shape in head["arrays"]:
        kind = np.dtype(dtype)
        if kind.kind not in KINDS:
            raise ValueError(f"{name} is of type {dtype}")
        size = math.prod(shape) * kind.itemsize
        if size < 0 or place + size > len(body):
            raise ValueError(f"{name} is cut off")
        flat = np.frombuffer(body, kind, size // kind.itemsize if kind.itemsize else 0, place)
        arrays[name] = flat.reshape(shape).copy()  # torch warns of arrays that cannot be written to
        place += size
    return Frame(number, head["kind"], head["values"], arrays)


def _has_frame(content: bytes, start: int) -> bool:
    """Whether a whole frame stands anywhere from `start` on."""
    view = memoryview(content)
    while (start := content.find(MAGIC, start)) >= 0:
        try:
            _parsed(view[start:], None)
        except ValueError:
            start += 1
        else:
            return True
    return False
