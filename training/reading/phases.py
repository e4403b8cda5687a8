"""The finished phases of a run: from phases.jsonl or, of a run that has none, from the rows of its metrics."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...budget.money import MICRO
from ...budget.plan import Plan
from ..phase_record import PhaseRecord
from .metrics import ACCOUNT, Metrics, Row, holds

MEASURED = {"eval/return", "gap/explained_variance", "dynamics/heldout_loss/cont"}  # what only a phase's end logs
PLAN = ("plan/transitions", "plan/labels")
NOT_A_RECORD = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def read_phases(path: Path) -> tuple[tuple[PhaseRecord, ...], int]:
    """The records that can be read, and how many lines are none. A null where a number was measured reads as NaN."""
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    records = tuple(record for line in lines if (record := _record(line)) is not None)
    return records, len(lines) - len(records)


def _record(line: bytes) -> PhaseRecord | None:
    try:
        plain = json.loads(line)
        measured = plain["measured"] and _numbers(plain["measured"])
        record = PhaseRecord.from_plain(plain | {"measured": measured, "gaps": _numbers(plain.get("gaps", {}))})
    except NOT_A_RECORD:
        return None
    counted = (record.phase, record.step, record.spent, record.transitions, record.labels)
    return record if all(type(one) in (int, float) for one in counted) else None


def _numbers(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _numbers(inner) for key, inner in plain.items()}
    if isinstance(plain, list):
        return [_numbers(inner) for inner in plain]
    return float("nan") if plain is None else plain


def rebuilt_phases(metrics: Metrics, prices: dict[str, float], first_phase: int) -> tuple[PhaseRecord, ...]:
    """Of a run that kept no records: what each phase planned to buy, and what had been bought and paid at its end.

    Nothing is known of errors, offers and raters. A phase begins where its plan is logged; it is finished where its end
    was looked at and the money counted after that.
    """
    starts = [place for place, row in enumerate(metrics.rows) if holds(row, *PLAN)]
    parts = [metrics.rows[start:end] for start, end in pairwise([*starts, len(metrics.rows)])]
    records = [_rebuilt(phase, part, prices) for phase, part in enumerate(parts, first_phase)]
    return tuple(record for record in records if record is not None)


def _rebuilt(phase: int, rows: tuple[Row, ...], prices: dict[str, float]) -> PhaseRecord | None:
    ends = [place for place, row in enumerate(rows) if not MEASURED.isdisjoint(row)]
    account = next((row for row in rows[ends[-1] :] if holds(row, *ACCOUNT)), None) if ends else None
    if account is None:
        return None
    return PhaseRecord(
        phase=phase,
        step=int(account["step"]),
        spent=account["budget/spent"],
        transitions=int(account["budget/transitions"]),
        labels=int(account["budget/labels"]),
        spent_on_tiers={},
        plan=_plan(phase, rows[0], prices),
        clean_labels=account["budget/labels"],
    )


def _plan(phase: int, row: Row, prices: dict[str, float]) -> Plan:
    transitions, labels = (int(row[key]) for key in PLAN)
    on_labels = labels * prices["label"]
    coins = transitions * prices["transition"] + on_labels
    return Plan(phase, transitions, labels, round(coins * MICRO), on_labels / coins if coins else 0.0)
