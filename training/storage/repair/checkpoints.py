"""Checkpoints, snapshots and dumps: those that are damaged go aside, those that the journals no longer fit are marked."""

from contextlib import closing
from pathlib import Path
from typing import Any

from ....budget.ledger import Ledger
from .. import checkpoint
from ..archive import damage_of_archive
from ..checkpoint import CheckpointError
from ..marks import Mark, mark_repaired, read_mark, write_mark
from ..verify import LOGS, begins_as
from .bench import Bench

COUNTED = LOGS[:2]  # what is done again is read from these


def set_checkpoints_aside(bench: Bench) -> None:
    """Every one that has a file that is not what was written."""
    for path in checkpoint.list_checkpoints(bench.folder.checkpoints):
        try:
            for name, expected in checkpoint.read_manifest(path)["files"].items():
                checkpoint.check_file(path / name, expected)
        except CheckpointError as error:
            bench.set_aside(path, str(error).removeprefix(f"{bench.folder.path}/"))
            if not checkpoint.list_checkpoints(bench.folder.checkpoints):
                bench.say("lost: what was learned: no checkpoint is whole, the run learns again from what was bought")

    newest = next(reversed(checkpoint.list_checkpoints(bench.folder.checkpoints)), None)
    if newest is not None and read_mark(newest) is None:
        covers = checkpoint.read_manifest(newest).get("covers", {})
        bench.written = {name: one["size"] for name, one in covers.items() if name.startswith(LOGS)}


def set_archives_aside(bench: Bench) -> None:
    """Snapshots and dumps, which torch writes with a checksum for each part."""
    for path in sorted([*bench.folder.snapshots.glob("*.pt"), *bench.folder.path.glob("dumps/*.pt")]):
        why = damage_of_archive(path)
        if why:
            bench.set_aside(path, why)
            bench.say(f"lost: {bench.name(path)}: {_meaning(path)}")


def _meaning(path: Path) -> str:
    if path.parent.name == "dumps":
        return "that update cannot be done again"
    return "the curve of the dynamics error goes without that phase"


def mark_checkpoints(bench: Bench, snapshots: int, parts: dict[str, Any]) -> None:
    """Mark those that rely on what is no longer there. snapshots: how many are kept; parts: of the newest checkpoint."""
    if "positions" in parts and not _reaches(bench.folder.ledger, parts["positions"]["ledger"]):
        bench.are_rows_changed = True
    for path in checkpoint.list_checkpoints(bench.folder.checkpoints):
        before = read_mark(path)
        now = _mark(bench, checkpoint.read_manifest(path), before or Mark(), snapshots)
        if now != (before or Mark()) or (now.is_exact and before is None and _has_other_logs(bench, path)):
            write_mark(path, now)
    if bench.are_rows_changed:
        mark_repaired(bench.folder.checkpoints)


def _mark(bench: Bench, manifest: dict[str, Any], before: Mark, snapshots: int) -> Mark:
    changed = _changed(bench, manifest)
    missing = tuple(name for name in changed if name.startswith("snapshots/") and _is_wanted(name, manifest, snapshots))
    for name in missing:
        gone = bench.folder.path / name
        if name not in before.lost and not any(name in line for line in bench.lines):
            bench.say(f"lost: {name}: {_meaning(gone)}")
    is_exact = before.is_exact and not bench.are_rows_changed and not any(name.startswith(COUNTED) for name in changed)
    return Mark(is_exact, before.metrics_bytes, missing)


def _has_other_logs(bench: Bench, path: Path) -> bool:
    """Whether a log is not what the checkpoint knows of it, which `--verify` would find."""
    return any(name.startswith(LOGS) for name in _changed(bench, checkpoint.read_manifest(path)))


def _changed(bench: Bench, manifest: dict[str, Any]) -> list[str]:
    return [name for name, expected in manifest.get("covers", {}).items() if _is_changed(bench, name, expected)]


def _is_changed(bench: Bench, name: str, expected: dict[str, Any]) -> bool:
    """Whether a file is no longer what a checkpoint knows of it. Names stand in a file: only our own are looked up."""
    rooms = {f"{room.name}/": room for room in (bench.folder.transitions, bench.folder.labels, bench.folder.vault)}
    rooms["snapshots/"] = bench.folder.snapshots
    room, _, file = name.partition("/")
    if f"{room}/" not in rooms or "/" in file:
        return False
    path = rooms[f"{room}/"] / file
    if f"{room}/" == "snapshots/":
        return not path.exists()
    try:
        return not begins_as(path, expected)
    except OSError:
        return bool(expected["size"])


def _is_wanted(name: str, manifest: dict[str, Any], most: int) -> bool:
    """Whether a snapshot would still be there: only the newest are kept."""
    numbers = [_number(one) for one in manifest["covers"] if one.startswith("snapshots/")]
    return _number(name) > max(numbers) - most


def _number(name: str) -> int:
    digits = name.rpartition("-")[2].removesuffix(".pt")
    return int(digits) if digits.isdecimal() else -1


def newest_parts(bench: Bench) -> dict[str, Any]:
    """Of the newest checkpoint, which is whole; empty where there is none."""
    try:
        return checkpoint.load(bench.folder.checkpoints).parts
    except CheckpointError:
        return {}


def _reaches(ledger_path: Path, position: dict[str, int]) -> bool:
    """Whether a ledger has at least so many rows."""
    with closing(Ledger.open(ledger_path)) as ledger:
        now = ledger.position
    return now.events >= position["events"] and now.decisions >= position["decisions"]
