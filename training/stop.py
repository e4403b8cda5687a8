"""Ending a run by Ctrl-C or SIGTERM without losing anything: it is asked for here, and obeyed between two updates."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GRACE_SECONDS = 5.0  # that a call of an environment or a labeler may still take after somebody asked for the end


class Interrupted(KeyboardInterrupt):
    """A run has ended because the signal `number` asked it to.

    Everything up to now was saved in the run's `folder`; without one nothing was: a second signal ended the run at once.
    """

    def __init__(self, number: int, folder: Path | None = None):
        super().__init__(number)
        self.number, self.folder = number, folder


class HungUp(KeyboardInterrupt):
    """A call to the outside did not return in time after the signal `number`; everything before it is whole."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class Stop:
    """Whether somebody wants the run to end, and by which signal; a second one ends it at once."""

    def __init__(self):
        self.is_asked = False
        self.number = signal.SIGINT
        self._saved: Path | None = None  # where all that counts is saved, while there is nothing to lose
        self._is_outside = False

    def ask(self, number: int, frame) -> None:
        if self.is_asked:
            raise Interrupted(number)
        self.is_asked, self.number = True, number
        if self._saved is not None:
            raise Interrupted(number, self._saved)
        if self._is_outside:
            self._set_alarm()

    @contextmanager
    def nothing_to_lose(self, folder: Path) -> Iterator[None]:
        """Meanwhile the first signal ends the run at once: what counts is saved, the rest can be done again."""
        self._saved = folder
        try:
            if self.is_asked:
                raise Interrupted(self.number, folder)
            yield
        finally:
            self._saved = None

    @contextmanager
    def outside(self) -> Iterator[None]:
        """A call to an environment or labeler: HungUp where it hangs for GRACE_SECONDS after a signal."""
        self._is_outside = True
        if self.is_asked:
            self._set_alarm()
        try:
            yield
        finally:
            self._is_outside = False
            if self.is_asked and threading.current_thread() is threading.main_thread():
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _set_alarm(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self._hang_up)
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def _hang_up(self, number: int, frame) -> None:
        if self._is_outside:
            raise HungUp(self.number)


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
