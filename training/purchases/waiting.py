"""Waiting for those who answer: how many questions may be open, for how long, and what is said meanwhile."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

POLL_SECONDS = 0.25  # between two looks for answers
TOLD_EVERY_SECONDS = 60.0


@dataclass
class Waiting:
    """ahead: questions open at most, 0: any number; patience: seconds without an answer after which nobody is waited for,
    0: any number."""

    ahead: int = 0
    patience: float = 0.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _since: float | None = field(default=None, init=False)  # of the last answer, or of the beginning of the wait
    _told: float | None = field(default=None, init=False)
    _is_said: bool = field(default=False, init=False)  # of the wait under way

    def room(self, pending: int) -> float:
        """Questions that may still be asked."""
        return max(0, self.ahead - pending) if self.ahead else float("inf")

    def is_out_of_patience(self, num_heard: int) -> bool:
        """To be asked at each look, with what it brought."""
        now = self.clock()
        if num_heard or self._since is None:
            self._since = now
        return self.patience > 0 and now - self._since >= self.patience

    def is_to_tell(self) -> bool:
        """At the first look of all, and then once a minute, however many waits there are."""
        now = self.clock()
        if self._told is not None and now - self._told < TOLD_EVERY_SECONDS:
            return False
        self._told, self._is_said = now, True
        return True

    def rest(self) -> None:
        """Until the next look."""
        self.sleep(POLL_SECONDS)

    def over(self) -> bool:
        """The wait has ended; the next one begins anew. -> whether it was told of."""
        self._since, is_told, self._is_said = None, self._is_said, False
        return is_told
