"""Disks that take nothing more: full ones, read-only ones, and a run that another process holds."""

import errno
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tandem.training.storage.folder import RunFolder

from .comparison import differing
from .lives import REFUSED, End, live, live_on

SYNCS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)  # the fsync from which on the disk is full
SIZES = (2_000, 20_000, 100_000, 400_000)  # bytes that a file may have
NOBODY = 65534  # root may write everywhere


def disks(folder: Path, say: Callable[[str], None] = print) -> dict:
    """-> how often each was tried, ended as a refusal in one line, and went on to be what it would have been."""
    whole = folder / "whole"
    live_on(whole)
    begun = folder / "begun"
    shutil.rmtree(begun, ignore_errors=True)
    live(begun, prepare=lambda: _fail_at_sync(20))
    full = [(f"full from fsync {number} on", lambda number=number: _fail_at_sync(number)) for number in SYNCS]
    small = [(f"files of {size:,} bytes at most", lambda size=size: _limit_size(size)) for size in SIZES]
    found = {
        "full disk": _tried(folder, full + small, whole, None),
        "read-only folder": _tried(folder, [("read-only", lambda: _become_nobody())], whole, begun),
    }
    lock = RunFolder(begun).hold()
    end = live(begun)
    lock.close()
    held = _is_one_line(end) and "another process is training the run" in end.said
    found["lock held"] = {
        "tries": 1,
        "refused": int(held),
        "equal": int(_goes_on(begun, whole) == []),
        "faults": [] if held else [end.said],
    }
    for name, counts in found.items():
        say(f"{name}: {counts}")
    return found


def _tried(folder: Path, tries: list[tuple[str, Callable[[], None]]], whole: Path, begun: Path | None) -> dict:
    """Each in a run of its own: a new one, or a copy of one that was begun."""
    counts = {"tries": 0, "refused": 0, "equal": 0, "faults": []}
    path = folder / "disk"
    for name, prepare in tries:
        _remove(path)
        if begun:
            shutil.copytree(begun, path)
            folder.chmod(0o755)
            for one in (path, *(child for child in path.rglob("*") if child.is_dir())):
                one.chmod(0o555)
        end = live(path, prepare=prepare)
        counts["tries"] += 1
        if end.status == 0 and not begun:
            continue
        counts["refused"] += _is_one_line(end)
        if not _is_one_line(end):
            counts["faults"].append(f"{name}: ended with {end.status}: {end.said[-400:]}")
        for one in (path, *path.rglob("*")) if begun else ():
            one.chmod(0o755)
        different = _goes_on(path, whole)
        counts["equal"] += not different
        counts["faults"] += [f"{name}: {one}" for one in different[:3]]
    return counts


def _remove(path: Path) -> None:
    for one in (path, *path.rglob("*")):
        if one.is_dir():
            one.chmod(0o755)
    shutil.rmtree(path, ignore_errors=True)


def _is_one_line(end: End) -> bool:
    return (
        end.status == REFUSED
        and "Traceback" not in end.said
        and end.said.strip().splitlines()[-1].startswith("error: ")
    )


def _goes_on(path: Path, whole: Path) -> list[str]:
    """What differs once there is room again."""
    end = live(path)
    return differing(whole, path) if end.status == 0 else [f"went on and ended with {end.status}: {end.said[-400:]}"]


def _fail_at_sync(number: int) -> None:
    """From the fsync of this number on, the disk is full."""
    count, fsync = 0, os.fsync

    def failing(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    os.fsync = failing


def _limit_size(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _become_nobody() -> None:
    if os.getuid() == 0:
        os.setuid(NOBODY)
