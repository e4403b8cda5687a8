"""A sweep's folder: a run for each cell, what the sweep is made of, what its cells said, and the lock of the one process that runs it."""

import fcntl
import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ...durable import whole_file
from ...errors import UserError
from ...usage import UsageError
from ...version import __version__
from ..storage.checkpoint import CheckpointError, list_checkpoints, read_manifest
from ..storage.folder import SAVED_AS, RunFolder
from .cells import Sweep

RECORD, LOCK, LOGS, QUEUED = "sweep.json", "lock", "logs", "queued.json"
ENGINE = "submitit"  # the folder of its pickles and of what it says
PATIENCE_SECONDS = 2.0  # a cell of an earlier call may hold the lock for an instant, to see whether anybody has it


@dataclass(frozen=True)
class SweepFolder:
    path: Path

    @property
    def lock(self) -> Path:
        return self.path / LOCK

    @property
    def engine(self) -> Path:
        return self.path / ENGINE

    def cell(self, name: str) -> Path:
        return self.path / name

    def log(self, name: str) -> Path:
        return self.path / LOGS / f"{name}.log"

    def check(self, sweep: Sweep) -> None:
        """UsageError where something else lies here. Writes nothing."""
        if os.path.lexists(self.path) and not self.path.is_dir():
            raise UsageError(f"run.dir: must be a folder, and {self.path} is something else")
        if (self.path / SAVED_AS).exists():
            raise UsageError(f"run.dir: {self.path} is a run, a sweep needs a folder of its own")
        found = self._record()
        if found is None and self.path.is_dir() and {one.name for one in self.path.iterdir()} - {LOCK, LOGS}:
            raise UsageError(
                f"run.dir: {self.path} holds other files and no {RECORD}, a sweep needs a folder of its own"
            )
        if found is not None and (different := _difference(found, sweep)):
            raise UsageError(f"run.dir: {self.path} holds another sweep: {different}")

    def standing(self) -> set[Path]:
        """What there is: the folder and those above it, what lies in it, and what in the engine's."""
        inside = [path for folder in (self.path, self.engine) if folder.is_dir() for path in folder.iterdir()]
        return {path for path in (self.path, *self.path.parents) if path.exists()} | set(inside)

    def clear(self, before: set[Path]) -> None:
        """Take away what was not there before, where no cell was ever started. What cannot be taken away stays."""
        made, above = self.standing() - before, (self.path, *self.path.parents)
        with suppress(OSError):
            for path in sorted(made.difference(above), reverse=True):  # what lies in a folder before the folder
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for folder in above:
                if folder in made:
                    folder.rmdir()

    def hold(self) -> IO:
        """Make the folder, and take its lock. It ends with the process, and then its cells on this machine end too."""
        try:
            (self.path / LOGS).mkdir(parents=True, exist_ok=True)
            lock = open(self.lock, "w")  # noqa: SIM115  held until the sweep ends
        except OSError as error:
            raise UserError(f"run.dir: nothing can be written in {self.path} ({error.strerror})") from error
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError as error:
                if time.monotonic() > until:
                    lock.close()
                    raise UsageError(f"run.dir: another process is sweeping in {self.path}") from error
                time.sleep(0.05)

    def record(self, sweep: Sweep) -> None:
        """Write what the sweep is made of, beside the values that an earlier call gave."""
        before = self._record()
        axes = {
            key: tuple(dict.fromkeys((*(before.axes[key] if before else ()), *sweep.axes[key]))) for key in sweep.axes
        }
        plain = {"version": __version__, "presets": sweep.presets, "settings": sweep.settings, "axes": axes}
        with whole_file(self.path / RECORD, "w") as file:
            json.dump(plain, file, indent=1)

    def queued(self) -> dict[str, list[str]]:
        """Name of a cell -> the folder and number of its job on a cluster, as far as they were written down."""
        try:
            return json.loads((self.path / QUEUED).read_bytes())
        except (OSError, ValueError):
            return {}

    def enqueue(self, jobs: dict[str, list[str]]) -> None:
        with whole_file(self.path / QUEUED, "w") as file:
            json.dump(self.queued() | jobs, file, indent=1)

    def is_finished(self, name: str, phases: int) -> bool:
        """Whether the cell's run is over: its newest checkpoint was made at the end of its last phase."""
        run = RunFolder(self.cell(name))
        try:
            last = json.loads(run.phases.read_text().splitlines()[-1])
            manifest = read_manifest(list_checkpoints(run.checkpoints)[-1])
            return last["phase"] >= phases and manifest["step"] == last["step"] and bool(manifest.get("is_milestone"))
        except (OSError, ValueError, IndexError, KeyError, TypeError, CheckpointError):
            return False  # whoever goes on with it is told what is wrong

    def is_busy(self, name: str) -> bool:
        """Whether some process trains the cell."""
        try:
            with open(self.cell(name) / LOCK) as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def last_word(self, name: str) -> str:
        """The last line that the cell said."""
        try:
            with open(self.log(name), "rb") as file:
                file.seek(max(0, os.path.getsize(self.log(name)) - 4096))
                lines = file.read().decode(errors="replace").split("\n")
        except OSError:
            return "it said nothing"
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def _record(self) -> Sweep | None:
        path = self.path / RECORD
        try:
            plain = json.loads(path.read_bytes())
            axes = {str(key): tuple(map(str, values)) for key, values in plain["axes"].items()}
            return Sweep(tuple(plain["presets"]), dict(plain["settings"]), axes, self.path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: not readable ({type(error).__name__}); remove it to sweep here anew") from error


def _difference(found: Sweep, asked: Sweep) -> str:
    """In which presets, swept keys or settings two sweeps differ; nothing where only the values do."""
    if found.presets != asked.presets:
        return f"of {' '.join(found.presets) or 'no preset'}, not of {' '.join(asked.presets) or 'no preset'}"
    if found.axes.keys() != asked.axes.keys():
        return f"over {' and '.join(found.axes)}, not over {' and '.join(asked.axes)}"
    keys = sorted(found.settings.keys() | asked.settings.keys())
    key = next((key for key in keys if found.settings.get(key) != asked.settings.get(key)), None)
    if key is None:
        return ""
    there, here = (f"{key}={one.settings[key]}" if key in one.settings else f"no {key}" for one in (found, asked))
    return f"with {there}, not with {here}"
