"""What the process does in which films are made: all that it is asked for, one after the other, in nobody's way."""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO

from ....envs.pool import failure_of, leave_with
from ....errors import UserError
from .gif import Film

Shot = Callable[[], Film]  # how a film is made
NICE = 10  # a tenth of what training gets where both want the same core
LONGEST_SECONDS = 600  # that this process lasts, then the system ends it


def work(lifeline: int) -> None:
    """Read the shots from standard input, and write a film for each to standard output, or why there is none.

    lifeline: a pipe whose other end the parent holds: where the parent is gone, this process ends at once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.alarm(LONGEST_SECONDS)
    os.nice(NICE)
    leave_with(lifeline)
    shots = pickle.load(sys.stdin.buffer)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answer:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what an environment prints must not come in between
        develop(shots, answer)


def develop(shots: list[Shot], answer: BinaryIO) -> None:
    pickle.dump([made(shot) for shot in shots], answer)


def made(shot: Shot) -> Film | str:
    """A film, or why there is none."""
    try:
        return shot()
    except UserError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a task or a graphics library raises: it is told
        return f"it {failure_of(error)}"
