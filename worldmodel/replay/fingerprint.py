"""One short text for everything that a store holds, so that two runs can be compared."""

import hashlib
from collections.abc import Iterable

import numpy as np


def fingerprint(arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """The sha256 of named arrays, in hexadecimal: of their names, types, shapes and every byte, in the order given."""
    total = hashlib.sha256()
    for name, array in arrays:
        total.update(f"{name} {array.dtype.str} {array.shape};".encode())
        total.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return total.hexdigest()
