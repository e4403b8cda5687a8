"""What `tandem ledger --raters` prints: who answered, what it cost, and how well, where a run has measured that."""

import json
from pathlib import Path

from ...errors import Damaged
from ..money import MICRO
from ..offers import clean_per_coin

_HOUR = 3600.0  # seconds
_COLUMNS = (
    ("labels", "labels", ",d"),
    ("spent", "coins", ",.6g"),
    ("seconds", "seconds", ",.6g"),
    ("seconds_a_label", "s a label", ".3g"),
    ("coins_an_hour", "coins an hour", ".4g"),
    ("work_spent", "other work", ",.4g"),
    ("work_seconds", "seconds of it", ",.6g"),
    ("sigma", "sigma", ".3g"),
    ("bias", "bias", ".3g"),
    ("clean_per_coin", "clean a coin", ".3g"),
)


def rater_rows(by_rater: dict[str, dict], known: dict[str, dict]) -> dict[str, dict]:
    """Name -> what `tandem ledger --raters --json` says; None where it is not known.

    Args:
        by_rater: of `Ledger.by_rater()`.
        known: of `measured_raters`, by the same names.
    """
    return {name: _row(earned, known.get(name, {})) for name, earned in by_rater.items()}


def _row(earned: dict, known: dict) -> dict:
    coins, seconds = (earned["spent"] + earned["work_spent"]) / MICRO, earned["seconds"] + earned["work_seconds"]
    return {
        "labels": earned["labels"],
        "spent": earned["spent"] / MICRO,
        "seconds": earned["seconds"],
        "seconds_a_label": earned["seconds"] / earned["labels"] if earned["labels"] else None,
        "coins_an_hour": coins * _HOUR / seconds if seconds else None,  # of all time that was paid
        "work_spent": earned["work_spent"] / MICRO,
        "work_seconds": earned["work_seconds"],
        "sigma": known.get("sigma"),
        "bias": known.get("bias"),
        "clean_per_coin": clean_per_coin(known.get("clean"), earned["labels"], earned["spent"]),
    }


def measured_raters(phases: Path) -> dict[str, dict]:
    """Name -> {"sigma", "bias" (reward units), "clean" (perfect labels that one of theirs is worth, see `raters.told`)} of the newest phase that
    has measured any; nothing where none has. phases: phases.jsonl of a run. Damaged where that is no JSON."""
    lines = phases.read_text().splitlines() if phases.is_file() else []
    for number, line in reversed(list(enumerate(lines, 1))):
        try:
            known = json.loads(line).get("raters")
        except (ValueError, AttributeError) as error:
            raise Damaged(f"{phases}: line {number} is damaged") from error
        if known:
            return known
    return {}


def rater_lines(rows: dict[str, dict]) -> list[str]:
    """For a person to read: a row a rater, only with the columns that somebody has something in."""
    if not rows:
        return ["nobody is named in this ledger: its labels came from programs or simulated raters"]
    columns = [one for one in _COLUMNS if any(row[one[0]] for row in rows.values())]
    width = max(len("rater"), *(len(_name(name)) for name in rows))
    lines = [f"{'rater':<{width}}" + "".join(f"{head:>{len(head) + 3}}" for _, head, _ in columns)]
    for name, row in rows.items():
        cells = (f"{_cell(row[key], form):>{len(head) + 3}}" for key, head, form in columns)
        lines.append(f"{_name(name):<{width}}" + "".join(cells))
    return lines


def _name(rater: str) -> str:
    return rater or "(no name)"


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
