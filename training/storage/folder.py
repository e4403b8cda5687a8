"""Where a run keeps its files, and the lock that keeps a second process out."""

import fcntl
import os
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import IO, Literal

from ...budget.ledger import Ledger
from ...durable import whole_file
from ...errors import UserError
from ...frames import FrameLog
from .checkpoint import Hashes, hashed

LOCK = "lock"
SAVED_AS = "config.yaml"  # its presence makes a folder a run


@dataclass(frozen=True)
class RunConfig:
    root: str = "runs"
    dir: str = ""  # the run's folder; empty: root/task/name
    name: str = ""  # empty: the time of the start in UTC and the seed
    forecast: Literal["refuse", "warn"] = "refuse"  # what becomes of a run that will not fit into memory or on the disk

    def __post_init__(self):
        if self.forecast not in ("refuse", "warn"):
            raise ValueError(f"forecast: must be refuse or warn, got {self.forecast!r}")

    def named(self, task: str, seed: int, now: datetime) -> "RunConfig":
        """With dir and name filled in; `now` is in UTC."""
        name = self.name or f"{now:%Y%m%d-%H%M%S}-s{seed}"
        folder = self.dir or str(Path(self.root) / task.replace(":", "_").replace("/", "_") / name)
        return replace(self, name=name, dir=folder)


@dataclass(frozen=True)
class RunFolder:
    """The names of everything that a run keeps."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / SAVED_AS

    @property
    def spare_config(self) -> Path:
        """As it was at the start, for a run that has no checkpoint yet."""
        return self.checkpoints / SAVED_AS

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def stock(self) -> Path:
        """Labels that were paid for in another run."""
        return self.path / "stock"

    @property
    def vault(self) -> Path:
        return self.path / "vault"

    @property
    def sights(self) -> Path:
        """What rows are drawn by, where somebody looks: no checkpoint relies on it."""
        return self.path / "sights"

    @property
    def transitions(self) -> Path:
        return self.path / "transitions"

    @property
    def labels(self) -> Path:
        return self.path / "labels"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    @property
    def phases(self) -> Path:
        return self.path / "phases.jsonl"

    @property
    def covered(self) -> list[Path]:
        """The folders whose files a checkpoint relies on."""
        return [one for one in (self.transitions, self.labels, self.vault, self.snapshots) if one.is_dir()]

    def hashes(self, logs: Iterable[FrameLog]) -> Hashes:
        """{"sha256", "size"} by the name in this folder of what a checkpoint relies on: logs as far as they go, snapshots."""
        found = {}
        for log in logs:
            found |= {f"{log.folder.name}/{name}": one for name, one in log.manifest().items()}
        for path in sorted(self.snapshots.glob("*.pt")):
            status = path.stat()
            found[f"{self.snapshots.name}/{path.name}"] = _hashed_once(path, status.st_mtime_ns, status.st_size)
        return found

    def make(self, config: str, total_micro: int, prices: dict[str, int]) -> None:
        """A new run's folders, ledger and configuration (YAML), by the process that holds its lock.

        A crash half way leaves a folder that is no run yet, and in which nothing was bought: it can be made again.
        """
        if self.config.exists():
            raise UserError(f"run.dir: {self.path} is a run already, go on with it by --resume {self.path}")
        for folder in (self.vault, self.transitions, self.labels, self.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        if self.ledger.exists():
            with closing(Ledger.open(self.ledger)) as old:
                if old.remaining != old.total:
                    raise UserError(
                        f"run.dir: {self.path} has a ledger with purchases but no {SAVED_AS}: choose another"
                    )
            self.ledger.unlink()
        Ledger.create(self.ledger, total_micro, prices).close()
        for path in (self.spare_config, self.config):  # the latter last: its presence makes the folder a run
            with whole_file(path, "w") as file:
                file.write(config)

    def hold(self) -> IO:
        """A lock, so that two processes never spend from one purse. It ends with the process, or when it is closed.

        The folder is made where there is none: of two starts in one new folder the one that has the lock makes the run.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / LOCK, "w")  # noqa: SIM115  closed by Run.close
        except OSError as error:
            raise UserError(f"run.dir: nothing can be written in {self.path} ({error.strerror})") from error
        if not is_ours(lock):
            lock.close()
            raise UserError(f"run.dir: another process is training the run in {self.path}")
        return lock

    def missing(self) -> list[Path]:
        """What `hold` makes where it is not there yet, for `take_away`: the lock, and folders from the inside out."""
        return [one for one in (self.path / LOCK, self.path, *self.path.parents) if not os.path.lexists(one)]


def take_away(made: list[Path]) -> None:
    """What of it is a file or an empty folder, up to the first folder that holds something. By the process that has the lock."""
    with suppress(OSError):
        for one in made:
            if one.is_dir():
                one.rmdir()
            else:
                one.unlink()


def is_ours(lock: IO) -> bool:
    """Whether the lock is ours now, and still the file that lies there: whoever makes no run takes its lock away."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name))
    except (BlockingIOError, FileNotFoundError):
        return False


@cache
def _hashed_once(path: Path, modified: int, size: int) -> dict:
    return hashed(path)
