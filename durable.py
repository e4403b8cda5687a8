"""Files that are there whole or not at all, also after a power cut."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path, mode: str = "wb") -> Iterator[IO]:
    """A file to write, which takes the name `path` once all of it is on disk; an error leaves nothing under that name.

    What stood there before is replaced. Raises OSError (a full disk, say).
    """
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        with open(unfinished, mode) as file:
            yield file
            sync(file)
        publish(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def publish(unfinished: Path, path: Path) -> None:
    """Give a finished file its name."""
    os.replace(unfinished, path)
    sync_folder(path.parent)


def sync(file: IO) -> None:
    """All that was written is on disk when this returns."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """A rename or a deletion is only durable once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
