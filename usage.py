"""Command lines: one that cannot be run is told in one line, a file that is to be written looked at before."""

import argparse
import os
from pathlib import Path

from .errors import UserError

TRUST = "run the code of others that the run's folder names as module:Class"  # what --trust does


class UsageError(UserError):
    """A command line that cannot be run; the message is one line."""


class Parser(argparse.ArgumentParser):
    """argparse whose complaint is one line, without the usage before it."""

    def error(self, message: str):
        raise UsageError(f"{message} (see {self.prog} --help)")


def count(text: str) -> int:
    """A whole number above 0, as the type of an argument."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return int(text)


def place_of(option: str, path: Path) -> Path:
    """Where to write the file that a person named by an option: `path`, or what a link there leads to.

    UsageError where a folder, a pipe or a device stands: a file that takes its name would replace it.
    """
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.is_dir():
        raise UsageError(f"{option} {path}: is a folder, expected a file")
    if (path.exists() or os.path.lexists(place)) and not path.is_file():
        raise UsageError(f"{option} {path}: is no ordinary file, and is not replaced")
    return place


def file_to_write(option: str, path: Path) -> Path:
    """`place_of`, where a file can be written. UsageError, before anything takes time, where that cannot be."""
    place = place_of(option, path)
    folder = place.parent
    if not folder.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{option} {path}: nothing can be written in {folder}")
    return place
