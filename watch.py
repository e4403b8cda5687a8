"""A stopwatch of parts: where the time of a process goes. Every second counts for one part alone."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

REST = "other"


class Watch:
    """Seconds by part. Of parts within parts the innermost counts; what is in none is `other`.

    It reads the clock and waits for nothing: on a GPU an update's time is told where the host waits for its results.
    """

    def __init__(self, parts: tuple[str, ...], clock: Callable[[], float] = time.perf_counter):
        self._clock, self._part, self._since = clock, REST, clock()
        self._seconds = dict.fromkeys((*parts, REST), 0.0)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """What happens meanwhile is of this part, also where it raises."""
        before = self._part
        self._turn(part)
        try:
            yield
        finally:
            self._turn(before)

    def seconds(self) -> dict[str, float]:
        """Since the watch was made."""
        self._turn(self._part)
        return dict(self._seconds)

    def _turn(self, part: str) -> None:
        assert part in self._seconds, (part, sorted(self._seconds))
        now = self._clock()
        self._seconds[self._part] += now - self._since
        self._part, self._since = part, now


class Laps:
    """Seconds by part between two readings of a watch."""

    def __init__(self, watch: Watch):
        self._watch, self._before = watch, watch.seconds()

    def take(self) -> dict[str, float]:
        """Since the last time, or since these laps began."""
        before, self._before = self._before, self._watch.seconds()
        return {part: seconds - before[part] for part, seconds in self._before.items()}


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """Of the whole, by part; 0 where nothing took any time."""
    whole = sum(seconds.values())
    return {part: one / whole if whole else 0.0 for part, one in seconds.items()}
