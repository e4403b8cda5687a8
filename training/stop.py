"""Ending a run by Ctrl-C or SIGTERM without losing anything: it is asked for here, and obeyed between two updates."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Whether somebody wants the run to end; a second Ctrl-C ends it at once."""

    def __init__(self):
        self.is_asked = False

    def ask(self, number: int, frame) -> None:
        if self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True


@contextmanager
def listening(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM ask `stop` while this lasts. Outside the main thread Python has no signals to hear."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
