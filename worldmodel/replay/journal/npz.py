"""A file of arrays as versions 0.1 and 0.2 wrote their journals, read whole or not at all."""

import zipfile
from pathlib import Path

import numpy as np

from ....errors import Damaged

NAMES = "names"  # the list of arrays: a damaged directory of a zip file can lose members without any checksum noticing


class ChunkError(Damaged):
    """A file of the journal that is damaged or missing."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays, after their checksums were compared. ChunkError names the file that is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ChunkError(f"{path}: the checksum of {damaged} is wrong")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ChunkError(f"{path}: not a readable chunk: {error}") from error
    names = arrays.pop(NAMES, np.array([]))
    if sorted(arrays) != names.tolist():
        raise ChunkError(f"{path}: holds the arrays {sorted(arrays)}, expected {names.tolist()}")
    return arrays
