"""A last line that says what a text file was when it was written: a changed digit of config.yaml is another run."""

import hashlib
import re

LINE = re.compile(r"# sha256 of all above: ([0-9a-f]{64})\n?\Z")


def sealed(text: str) -> str:
    """The text, with the line below."""
    return f"{text}# sha256 of all above: {_sha256(text)}\n"


def is_broken(text: str) -> bool:
    """Whether the text is another than it was when it was sealed. One that was never sealed cannot be told."""
    found = LINE.search(text)
    return found is not None and _sha256(text[: found.start()]) != found[1]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
