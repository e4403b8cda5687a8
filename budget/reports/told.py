"""What `tandem ledger` answers, for machines and for people."""

from pathlib import Path

from ..ledger import Ledger
from .accounts import account_lines
from .decisions import decision_lines
from .people import measured_raters, rater_lines, rater_rows


def told(ledger: Ledger, run: Path, is_of_decisions: bool, is_of_raters: bool) -> tuple[dict | list, list[str]]:
    """Plain values for JSON, and lines: the accounts, unless the decisions or the raters are asked about."""
    if is_of_raters:
        rows = rater_rows(ledger.by_rater(), measured_raters(run / "phases.jsonl"))
        return rows, rater_lines(rows)
    if is_of_decisions:
        decisions = ledger.decisions()
        return decisions, decision_lines(decisions)
    summary = ledger.summary()
    return summary, account_lines(summary)
