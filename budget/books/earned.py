"""Who earned the money of a row: a rater's name and seconds, as compact JSON in the row's note."""

import json
import math
from dataclasses import dataclass, replace
from operator import index

from ..money import Paid, Purchase
from .rows import Booking, Refused


@dataclass(frozen=True, slots=True)
class Note:
    """What a settled label or piece of work says of the person who did it."""

    rater: str
    seconds: float  # of active work
    reason: str = ""  # of work: why it brought no label

    def __post_init__(self):
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise Refused(f"seconds must be finite and from 0 on, got {self.seconds!r} of {self.rater!r}")

    def text(self) -> str:
        """JSON without a letter beyond ASCII, so that any name can be written."""
        known = {"rater": self.rater, "seconds": float(self.seconds), "reason": self.reason}
        return json.dumps({name: value for name, value in known.items() if value != ""}, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "Note":
        """Raises Refused for what `text` does not write."""
        try:
            found = json.loads(text)
            rater, seconds = found.get("rater", ""), found["seconds"]
            reason = found.get("reason", "")
        except (ValueError, KeyError, AttributeError) as error:
            raise Refused(f"a note that names no seconds: {text!r}") from error
        if not (isinstance(rater, str) and type(seconds) is float and isinstance(reason, str)):
            raise Refused(f"a note that names no rater and seconds: {text!r}")
        return cls(rater, seconds, reason)


def settlement(reserved: Purchase, units: int, terms: Paid | None) -> Booking:
    """The booking that pays for `units` of a reserved purchase, on its own terms where there are none."""
    if terms is None:
        return Booking("settle", replace(reserved, units=index(units)))
    price = reserved.price_micro if terms.price_micro is None else index(terms.price_micro)
    note = Note(terms.rater, terms.seconds).text() if terms.rater or terms.seconds else None
    return Booking("settle", replace(reserved, units=index(units), price_micro=price), note=note)


@dataclass(frozen=True, slots=True)
class Earned:
    """All that one rater did and was paid for. A label that was lost later was given all the same."""

    labels: int = 0
    spent: int = 0  # micro-coins, for those
    seconds: float = 0.0
    work_spent: int = 0  # micro-coins for time that brought no label
    work_seconds: float = 0.0

    def plus(self, units: int, micro: int, seconds: float, is_work: bool) -> "Earned":
        """With one more settled purchase of `units`, which cost `micro` in all."""
        if is_work:
            return Earned(self.labels, self.spent, self.seconds, self.work_spent + micro, self.work_seconds + seconds)
        return Earned(
            self.labels + units, self.spent + micro, self.seconds + seconds, self.work_spent, self.work_seconds
        )
