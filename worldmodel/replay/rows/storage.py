"""Where the columns of a replay lie: in main memory, or in files that are mapped into it. Either grows in place.

The files have no names: whatever ends the process, the system frees them. The journals are what is kept.
"""

import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import DTypeLike

from ....errors import UserError

LARGE = 2**22  # bytes from which on memory is asked for in large pages
PIECE = 2**24  # bytes written at a time where a file cannot be allocated at once


class Storage:
    """Arrays by name, each of which may grow along its first axis."""

    def __init__(self, folder: Path | None = None):
        """folder: for the files, made where there is none; None: main memory."""
        self.folder = folder
        self._mappings: dict[str, mmap.mmap] = {}
        self._files: dict[str, IO[bytes]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """The array of this name with so many rows: those it had, and zeros after them.

        No earlier array of the name may be used any more. UserError where the disk has no room.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if not size:
            return np.zeros(shape, dtype)
        mapping = self._mappings.pop(name, None)
        if mapping is None or len(mapping) < size:
            mapping = self._mapped(name, size) if self.folder else _in_memory(size, mapping)
        self._mappings[name] = mapping
        # frombuffer keeps the mapping from being moved for as long as anybody looks at the array, or at a part of it.
        return np.frombuffer(mapping, dtype, math.prod(shape)).reshape(shape)

    def _mapped(self, name: str, size: int) -> mmap.mmap:
        assert self.folder is not None
        try:
            if name not in self._files:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._files[name] = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115  ends with the storage
            _allocate(self._files[name], size)  # a mapped page that the disk has no room for would kill the process
            return mmap.mmap(self._files[name].fileno(), size)
        except OSError as error:
            why = f"{self.folder} cannot hold {size:,} bytes of {name} ({error.strerror or error})"
            raise UserError(f"replay.folder: {why}; give another folder, or less replay.capacity") from error


def _in_memory(size: int, before: mmap.mmap | None) -> mmap.mmap:
    """Private memory of so many bytes that begins with what was there before; its pages count once they are written."""
    if before is not None:
        try:
            before.resize(size)  # moves no byte, where the system can
            return _with_large_pages(before)
        except (BufferError, SystemError, ValueError, OSError):
            pass
    try:
        mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        why = f"this machine gives no {size:,} bytes ({error.strerror})"
        raise UserError(f"replay.capacity: {why}; replay.storage=mmap keeps rows on disk") from error
    _with_large_pages(mapping)
    if before is not None:
        np.ndarray(len(before), np.uint8, buffer=mapping)[:] = np.ndarray(len(before), np.uint8, buffer=before)
    return mapping


def _with_large_pages(mapping: mmap.mmap) -> mmap.mmap:
    """Random rows are found twice as fast in them, as numpy's own large arrays have them."""
    if hasattr(mmap, "MADV_HUGEPAGE") and len(mapping) >= LARGE:
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping


def _allocate(file: IO[bytes], size: int) -> None:
    """Room on the disk for so many bytes, zeros after those that the file has. OSError where there is none."""
    have = os.fstat(file.fileno()).st_size
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), have, size - have)
        return
    file.seek(have)
    for start in range(have, size, PIECE):
        file.write(bytes(min(PIECE, size - start)))
    file.flush()
