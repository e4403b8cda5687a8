"""What a program says and what it has said: a log of bounded size, and its answers on disk."""

import json
import os
import secrets
import threading
import time
from pathlib import Path
from typing import IO

from ...records import Answer
from .account import printable

LOG_BYTES = 1_000_000  # of either file of a log


class Log:
    """RUN/labeler.log: what a program writes beside its answers, and what failed. The older half is labeler.log.1."""

    def __init__(self, path: Path, most_bytes: int = LOG_BYTES):
        self.path, self._most, self._lock = path, most_bytes, threading.Lock()

    def add(self, content: bytes) -> None:
        """Append. A log that cannot be written is no reason to stop."""
        with self._lock:
            try:
                with appended(self.path) as file:
                    file.write(content[-self._most :])
                    size = file.tell()
                if size > self._most:
                    os.replace(self.path, self.path.with_name(f"{self.path.name}.1"))
            except OSError:
                pass

    def line(self, text: str) -> None:
        self.add(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {printable(text)}\n".encode())


class Said:
    """RUN/labeler.answers.jsonl: every answer, so that a question asked again has the same one. Whoever answers may charge for it.

    The first line names the run, by chance, for servers that hear of several. What a crash left unfinished is left out.
    """

    def __init__(self, path: Path):
        self.path, self.answers, self.run = path, dict[str, Answer](), ""
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        for line in lines:
            self._read(line)
        self._is_torn = bool(lines) and not lines[-1].endswith(b"\n")
        if not self.run:
            self.run = secrets.token_hex(8)
            self._append({"run": self.run})

    def _read(self, line: bytes) -> None:
        try:
            plain = json.loads(line)
            if "run" in plain:
                self.run = str(plain["run"])
                return
            moments = tuple((int(row), float(value)) for row, value in plain["moments"])
            answer = Answer(plain["key"], float(plain["value"]), seconds=float(plain["seconds"]), moments=moments)
        except (ValueError, KeyError, TypeError):
            return
        self.answers[answer.key] = answer

    def keep(self, answer: Answer) -> None:
        """OSError where the disk does not take it."""
        self._append({"key": answer.key, "value": answer.value, "seconds": answer.seconds, "moments": answer.moments})
        self.answers[answer.key] = answer

    def _append(self, plain: dict) -> None:
        with appended(self.path) as file:
            file.write((b"\n" if self._is_torn else b"") + json.dumps(plain).encode() + b"\n")
        self._is_torn = False


def appended(path: Path) -> IO[bytes]:
    """To write at its end; OSError where it is a link, which may lead out of the folder."""
    return open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644), "ab")
