"""A limit of time on code of others, in this process."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class TimedOut(BaseException):
    """The time is over. No Exception, so that code which catches those does not swallow it."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """TimedOut after `seconds` in this process, by the system's alarm; 0: there is no limit.

    Nor is there one outside the main thread, where Python has no signals, or while somebody else's alarm is set; code
    that is not Python's is interrupted when it returns.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not seconds or not is_main or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGALRM) is _ring:  # else somebody has set an alarm meanwhile: it is theirs now
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _ring(number: int, frame) -> None:
    raise TimedOut
