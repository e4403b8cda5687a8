"""What was asked of a program or a server, and what came of it: counted by several threads, told in a line."""

import threading
from dataclasses import dataclass, field

SHOWN = 200  # characters of what others wrote


@dataclass
class Account:
    asked: int = 0
    answered: int = 0
    declined: int = 0  # by the one who was asked
    failed: int = 0  # declined by us, after all retries
    retried: int = 0
    unusable: int = 0  # lines that are no replies to what was asked
    example: str = ""  # the first of them
    trouble: str = ""  # the last failure
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, name: str) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def count_unusable(self, line: bytes) -> bool:
        """Whether it is the first."""
        with self._lock:
            self.unusable += 1
            if self.unusable > 1:
                return False
            self.example = printable(line.decode(errors="replace"))
            return True

    def metrics(self) -> dict[str, float]:
        names = ("asked", "answered", "declined", "failed", "retried", "unusable")
        return {f"labeler/{name}": float(getattr(self, name)) for name in names}

    def told(self) -> str:
        """Such as "9 answered, 1 failed, 2 retried; the last failure: ended with status 1"."""
        names = ("answered", "declined", "failed", "retried")
        told = ", ".join(f"{getattr(self, name)} {name}" for name in names if getattr(self, name) or name == "answered")
        if self.unusable:
            told += f"; {self.unusable} lines are no replies, the first: {self.example!r}"
        return told + (f"; the last failure: {self.trouble}" if self.trouble else "")


def printable(text: str) -> str:
    """What somebody else wrote, short, in one line, without anything that a terminal would obey."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * SHOWN]).split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."
