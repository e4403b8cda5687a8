"""When a run is saved, and how: beside training, as often as it costs little."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import checkpoint
from .checkpoint import CheckpointError, Content

SHARE = 0.015  # of the time that saving may take where every_minutes leaves it open
LEAST_SECONDS = 1.0  # between two checkpoints, however cheap they are


@dataclass(frozen=True)
class CheckpointConfig:
    every_minutes: float = 0.0  # between two checkpoints; 0: as often as saving takes less than a fiftieth of the time
    keep: int = 2  # newest checkpoints kept, beside the one of the last finished phase

    def __post_init__(self):
        if not 0 <= self.every_minutes < float("inf"):
            raise ValueError(f"every_minutes: must be at least 0 and finite, got {self.every_minutes}")
        if self.keep < 1:
            raise ValueError(f"keep: must be at least 1, got {self.keep}")


class Keeper:
    """Writes checkpoints, one at a time."""

    def __init__(self, folder: Path, config: CheckpointConfig, clock: Callable[[], float] = time.monotonic):
        self.folder, self.config, self.clock = Path(folder), config, clock
        self._last, self._cost = clock(), 0.0
        self._thread: threading.Thread | None = None
        self._error: CheckpointError | None = None

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint. CheckpointError where the last one could not be written."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self.wait()
        wanted = 60 * self.config.every_minutes or max(LEAST_SECONDS, self._cost / SHARE)
        return self.clock() - self._last >= wanted

    def save(self, make: Callable[[], Content], is_awaited: bool) -> None:
        """Take the states now and write them: until this returns where `is_awaited`, else beside whatever comes next."""
        self.wait()
        start = self.clock()
        content = make()
        self._thread = threading.Thread(target=self._write, args=(content, start), name="checkpoint")
        self._thread.start()
        if is_awaited:
            self.wait()

    def wait(self) -> None:
        """Until the checkpoint under way is written. CheckpointError where it could not be."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, content: Content, start: float) -> None:
        try:
            checkpoint.write(self.folder, content, self.config.keep)
        except CheckpointError as error:
            self._error = error
        self._last = self.clock()
        self._cost = self._last - start
