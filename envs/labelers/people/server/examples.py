"""Clips that stand for the ends of the scale: what at least two raters have given nearly the same, low or high."""

from dataclasses import dataclass

from ..queue import Queue

NEAR = 0.25  # of the scale: from its end, and between those who agree
ENDS = {"worst": "ASC", "best": "DESC"}


@dataclass(frozen=True)
class Example:
    question: int  # whose film shows it
    score: float  # from 0 to 1, the mean of what was given
    raters: int  # who gave it


class Examples:
    """Of clips that are scored. Never one that is still open, or that the owner has marked: raters answer those."""

    def __init__(self, queue: Queue):
        self.queue = queue

    def at_ends(self) -> dict[str, Example]:
        """worst and best, as far as there are any. A clip that was asked about more than once counts as one."""
        found: dict[str, Example] = {}
        for end, order in ENDS.items():
            rows = self.queue.read(
                f"""SELECT * FROM (
                    SELECT MAX(f.question) AS shown, AVG(a.verdict) AS score, COUNT(DISTINCT a.rater) AS raters,
                        MAX(a.verdict + 0.0) - MIN(a.verdict + 0.0) AS spread
                    FROM answer a JOIN question q ON q.id = a.question JOIN rater r ON r.id = a.rater
                    LEFT JOIN film f ON f.question = q.id AND f.side = 0
                    WHERE q.kind IN ('clip', 'step') AND a.state IN ('counted', 'duplicate') AND NOT r.is_retracted
                        AND q.clips NOT IN (
                            SELECT clips FROM question WHERE state IN ('queued', 'answered') OR mark IS NOT NULL)
                    GROUP BY q.clips)
                WHERE shown IS NOT NULL AND raters > 1 AND spread <= :near
                    AND CASE :end WHEN 'worst' THEN score <= :near ELSE score >= 1 - :near END
                ORDER BY score {order}, shown LIMIT 1""",
                {"near": NEAR, "end": end},
            )
            for row in rows:
                found[end] = Example(row["shown"], row["score"], row["raters"])
        return found
