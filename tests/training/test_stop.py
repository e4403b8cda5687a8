"""Signals that end a run."""

import os
import signal
import time

import pytest

from tandem.training import stop as stopping
from tandem.training.stop import HungUp, Interrupted, Stop, listening


def test_the_first_signal_asks_and_the_second_ends_at_once():
    stop, before = Stop(), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as ended, listening(stop.ask):
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.is_asked, stop.number) == (True, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert (ended.value.number, ended.value.folder) == (signal.SIGINT, None)
    assert signal.getsignal(signal.SIGTERM) == before


def test_with_nothing_to_lose_the_first_signal_ends_at_once_and_says_where_all_is_saved(tmp_path):
    stop = Stop()
    with pytest.raises(Interrupted) as ended, listening(stop.ask), stop.nothing_to_lose(tmp_path):
        os.kill(os.getpid(), signal.SIGTERM)
    assert (ended.value.number, ended.value.folder) == (signal.SIGTERM, tmp_path)


def test_a_signal_from_before_ends_what_may_be_lost_before_it_begins(tmp_path):
    stop = Stop()
    with listening(stop.ask):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted), stop.nothing_to_lose(tmp_path):
            raise AssertionError("it began")


@pytest.mark.parametrize("is_before", [True, False], ids=["signal before the call", "signal in the call"])
def test_a_call_that_hangs_after_a_signal_is_left(monkeypatch, is_before):
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.2)
    stop, start = Stop(), time.monotonic()
    with listening(stop.ask), pytest.raises(HungUp) as hung:
        if is_before:
            os.kill(os.getpid(), signal.SIGTERM)
        with stop.outside():
            if not is_before:
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
    assert hung.value.number == signal.SIGTERM and time.monotonic() - start < 10


def test_a_call_that_returns_in_time_is_not_disturbed_later(monkeypatch):
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.1)
    stop = Stop()
    with listening(stop.ask):
        with stop.outside():
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
    assert stop.is_asked
