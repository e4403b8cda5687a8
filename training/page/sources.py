"""All that a page is made from: what lies in a run's folder, and what of it cannot be read."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from ...budget.ledger import Ledger
from ...budget.reports.people import measured_raters, rater_rows
from ...errors import UserError
from ..phase_record import PhaseRecord
from ..reading.run_files import RunFiles
from ..reports.pictures import Coins

CARD = "run.json"  # as in storage.card, which brings torch
MADE_BY = ("version", "torch", "python", "platform")
MOST_BYTES = 20_000_000  # of console.log, its end
WARNING = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) warning: (.*)")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Warned:
    """What a run warned of, and when; the same words count once."""

    words: str
    first: float  # seconds since the epoch
    last: float
    number: int


@dataclass(frozen=True)
class Sources:
    """None or nothing where there is none, or where it cannot be read: then a line of `unread` says why."""

    files: RunFiles
    account: dict[str, Any] | None  # the ledger's summary
    decisions: tuple[dict[str, Any], ...]  # the ledger's, a plan each
    raters: dict[str, dict[str, Any]]  # who answered: a row each, as `tandem ledger --raters --json` gives it
    made_by: dict[str, str]  # versions of what made the run
    warnings: tuple[Warned, ...]
    unread: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a run's folder. UserError in one line where it is none; all else that is wrong is told on the page."""
        files, unread = RunFiles.read(path), []
        ledger = _tried(lambda: _ledger(path), unread)
        account, decisions, by_rater = ledger or (None, (), {})
        raters = _tried(lambda: rater_rows(by_rater, measured_raters(path / "phases.jsonl")), unread) or {}
        made_by = _tried(lambda: _made_by(path), unread) or {}
        warnings = _tried(lambda: read_warnings(path / "console.log"), unread) or ()
        return cls(files, account, decisions, raters, made_by, warnings, (*files.damaged, *unread))

    @property
    def history(self) -> list[PhaseRecord]:
        return list(self.files.phases)

    @property
    def coins(self) -> Coins:
        prices, tiers = self.files.prices, self.files.setting("labeler.tiers", {})
        return Coins(self.total, prices["transition"], prices["label"], bool(tiers))

    @property
    def total(self) -> float:
        """Coins that there are to spend."""
        return self.account["total"] if self.account else self.files.setting("budget.total", 0.0)

    @property
    def spent(self) -> float:
        if self.account:
            return self.account["spent"]
        return self.files.phases[-1].spent if self.files.phases else 0.0


def _tried(read: Callable[[], Found], unread: list[str]) -> Found | None:
    try:
        return read()
    except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        unread.append(" ".join(str(error).split()) or type(error).__name__)
        return None


def _ledger(path: Path) -> tuple[dict[str, Any], tuple[dict[str, Any], ...], dict[str, dict]]:
    """Its summary, its decisions, and what each rater earned."""
    if not (path / "ledger.db").is_file():
        raise UserError(f"{path / 'ledger.db'}: is missing, so nothing is told of who was paid")
    with closing(Ledger.open(path / "ledger.db")) as ledger:
        return ledger.summary(), tuple(ledger.decisions()), ledger.by_rater()


def _made_by(path: Path) -> dict[str, str]:
    """Versions of 0.1 and 0.2 wrote no card."""
    if not (path / CARD).is_file():
        return {}
    card = json.loads((path / CARD).read_bytes())
    return {name: str(card[name]) for name in MADE_BY if name in card}


def read_warnings(console: Path) -> tuple[Warned, ...]:
    """In the order in which they came first."""
    if not console.is_file():
        return ()
    with open(console, "rb") as file:
        file.seek(max(0, console.stat().st_size - MOST_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    found: dict[str, Warned] = {}
    for stamp, words in (match.groups() for line in lines if (match := WARNING.fullmatch(line))):
        seconds = _seconds(stamp)
        before = found.get(words)
        found[words] = Warned(words, before.first if before else seconds, seconds, before.number + 1 if before else 1)
    return tuple(found.values())


def _seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:  # the 99th of a month
        return float("nan")
