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
from ..reading.run_files import Evaluated, RunFiles
from ..reports.pictures import Coins
from .numbers import is_number

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
    made_by: dict[str, str] | None  # versions of what made the run; nothing where no card is there
    warnings: tuple[Warned, ...]
    unread: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a run's folder. UserError in one line where it is none; all else that is wrong is told on the page."""
        files, unread = RunFiles.read(path), []
        ledger = _tried(_ledger, path / "ledger.db", unread)
        account, decisions, by_rater = ledger or (None, (), {})
        raters = _tried(lambda phases: rater_rows(by_rater, measured_raters(phases)), path / "phases.jsonl", unread)
        made_by = _tried(_made_by, path / CARD, unread)
        warnings = _tried(read_warnings, path / "console.log", unread) or ()
        return cls(files, account, decisions, raters or {}, made_by, warnings, (*files.damaged, *unread))

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
    def latest(self) -> PhaseRecord | Evaluated | None:
        """What tells most of what was bought, where there is no ledger: the last phase or evaluation."""
        known = (*self.files.phases[-1:], *self.files.evaluations[-1:])
        return max(known, key=lambda one: one.spent, default=None)

    def bought(self, name: str) -> float | None:
        """All that was `spent`, in coins, or the number of `transitions` or `labels`; None where nothing tells."""
        return self.account[name] if self.account else getattr(self.latest, name, None)

    @property
    def spent_on_labels(self) -> float | None:
        """Coins; None where nothing tells."""
        if self.account:
            return sum(tier["spent"] for tier in self.account["by_tier"].values())
        tiers = getattr(self.latest, "spent_on_tiers", {})
        return sum(tiers.values()) if tiers and all(map(is_number, tiers.values())) else None


def _tried(read: Callable[[Path], Found], path: Path, unread: list[str]) -> Found | None:
    """What `read` makes of the file; None, and a line that names the file, where that cannot be."""
    try:
        return read(path)
    except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        unread.append(why if str(path) in why else f"{path}: not readable: {why}")
        return None


def _ledger(path: Path) -> tuple[dict[str, Any], tuple[dict[str, Any], ...], dict[str, dict]]:
    """Its summary, its decisions, and what each rater earned."""
    if not path.is_file():
        raise UserError(f"{path}: is missing, so nothing is told of who was paid")
    with closing(Ledger.open(path)) as ledger:
        return ledger.summary(), tuple(ledger.decisions()), ledger.by_rater()


def _made_by(path: Path) -> dict[str, str]:
    """Versions 0.1 and 0.2 wrote no card."""
    if not path.is_file():
        return {}
    card = json.loads(path.read_bytes())
    if not isinstance(card, dict) or "version" not in card:
        raise UserError(f"{path}: names no version")
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
