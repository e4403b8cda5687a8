"""The workbench of a repair: where damaged files go, and what is said of it, line by line."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ....durable import sync, sync_folder, whole_file
from ..folder import RunFolder

DAMAGED = "damaged"  # folder of a run: what repairs set aside, by their time
NEW = ".repaired"  # ending of a folder that is to replace another


@dataclass
class Bench:
    folder: RunFolder
    time: str  # names this repair's folder
    lines: list[str] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)  # log -> bytes, as the newest checkpoint knows it
    are_rows_changed: bool = False  # of the journals or the ledger: no checkpoint can be gone on from exactly

    @property
    def aside(self) -> Path:
        return self.folder.path / DAMAGED / self.time

    def say(self, line: str) -> None:
        self.lines.append(line)

    def name(self, path: Path) -> str:
        """As a person knows it: within the run's folder."""
        return str(path.relative_to(self.folder.path))

    def set_aside(self, path: Path, why: str) -> None:
        """Move a file or a folder out of the way, and say so. Nothing is ever deleted."""
        self._moved(path, os.replace)
        self.say(f"set aside: {self.name(path)}: {why}")

    def replace(self, path: Path, why: str, write: Callable[[Path], None]) -> None:
        """Put what `write` makes in place of a damaged file, of which a copy is set aside. A crash leaves either."""
        if path.exists():
            self._moved(path, _link)
            self.say(f"set aside: {self.name(path)}: {why}")
        else:
            self.say(f"written anew: {self.name(path)}: {why}")
        path.parent.mkdir(exist_ok=True)
        write(path)

    def replace_folder(self, path: Path, why: str, new: Path) -> None:
        """Put the finished folder `new` in place of a damaged one; see `finish_folders`."""
        if path.exists():
            self._moved(path, os.replace)
            self.say(f"set aside: {self.name(path)}/: {why}")
        else:
            self.say(f"written anew: {self.name(path)}/: {why}")
        os.replace(new, path)
        sync_folder(path.parent)

    def finish_folders(self) -> None:
        """What a repair that was cut off in `replace_folder` left: the new folder is whole where the old one is gone."""
        stock = [self.folder.stock / name for name in ("transitions", "rewards", "labels")]
        for path in (self.folder.transitions, self.folder.labels, self.folder.vault, *stock):
            new = path.with_name(path.name + NEW)
            if new.exists() and path.exists():
                shutil.rmtree(new)
            elif new.exists():
                os.replace(new, path)

    def write_report(self) -> None:
        """Keep what was said beside what was set aside."""
        if self.lines:
            self.aside.mkdir(parents=True, exist_ok=True)
            with whole_file(self.aside / "report.txt", "w") as file:
                file.write("\n".join(self.lines) + "\n")

    def _moved(self, path: Path, move: Callable[[Path, Path], None]) -> None:
        kept = self.aside / path.relative_to(self.folder.path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while kept.exists():  # a folder of which a file went aside before
            number += 1
            kept = kept.with_name(f"{path.name}-{number}")
        move(path, kept)
        sync_folder(kept.parent)
        sync_folder(path.parent)


def text_into(path: Path, text: str | bytes) -> None:
    """A whole file of text."""
    with whole_file(path, "w" if isinstance(text, str) else "wb") as file:
        file.write(text)


def _link(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        shutil.copyfile(path, kept)
        with open(kept, "rb+") as file:
            sync(file)
