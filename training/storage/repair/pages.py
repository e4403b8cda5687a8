"""Rows read from the bytes of an SQLite file, page by page, without what says where they are: that may be damaged.

Only leaves of tables are looked at. What is found is not to be trusted before it was proved.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

PAGE = 4096  # bytes, where the file does not say it
FILE_HEADER = 100  # bytes before the first page's own header
LEAF = 0x0D
FLOAT, FIRST_BLOB = 7, 12
SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}  # bytes of a value by its type
MOST_COLUMNS = 32


def rows_in(path: Path) -> Iterator[tuple[int, tuple]]:
    """(row number, values) of everything that looks like a row of a table; a key that is the row number is None."""
    content = path.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    size = 65536 if size == 1 else size
    if size < 512 or size & (size - 1):
        size = PAGE
    for start in range(0, len(content), size):
        page = content[start : start + size]
        head = FILE_HEADER if start == 0 else 0
        if len(page) < head + 8 or page[head] != LEAF:
            continue
        number = int.from_bytes(page[head + 3 : head + 5], "big")
        for cell in range(number):
            place = head + 8 + 2 * cell
            try:
                yield _row(content, page, size, int.from_bytes(page[place : place + 2], "big"))
            except (ValueError, IndexError, KeyError, struct.error, UnicodeError):
                continue


def _row(content: bytes, page: bytes, size: int, start: int) -> tuple[int, tuple]:
    length, start = _varint(page, start)
    number, start = _varint(page, start)
    return number, _values(_payload(content, page, size, start, length))


def _payload(content: bytes, page: bytes, size: int, start: int, length: int) -> bytes:
    """What lies in the page, and where it is long, in the chain of pages that it goes on in."""
    most = size - 35
    if length <= most:
        return _exactly(page[start : start + length], length)
    least = (size - 12) * 32 // 255 - 23
    here = least + (length - least) % (size - 4)
    here = here if here <= most else least
    payload = page[start : start + here]
    following = int.from_bytes(_exactly(page[start + here : start + here + 4], 4), "big")
    while len(payload) < length and following:
        at = (following - 1) * size
        following = int.from_bytes(_exactly(content[at : at + 4], 4), "big")
        payload += content[at + 4 : at + size]
    return _exactly(payload[:length], length)


def _values(payload: bytes) -> tuple:
    head, place = _varint(payload, 0)
    kinds = []
    while place < head:
        kind, place = _varint(payload, place)
        kinds.append(kind)
    if place != head or len(kinds) > MOST_COLUMNS:
        raise ValueError("not the head of a row")
    values = []
    for kind in kinds:
        size = (kind - FIRST_BLOB) // 2 if kind >= FIRST_BLOB else SIZES[kind]
        values.append(_value(kind, _exactly(payload[place : place + size], size)))
        place += size
    return tuple(values)


def _value(kind: int, content: bytes) -> object:
    if kind == 0:
        return None
    if kind >= FIRST_BLOB:
        return content.decode() if kind % 2 else content
    if kind == FLOAT:
        return struct.unpack(">d", content)[0]
    return kind - 8 if kind > FLOAT else int.from_bytes(content, "big", signed=True)


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """The number there, and where it ends."""
    value = 0
    for i in range(9):
        byte = content[place + i]
        if i == 8:
            return value << 8 | byte, place + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + i + 1
    raise ValueError("not a number")


def _exactly(content: bytes, size: int) -> bytes:
    if len(content) != size:
        raise ValueError("cut off")
    return content
