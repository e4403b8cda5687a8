"""The rows of a run's metrics.jsonl."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

Row = dict[str, float]  # step (environment steps), time (seconds), and what was logged; NaN: was no finite number

ACCOUNT = ("budget/spent", "budget/transitions", "budget/labels", "train/updates")  # where money and updates stand


@dataclass(frozen=True)
class Metrics:
    """In the order in which they were written."""

    rows: tuple[Row, ...]
    num_damaged: int  # lines that are no rows, and were left out

    @classmethod
    def read(cls, path: Path) -> Self:
        """What can be read; nothing where the file is missing. A last line without an end is still being written."""
        content = path.read_bytes() if path.is_file() else b""
        lines = [line for line in content.split(b"\n")[:-1] if line.strip()]
        rows = tuple(row for line in lines if (row := _row(line)) is not None)
        return cls(rows, len(lines) - len(rows))

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Environment steps and finite values of all rows that hold the key."""
        found = [(row["step"], row[key]) for row in self.rows if holds(row, key)]
        return [step for step, _ in found], [value for _, value in found]

    def accounts(self) -> Iterator[tuple[int, Row, float]]:
        """The rows that hold an account: place, row, hours of work until then.

        A run says with each how long it worked since the one before, so that stops do not count; versions 0.1 and 0.2 did
        not, and there the clock counts.
        """
        seconds, before = 0.0, self.rows[0]["time"] if self.rows else 0.0
        for place, row in enumerate(self.rows):
            if ACCOUNT[0] not in row or not holds(row, *ACCOUNT):
                continue
            laps = [value for key, value in row.items() if key.startswith("time/") and key.endswith("_seconds")]
            seconds += sum(laps) if laps else max(0.0, row["time"] - before)
            before = row["time"]
            yield place, row, seconds / 3600


def holds(row: Row, *keys: str) -> bool:
    """Whether all of them are there and finite."""
    return all(math.isfinite(row.get(key, math.nan)) for key in keys)


def _row(line: bytes) -> Row | None:
    try:
        plain = json.loads(line, parse_int=float)
        types = set(map(type, plain.values()))
    except (ValueError, AttributeError, RecursionError):
        return None
    if not types <= {float, type(None)}:
        return None
    row = plain if types == {float} else {key: math.nan if value is None else value for key, value in plain.items()}
    return row if holds(row, "step", "time") else None
