"""Files of text: what the phases found, and what was logged."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ...phase_record import PhaseRecord, write_phases
from .. import checkpoint
from ..marks import Mark, read_mark, write_mark
from .bench import Bench, text_into

METRICS = "metrics.jsonl"


def mend_phases(bench: Bench, parts: dict[str, Any]) -> None:
    """phases.jsonl, as the newest checkpoint knows it, with what came after that and can be read."""
    path = bench.folder.phases
    try:
        known = _written([PhaseRecord.from_plain(one) for one in parts.get("progress", {}).get("history", [])])
    except (KeyError, TypeError, ValueError):  # as version 0.1 kept it, which wrote no such file
        known = []
    found = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    later = [line for line in found[len(known) :] if _is_record(line, b"phase")]
    whole = known + later if known else [line for line in found if _is_record(line, b"phase")]
    if whole != found:
        bench.replace(path, "a phase is missing or not readable", lambda new: text_into(new, b"".join(whole)))
        if len(whole) < len(found):
            bench.say(f"lost: {len(found) - len(whole)} lines of {path.name}")


def _written(history: list[PhaseRecord]) -> list[bytes]:
    if not history:
        return []
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "phases.jsonl"
        write_phases(history, path)
        return path.read_bytes().splitlines(keepends=True)


def mend_metrics(bench: Bench, parts: dict[str, Any]) -> None:
    """metrics.jsonl without the lines that cannot be read. Those after the newest checkpoint come again where the run
    is done again from there, and are left out then."""
    path, size = bench.folder.path / METRICS, parts.get("logger", {}).get("metrics_bytes", 0)
    newest = next(iter(reversed(checkpoint.list_checkpoints(bench.folder.checkpoints))), None)
    mark = read_mark(newest) or Mark() if newest else Mark()
    content = path.read_bytes() if path.exists() else b""
    lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)  # what a crash left unfinished is no damage
    bad = [line for line in lines if not _is_record(line, b"step")]
    if bad:
        kept, place = [], 0
        for line in lines:
            place += len(line)
            if line not in bad and (not mark.is_exact or not size or place <= size):
                kept.append(line)
        bench.replace(path, f"{len(bad)} lines are not readable", lambda new: text_into(new, b"".join(kept)))
        bench.say(f"lost: {len(bad)} rows of {METRICS}")
        content = b"".join(kept)
    if newest and len(content) < size and len(content) != mark.metrics_bytes:
        if not bad:
            bench.say(f"lost: the last {size - len(content):,} bytes of {METRICS}, which nothing is made from")
        write_mark(newest, Mark(mark.is_exact, len(content), mark.lost))


def _is_record(line: bytes, key: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and key.decode() in record and line.endswith(b"\n")
