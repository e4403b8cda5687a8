"""Whether every file that a run goes on from is what was written: for `tandem ledger RUN --verify`, also on a live run."""

import hashlib
from pathlib import Path
from typing import Any

from ...frames import DamagedLog, FrameLog
from . import checkpoint
from .checkpoint import DamagedCheckpoint
from .folder import RunFolder
from .marks import read_mark

LOGS = ("transitions/", "labels/", "vault/")  # only ever appended to; snapshots have their time


def verify_files(folder: RunFolder) -> list[str]:
    """Lines that say what was checked. DamagedLog or DamagedCheckpoint for the first file that is not what it was."""
    stock = [path for path in sorted(folder.stock.glob("*")) if path.is_dir()]
    lines = [_log(path) for path in (folder.transitions, folder.labels, folder.vault, *stock)]
    manifests = [(path, checkpoint.read_manifest(path)) for path in checkpoint.list_checkpoints(folder.checkpoints)]
    for path, manifest in manifests:
        for name, expected in manifest["files"].items():
            checkpoint.check_file(path / name, expected)
    lines += _sights(folder.sights)
    lines.append(f"checkpoints: {len(manifests)}, the hash of every file as it was written")
    if manifests:
        lines.append(_covered(folder.path, *manifests[-1]))
    return lines


def _log(folder: Path) -> str:
    log = FrameLog(folder)
    number = sum(1 for _ in log.read())
    name = folder.name if folder.parent.name != "stock" else f"stock/{folder.name}"
    return f"{name}: {number:,} frames in {len(log.segments)} files, every checksum right"


def _sights(folder: Path) -> list[str]:
    """Damage is a line: a run goes on without."""
    lines, number, logs = [], 0, [FrameLog(path) for path in sorted(folder.glob("*")) if path.name.isdecimal()]
    for log in logs:
        try:
            number += sum(1 for _ in log.read())
        except DamagedLog as error:
            lines.append(f"warning: {error}: some pictures are lost, and nothing else")
    return [*lines, *([f"sights: {number:,} whole frames in {len(logs)} logs"] if logs else [])]


def _covered(run: Path, path: Path, manifest: dict[str, Any]) -> str:
    """The files beside a checkpoint, as far as they went when it was made."""
    if read_mark(path) is not None:
        return "journals and snapshots: repaired since the newest checkpoint was made"
    covers = manifest.get("covers", {})
    known = {f"{one.parent.name}/{one.name}": one for room in RunFolder(run).covered for one in room.iterdir()}
    for name, expected in covers.items():  # names are looked up and never followed: they stand in a file
        if name in known and not begins_as(known[name], expected):
            size = f"{expected['size']:,}"
            raise DamagedCheckpoint(f"{known[name]}: its first {size} bytes are not what was written (sha256 differs)")
        if name not in known and name.startswith(LOGS):
            raise DamagedCheckpoint(f"{path / checkpoint.MANIFEST}: {name} is missing")
    return f"journals and snapshots: as the newest checkpoint knew them, {len(covers)} files"


def begins_as(path: Path, expected: dict[str, Any]) -> bool:
    """Whether a file that was only appended to since {"size", "sha256"} were taken of it still begins with that."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(expected["size"])).hexdigest() == expected["sha256"]
