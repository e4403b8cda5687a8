"""Sweeps whose cells are done by a stand-in for train.py, in a process that can be killed."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tandem.training.build
import tandem.training.sweeps.sweep
from tandem import cli

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def stand_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tandem.training.sweeps.sweep, "TRAIN", HERE / "stand_in.py")
    monkeypatch.setattr(tandem.training.sweeps.sweep, "PAUSE_SECONDS", 0.05)


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Path:
    """A Slurm of this machine. -> where it keeps its books"""
    place = tmp_path / "books"
    place.mkdir()
    monkeypatch.setenv("CLUSTER", str(place))
    monkeypatch.setenv("PATH", f"{HERE / 'cluster'}:{os.environ['PATH']}")
    return place


class Sweeping:
    """A sweep in a process of its own."""

    def __init__(self, arguments: list[str], said: Path):
        self.said = said
        self.pid = os.fork()
        if not self.pid:
            file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
            status = 1
            try:
                status = cli.main(["train", "--sweep", *arguments])
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def end(self, number: int | None = None) -> int:
        """Send it a signal, if any, and wait. -> the exit status, negative for a signal."""
        if number is not None:
            os.kill(self.pid, number)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def sweeping(tmp_path):
    """sweeping("seed=0..2") -> a Sweeping over smoke runs in the folder `cells`."""
    return lambda *arguments: Sweeping(["smoke", "run.dir=cells", *arguments], tmp_path / "said")


def until(is_true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


@pytest.fixture(name="until")
def waiter():
    return until


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path):
    """No process of a cell outlives its test."""
    yield
    for pid in trainers(tmp_path):
        os.kill(pid, signal.SIGKILL)


def trainers(folder: Path) -> list[int]:
    """Processes whose command line names the folder and the stand-in or a real train.py."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(str(folder) in word for word in words) and any(
            word.endswith(("stand_in.py", "train.py")) for word in words
        ):
            found.append(int(path.parent.name))
    return found


@pytest.fixture(name="trainers")
def trainers_of():
    return trainers
