"""Ending a run by Ctrl-C or SIGTERM without losing anything: it is asked for here, and obeyed between two updates."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A run has ended because the signal `number` asked it to.

    Everything up to now was saved in the run's `folder`; without one nothing was: a second signal ended the run at once.
    """

    def __init__(self, number: int, folder: Path | None = None):
        super().__init__(number)
        self.number, self.folder = number, folder


class Stop:
    """Whether somebody wants the run to end, and by which signal; a second one ends it at once."""

    def __init__(self):
        self.is_asked = False
        self.number = signal.SIGINT

    def ask(self, number: int, frame) -> None:
        if self.is_asked:
            raise Interrupted(number)
        self.is_asked, self.number = True, number


def at_once(number: int, frame) -> None:
    """What a signal does where there is nothing to save. Without it a container's first process would not hear SIGTERM."""
    raise Interrupted(number)


@contextmanager
def listening(ask: Callable[[int, Any], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call `ask(number, frame)` meanwhile. Outside the main thread Python has no signals to hear."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
