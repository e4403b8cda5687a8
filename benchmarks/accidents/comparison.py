"""Whether two runs are the same run: parameters, moments, latents, cursors, random states, rows, money, decisions, metrics."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import torch

from tandem.budget.ledger import Ledger
from tandem.training.storage import checkpoint
from tandem.worldmodel.replay.journal.transitions import TransitionJournal


def differing(one: Path, other: Path) -> list[str]:
    """Names of what differs between the newest checkpoints, the ledgers, the journals and the metrics of two runs."""
    return [
        *_of_states(*(checkpoint.load(run / "checkpoints").parts for run in (one, other)), "checkpoint"),
        *(["ledger"] if _ledger(one) != _ledger(other) else []),
        *(["decisions"] if _decisions(one) != _decisions(other) else []),
        *_of_states(*(_rows(run) for run in (one, other)), "transitions"),
        *(["metrics"] if _metrics(one) != _metrics(other) else []),
    ]


def _of_states(one, other, where: str) -> list[str]:
    if type(one) is not type(other):
        return [f"{where}: {type(one).__name__} and {type(other).__name__}"]
    if isinstance(one, torch.Tensor):
        same = (
            one.shape == other.shape and one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())
        )
        return [] if same else [where]
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{where}: {sorted(one.keys() ^ other.keys())}"]
        return [found for key in one for found in _of_states(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)} long"]
        pairs = zip(one, other, strict=True)
        return [found for i, pair in enumerate(pairs) for found in _of_states(*pair, f"{where}[{i}]")]
    return [] if one == other or where.endswith(".metrics_bytes") else [f"{where}: {one!r} and {other!r}"]


def _ledger(run: Path) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{run / 'ledger.db'}?mode=ro", uri=True)) as db:
        columns = "event, key, kind, units, price_micro, tier, total, spent, reserved, transitions, labels"
        return db.execute(f"SELECT {columns} FROM events ORDER BY id").fetchall()


def _decisions(run: Path) -> list:
    ledger = Ledger.open(run / "ledger.db")
    try:
        return [{key: value for key, value in row.items() if key != "time"} for row in ledger.decisions()]
    finally:
        ledger.close()


def _rows(run: Path) -> dict:
    journal = TransitionJournal(run / "transitions")
    blocks = list(journal.read())
    if not blocks:  # nothing was collected
        return {}
    names = ("step", "is_first", "is_last", "is_heldout", "action", "deter")
    rows = {name: torch.cat([torch.tensor(getattr(block, name)) for block in blocks]) for name in names}
    return rows | {f"obs/{k}": torch.cat([torch.tensor(block.obs[k]) for block in blocks]) for k in blocks[0].obs}


def _metrics(run: Path) -> list[dict]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("time")} for row in rows]
