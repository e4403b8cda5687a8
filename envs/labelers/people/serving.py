"""Whether a run is served, and where: a lock beside the queue, which ends with the process that holds it."""

import fcntl
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ....errors import UserError
from .queue import Queue

LOCK = "questions.served"
LOCAL = "http://127.0.0.1:8600"  # where the page will be, as far as one can tell, while nobody serves it
TRIES, PAUSE_SECONDS = 5, 0.02  # whoever only looks holds the lock for a moment too


@contextmanager
def held(run: Path) -> Iterator[IO[str]]:
    """The file whose lock says that a run is served, to write where into. UserError where another process holds it."""
    with open(run / LOCK, "a+") as file:
        if not any(_is_locked(file, fcntl.LOCK_EX, turn) for turn in range(TRIES)):
            file.seek(0)
            where = file.read().strip() or "an address that is not known yet"
            raise UserError(f"{run}: is served already, at {where}")
        file.truncate(0)
        try:
            yield file
        finally:
            file.truncate(0)


def served_at(run: Path) -> str:
    """The address of the server that there is; empty: there is none."""
    try:
        with open(run / LOCK) as file:
            return "" if _is_locked(file, fcntl.LOCK_SH) else file.read().strip()
    except OSError:  # never served
        return ""


def where(queue: Queue) -> str:
    """For a person: the page's address or, while nobody serves it, the command that does."""
    run = queue.path.parent
    return served_at(run) or f"nobody serves the page yet: tandem label serve {shlex.quote(str(run))}"


def base(queue: Queue) -> str:
    """What a rater's address begins with: that of the server, or where the last one was."""
    return served_at(queue.path.parent) or queue.meta("address", LOCAL)


def _is_locked(file: IO[str], how: int, turn: int = 0) -> bool:
    """Whether the lock is had now."""
    time.sleep(PAUSE_SECONDS * bool(turn))
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
