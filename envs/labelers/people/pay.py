"""What people's time costs, in whole micro-coins."""

import sqlite3
import statistics

from .queue import Queue
from .schema import QueueRefused

MICRO, HOUR = 1_000_000, 3600.0
LEAST_SECONDS, MEDIANS = 60.0, 3.0  # of a lease, and the most that is paid for one question
MOST_SECONDS = 600.0  # of the same, however long the rater's answers take
RECENT = 50  # answers that a median is taken of
USUAL_SECONDS = 5.0  # that a person looks at a clip, while nobody has answered yet


def to_micro(name: str, coins: float) -> int:
    """QueueRefused (invalid) for what is no sum of coins from 0 to a million."""
    if (
        isinstance(coins, bool) or not isinstance(coins, int | float) or not 0 <= coins <= 1e6  # not of NaN
    ):
        raise QueueRefused("invalid", f"{name}: must be coins from 0 to 1,000,000, got {coins!r}")
    return round(coins * MICRO)


def price_micro(wage_micro: int, seconds: float, fee_micro: int = 0, ceiling_micro: int | None = None) -> int:
    """Wage for these seconds of active work and the fee, at most the ceiling."""
    price = round(wage_micro * seconds / HOUR) + fee_micro
    return price if ceiling_micro is None else min(price, ceiling_micro)


def price(queue: Queue, wage_micro: int, seconds: float, has_fee: bool) -> int:
    """The same by the run's own fee and ceiling."""
    prices = queue.meta("prices", {})
    return price_micro(wage_micro, seconds, prices.get("fee_micro", 0) if has_fee else 0, prices.get("ceiling_micro"))


def median_seconds(db: sqlite3.Connection, rater: int) -> float:
    """Of the rater's last answers; 0 without any.

    One that was taken back is counted in the next one's seconds, and of an imported one nobody knows how they were measured.
    """
    rows = db.execute(
        "SELECT seconds FROM answer a WHERE rater = ? AND state != 'undone' AND NOT EXISTS (SELECT 1 FROM assignment s "
        "WHERE s.question = a.question AND s.rater = a.rater AND s.purpose = 'import') ORDER BY time DESC, id DESC LIMIT ?",
        (rater, RECENT),
    )
    return statistics.median([row["seconds"] for row in rows] or [0.0])


def allowance(db: sqlite3.Connection, rater: int) -> float:
    """Seconds that a question is held for a rater, and the most of them that are paid."""
    return min(MOST_SECONDS, max(LEAST_SECONDS, MEDIANS * median_seconds(db, rater)))


def shortfall(queue: Queue, wage_micro: int) -> str:
    """A warning where labeler.ceiling cuts the pay of a usual answer at this wage; empty: it does not."""
    prices = queue.meta("prices", {})
    ceiling, fee = prices.get("ceiling_micro"), prices.get("fee_micro", 0)
    rows = queue.read("SELECT seconds FROM answer WHERE state != 'undone' ORDER BY id DESC LIMIT ?", (RECENT,))
    usual = statistics.median([row["seconds"] for row in rows] or [USUAL_SECONDS])
    if ceiling is None or not wage_micro or price_micro(wage_micro, usual, fee) <= ceiling:
        return ""
    paid = max(0, ceiling - fee) / wage_micro * HOUR
    return (
        f"warning: an answer costs {ceiling / MICRO:g} coins at most (labeler.ceiling times price.label), at this wage that pays "
        f"{paid:.1f} seconds of the {usual:.1f} that an answer usually takes: raise labeler.ceiling"
    )
