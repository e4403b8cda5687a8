"""Bytes into lines, with bounded memory whatever comes."""

from collections.abc import Iterator

MOST_BYTES = 1_000_000  # of a line; a longer one is cut off there


class Lines:
    def __init__(self, most_bytes: int = MOST_BYTES):
        self._most, self._begun, self._is_skipping = most_bytes, b"", False

    def of(self, content: bytes) -> Iterator[bytes]:
        """The lines that end in this content, and the beginning of one that is too long. What is not taken is lost."""
        *ended, rest = content.split(b"\n")
        for piece in ended:
            line, self._begun = self._begun + piece, b""
            if not self._is_skipping:
                yield line[: self._most]
            self._is_skipping = False
        self._begun = b"" if self._is_skipping else self._begun + rest
        if len(self._begun) > self._most:
            line, self._begun, self._is_skipping = self._begun[: self._most], b"", True
            yield line
