"""Links that lead out of a folder which may come from a stranger: what lies behind them is neither read nor written."""

import os
import stat
from pathlib import Path

from .errors import UserError

FOREIGN = "sinks"  # folder of a run where sinks (log.sinks) keep files of their own: nothing of ours reads it


class LinkError(UserError):
    """A folder holds a link out of it, or something that is neither a file nor a folder; the message names it."""


def refuse_links(folder: Path) -> None:
    """LinkError for the first link below `folder` that leads out of it, and for a pipe, a socket or a device.

    The folder itself may be a link: its name was given by the person. What lies in FOREIGN is not looked at: other programs
    link to their own places there, and no reader of ours goes in.
    """
    inside = os.path.realpath(folder)
    for place, folders, files in os.walk(inside):
        for name in (*folders, *files):
            _check(Path(place, name), inside)
        if place == inside and FOREIGN in folders:
            folders.remove(FOREIGN)


def _check(path: Path, inside: str) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:  # gone meanwhile: another process writes here
        return
    if stat.S_ISLNK(mode):
        target = os.path.realpath(path)
        if os.path.commonpath([inside, target]) != inside:
            raise LinkError(f"{path}: leads out of the run's folder, to {target}: nothing there is read or written")
    elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise LinkError(f"{path}: neither a file nor a folder")
