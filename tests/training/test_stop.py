"""Signals that end a run."""

import os
import signal

import pytest

from tandem.training.stop import Interrupted, Stop, listening


def test_the_first_signal_asks_and_the_second_ends_at_once():
    stop, before = Stop(), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as ended, listening(stop.ask):
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.is_asked, stop.number) == (True, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert (ended.value.number, ended.value.folder) == (signal.SIGINT, None)
    assert signal.getsignal(signal.SIGTERM) == before
