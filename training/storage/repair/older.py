"""Journals of versions 0.1 and 0.2, a file a chunk: what cannot be read goes aside, the rest is brought into today's logs."""

from pathlib import Path

from ....worldmodel.replay.journal.npz import ChunkError, read_npz
from ..archive import damage_of_archive
from ..older import bring_over
from .bench import Bench


def mend_older(bench: Bench) -> None:
    """Nothing where the journals are today's."""
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
