"""What a repair leaves beside checkpoints: which of them the journals no longer fit, and what is known to be gone.

checkpoints/repaired.json           {}: the journals were repaired, a run without a checkpoint takes them in as they are
checkpoints/<step>/repaired.json    {"is_exact", "metrics_bytes", "lost"}
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ...durable import whole_file

NAME = "repaired.json"


@dataclass(frozen=True)
class Mark:
    """Of one checkpoint, made by a repair."""

    is_exact: bool = True  # whether what came after the checkpoint can be done again as it was
    metrics_bytes: int = -1  # of metrics.jsonl, which is shorter than the checkpoint says; -1: it is not
    lost: tuple[str, ...] = ()  # files that the checkpoint relies on and that are gone


def read_mark(checkpoint: Path) -> Mark | None:
    """The mark in a checkpoint's folder, None where no repair left one. A damaged one trusts nothing."""
    path = checkpoint / NAME
    if not path.exists():
        return None
    try:
        plain = json.loads(path.read_bytes())
        return Mark(bool(plain["is_exact"]), int(plain["metrics_bytes"]), tuple(plain["lost"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Mark(is_exact=False)


def write_mark(checkpoint: Path, mark: Mark) -> None:
    with whole_file(checkpoint / NAME, "w") as file:
        json.dump(asdict(mark), file)


def is_repaired(checkpoints: Path) -> bool:
    """Whether the journals of a run were ever repaired."""
    return (checkpoints / NAME).exists()


def mark_repaired(checkpoints: Path) -> None:
    checkpoints.mkdir(exist_ok=True)
    with whole_file(checkpoints / NAME, "w") as file:
        file.write("{}\n")
