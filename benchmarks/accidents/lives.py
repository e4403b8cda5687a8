"""A life of a run: one process that starts it or goes on with it, and may be killed. Forked, so that a life costs no import."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch._dynamo  # noqa: F401  torch imports it with its first optimiser, which takes longer than a life

import tandem.training.phases  # noqa: F401  here, so that no life has to
from tandem import cli
from tandem.training.storage.folder import SAVED_AS

SETTINGS = (  # a pilot and two phases in a second or two
    "smoke",
    "task=toy_lq",
    "threads=1",
    "envs.repeat=1",
    "envs.time_limit=20",
    "budget.total=320",
    "allocator.pilot_labels=8",
    "train.updates=16",
    "train.batch=2",
    "train.length=6",
    "train.horizon=3",
    "measure.refit_steps=6",
    "evaluate.episodes=1",
    "evaluate.final_episodes=1",
    "log.figures=false",
    "log.every_seconds=1000",
)
REFUSED = 2  # also how a command ends that is asked to go on with a run which had come to its end before it was killed
LONGEST_SECONDS = 300.0  # a life that lasts longer hangs


def changed(*settings: str) -> tuple[str, ...]:
    """SETTINGS with these on top."""
    keys = {setting.split("=")[0] for setting in settings}
    return (*(one for one in SETTINGS if one.split("=")[0] not in keys), *settings)


@dataclass(frozen=True)
class End:
    """How a life ended: its exit status (-9 where it was killed), the seconds that it lasted, and what it said."""

    status: int
    seconds: float
    said: str

    @property
    def is_killed(self) -> bool:
        return self.status == -signal.SIGKILL

    @property
    def is_clean(self) -> bool:
        """Killed from outside, or at the run's end: neither an error nor a refusal."""
        return self.is_killed or self.status == 0


class Hanging(RuntimeError):
    """A life did not end by itself."""


def live(
    folder: Path,
    settings: Sequence[str] = SETTINGS,
    kill_after: float | None = None,
    prepare: Callable[[], None] | None = None,
) -> End:
    """Start a run in `folder`, or go on with the one there, and wait for its end.

    kill_after: seconds after which it gets SIGKILL. prepare: called in the new process before anything else.
    """
    is_begun = (folder / SAVED_AS).exists()
    words = ["--resume", str(folder)] if is_begun else [*settings, f"run.dir={folder}"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}.said"
    start = time.monotonic()
    child = os.fork()
    if not child:
        _be(words, log, prepare)
    status, seconds = _waited(child, start, kill_after), time.monotonic() - start
    said = log.read_text(errors="replace")
    return End(0 if status == REFUSED and " is finished; " in said else status, seconds, said)


def live_on(folder: Path, settings: Sequence[str] = SETTINGS) -> End:
    """As `live`, to the run's end. RuntimeError, with what it said, where that is not reached."""
    end = live(folder, settings)
    if end.status:
        raise RuntimeError(f"{folder}: ended with {end.status}: {end.said}")
    return end


def _be(words: list[str], log: Path, prepare: Callable[[], None] | None) -> None:
    """The new process; it does not return."""
    status = 1
    try:
        os.setpgid(0, 0)  # so that a Ctrl-C ends this benchmark, and this life when its parent says so
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        # Not those that a test captures.
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        if prepare:
            prepare()
        status = cli.main(["train", *words])
    except Exception:  # noqa: BLE001  whatever it was, the parent reads it
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _waited(child: int, start: float, kill_after: float | None) -> int:
    """The exit status of a child, negative for a signal."""
    limit = kill_after if kill_after is not None else LONGEST_SECONDS
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - start >= limit:
            break
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if kill_after is None:
        raise Hanging(f"no end after {limit:.0f} s")
    return status
