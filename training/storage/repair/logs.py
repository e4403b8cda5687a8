"""Append-only logs that are damaged: what is whole in them, before and after what is not."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....frames import NAME, Frame, FrameLog, Hole, scan
from ....worldmodel.replay.journal.npz import ChunkError, read_npz
from ..archive import damage_of_archive
from ..older import bring_over
from .bench import NEW, Bench

Row = tuple[str, dict, dict[str, Any]]  # kind, arrays and values of a frame


@dataclass
class Condition:
    """Of a log's files. An unfinished frame at the very end may be what a crash left, and is no damage by itself."""

    frames: int = 0  # whole ones
    lost: int = 0  # at least
    why: str = ""  # the first damage; empty: there is none

    def add(self, lost: int, why: str) -> None:
        self.lost += lost
        self.why = self.why or why


def condition(folder: Path, written: dict[str, int]) -> Condition:
    """What is wrong with the files of a log. written: the bytes that they had at least, by their names in the run's folder."""
    found, torn, expected = Condition(why=_short(folder, written)), "", 0
    paths = _paths(folder)
    for place, path in enumerate(paths):
        if path.name != f"{place:06d}.log":
            found.why = found.why or f"{place:06d}.log is missing"
        for item in scan(path):
            if torn:
                found.add(0, torn)
            torn = ""
            if isinstance(item, Hole):
                torn = f"{path.name}: {item.size:,} bytes from {item.start:,} on are no whole frame"
            elif item.number >= expected:
                found.frames += 1
                if item.number > expected:
                    found.add(item.number - expected, f"{path.name}: frame {expected} is missing")
                expected = item.number + 1
            else:
                found.add(0, f"{path.name}: frame {item.number} stands where frame {expected} is expected")
        if torn and place < len(paths) - 1:
            found.add(0, torn)
            torn = ""
    return found


def _short(folder: Path, written: dict[str, int]) -> str:
    """The first file that has lost its end; empty: none has."""
    for name, size in written.items():
        path = folder.parent / name
        if path.parent == folder and NAME.fullmatch(path.name) and size:
            now = path.stat().st_size if path.exists() else -1
            if now < size:
                return f"{path.name} is gone" if now < 0 else f"{path.name}: {now:,} bytes, {size:,} were written"
    return ""


def whole_frames(folder: Path) -> Iterator[Frame]:
    """All that can be read, in the order of their numbers."""
    expected = 0
    for path in _paths(folder):
        for item in scan(path):
            if isinstance(item, Frame) and item.number >= expected:
                expected = item.number + 1
                yield item


def write_new(folder: Path, rows: Iterable[Row]) -> Path:
    """A whole log of these rows beside `folder`, which waits to take its place."""
    new = folder.with_name(folder.name + NEW)
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(parents=True)
    log = FrameLog(new)
    for kind, arrays, values in rows:
        log.append(kind, arrays, **values)
    log.sync()
    log.close()
    return new


def mend_sights(bench: Bench) -> None:
    """Keep what can be read of what rows are drawn by, before and after the damage; nothing else relies on it."""
    for folder in sorted(path for path in bench.folder.sights.glob("*") if path.is_dir() and path.name.isdecimal()):
        why = condition(folder, {}).why
        if why:
            rows = ((frame.kind, frame.arrays, frame.values) for frame in whole_frames(folder))
            new = write_new(folder, rows)
            bench.replace_folder(folder, why, new)
            bench.say(f"lost: of {bench.name(folder)}: raters see numbers in place of some pictures")


def mend_older(bench: Bench) -> None:
    """Set aside what cannot be read of journals of versions 0.1 and 0.2, a file a chunk, and make today's of the rest."""
    for folder in (bench.folder.transitions, bench.folder.labels, bench.folder.vault):
        for path in sorted(folder.glob("*.npz")):
            try:
                _check(path, has_names=folder != bench.folder.vault)
            except ChunkError as error:
                bench.are_rows_changed = True
                bench.set_aside(path, str(error).removeprefix(f"{path}: "))
    if bench.lines and bring_over(bench.folder):
        bench.say("the journals of an older version were brought into today's form; the old ones stay beside them")


def _check(path: Path, has_names: bool) -> None:
    """ChunkError for a damaged file; those of rewards do not name what they hold."""
    if has_names:
        read_npz(path)
    elif why := damage_of_archive(path):
        raise ChunkError(f"{path}: {why}")


def _paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.log") if NAME.fullmatch(path.name))
