"""A limit for code in this process: it interrupts, it leaves nothing behind, and it gives way to another's alarm."""

import signal
import threading
import time

import pytest

from tandem.envs.limited import TimedOut, limited


def test_what_takes_too_long_is_interrupted_although_it_catches_exceptions():
    began = time.monotonic()
    with pytest.raises(TimedOut), limited(0.1):
        try:
            time.sleep(30)
        except Exception:  # noqa: BLE001 - as a person's own code may
            raise AssertionError("swallowed") from None
    assert 0.1 <= time.monotonic() - began < 10


def test_what_is_in_time_is_not_disturbed_later_and_the_handler_is_what_it_was():
    before = signal.getsignal(signal.SIGALRM)
    for seconds in (0.1, 0.0):
        with limited(seconds):
            pass
    time.sleep(0.2)
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_an_alarm_that_is_set_before_or_meanwhile_is_left_alone():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with limited(0.1):
        time.sleep(0.15)
    signal.setitimer(signal.ITIMER_REAL, 0)
    with limited(60):
        signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
    time.sleep(0.3)
    signal.signal(signal.SIGALRM, before)
    assert heard == [signal.SIGALRM]


def test_a_thread_has_no_limit():
    ended = []

    def work():
        with limited(0.05):
            time.sleep(0.2)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start(), thread.join()
    assert ended == [True]
