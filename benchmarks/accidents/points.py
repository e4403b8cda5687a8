"""The moments at which a process touches the disk for good: each fsync, rename, link, deletion and commit of the ledger."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from .lives import SETTINGS, live

CALLS = ("fsync", "replace", "rename", "link", "unlink", "truncate")


def watch(at: Callable[[int, str], None]) -> None:
    """From now on this process calls `at(number, name)` before each such moment, counted from 1."""
    count = 0

    def reached(name: str) -> None:
        nonlocal count
        count += 1
        at(count, name)

    for name in CALLS:
        setattr(os, name, _announced(getattr(os, name), name, reached))
    connect = sqlite3.connect

    def connected(*arguments, **keywords):
        db = connect(*arguments, **keywords)
        db.set_trace_callback(lambda statement: reached("commit") if statement.strip().upper() == "COMMIT" else None)
        return db

    sqlite3.connect = connected


def _announced(call: Callable, name: str, reached: Callable[[str], None]) -> Callable:
    def announced(*arguments, **keywords):
        reached(name)
        return call(*arguments, **keywords)

    return announced


def count(folder: Path, settings: Sequence[str] = SETTINGS) -> int:
    """How many moments a run has that nothing interrupts. It is made in `folder`, and removed."""
    names = folder.parent / "points"
    live(folder, settings, prepare=_written_to(names))
    shutil.rmtree(folder)
    return len(names.read_text().split())


def _written_to(path: Path) -> Callable[[], None]:
    """For a life: the names of all moments go into a file, a line each."""

    def prepare() -> None:
        file = open(path, "w", buffering=1)  # noqa: SIM115  the process ends it
        watch(lambda number, name: print(name, file=file))

    return prepare


def killed_at(number: int) -> Callable[[], None]:
    """For a life: SIGKILL just before the moment of this number."""
    return lambda: watch(lambda reached, name: _kill() if reached == number else None)


def stopped_at(number: int) -> Callable[[], None]:
    """For a life: Ctrl-C just before the moment of this number."""
    return lambda: watch(lambda reached, name: os.kill(os.getpid(), signal.SIGINT) if reached == number else None)


def cut_at(number: int, folder: Path) -> Callable[[], None]:
    """For a life: the power fails just before this moment, and every file of `folder` keeps only what was synced.

    SQLite syncs by itself, not through Python: its files stay as they are.
    """
    synced: dict[int, int] = {}  # inode -> bytes

    def prepare() -> None:
        for path in _files(folder):  # what earlier lives left has long been on disk
            synced[path.stat().st_ino] = path.stat().st_size
        fsync = os.fsync

        def at(reached: int, name: str) -> None:
            if reached == number:
                _forget(folder, synced)
                _kill()

        def noted(descriptor: int) -> None:
            fsync(descriptor)
            status = os.fstat(descriptor)
            synced[status.st_ino] = status.st_size

        os.fsync = noted
        watch(at)

    return prepare


def _forget(folder: Path, synced: dict[int, int]) -> None:
    for path in _files(folder):
        status = path.stat()
        kept = min(status.st_size, synced.get(status.st_ino, 0))
        with open(path, "r+b") as file:
            file.truncate(kept)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("ledger.db")]


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
