"""A run's folder from a stranger: whatever is planted in it, no command executes it, or reads or writes outside the folder."""

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from . import payloads
from .plants import Plant, everything
from .readers import Reading, read_by_all

KINDS = ("pickles", "arrays", "tags", "references", "names", "paths", "links", "pipes")
EXECUTED, READ, WRITTEN = "executed", "read_outside", "written_outside"


@dataclass(frozen=True)
class Ground:
    """Where a stranger's folder is laid out."""

    base: Path

    @property
    def run(self) -> Path:
        return self.base / "run"

    @property
    def outside(self) -> Path:
        """What nobody may touch."""
        return self.base / "outside"

    @property
    def mark(self) -> Path:
        """There once something was executed."""
        return self.base / "executed"


@dataclass
class Count:
    """What came of all plants."""

    planted: Counter = field(default_factory=lambda: Counter(dict.fromkeys(KINDS, 0)))
    harm: Counter = field(default_factory=Counter)  # (kind, what was done)
    commands: int = 0
    refused: int = 0  # commands, in one line
    faults: list[str] = field(default_factory=list)

    def add(self, plant: Plant, reading: Reading, harm: list[str]) -> None:
        self.planted[plant.kind] += 1
        self.harm.update((plant.kind, what) for what in harm)
        self.commands += len(reading.statuses)
        self.refused += len(reading.refused)
        self.faults += [f"{plant.kind}, {plant.name}: {what}" for what in (*harm, *reading.strange)]

    def as_dict(self) -> dict:
        sums = Counter()
        for (_, what), number in self.harm.items():
            sums[what] += number
        executed = {f"{kind}_executed": self.harm[kind, EXECUTED] for kind in KINDS}
        done = {what: sums[what] for what in (EXECUTED, READ, WRITTEN)}
        return {
            **self.planted,
            **executed,
            **done,
            "commands": self.commands,
            "refused": self.refused,
            "faults": self.faults,
        }


def strangers(
    folder: Path, only: Callable[[Plant], bool] = lambda plant: True, say: Callable[[str], None] = print
) -> dict:
    """Plant everything that `plants` knows into copies of the run in `folder`, one after the other, and let every command
    read them. -> how many of each kind were planted, what was executed, read and written outside, and what was no answer.

    RuntimeError where a payload does no harm to whoever is careless, or a command does not read the run as it is: then it
    would show nothing that the others are refused.
    """
    with tempfile.TemporaryDirectory() as base:
        ground, count = Ground(Path(base).resolve()), Count()
        live = _live(ground)
        _lay_out(folder, ground)
        untouched = read_by_all(ground.run, ground.outside, ground.base / "said")
        if not all(live.values()) or untouched.refused:
            raise RuntimeError(f"payloads that do harm: {live}; commands on the run as it is: {untouched.statuses}")
        for plant in filter(only, everything(folder, ground.mark, ground.outside)):
            _lay_out(folder, ground)
            plant.put(ground.run)
            before = _prints(ground.outside)
            reading = read_by_all(ground.run, ground.outside, ground.base / "said")
            count.add(plant, reading, _harm(ground, reading, before))
        say(f"strangers: {count.as_dict()}")
        return count.as_dict() | {"payloads_live": len(live)}


def _live(ground: Ground) -> dict[str, bool]:
    """Whether each payload does harm where it is loaded without care: else refusing it would show nothing."""
    careless = {
        torch_load: payloads.files(ground.mark),
        numpy_load: payloads.arrays(ground.mark),
    }
    found = {}
    for load, known in careless.items():
        for name, content in known.items():
            path = ground.base / "payload"
            path.write_bytes(content)
            _in_child(load, path)
            found[name] = ground.mark.exists()
            ground.mark.unlink(missing_ok=True)
    return found


def torch_load(path: Path) -> None:
    torch.load(path, weights_only=False)


def numpy_load(path: Path) -> None:
    loaded = np.load(path, allow_pickle=True)
    if isinstance(loaded, np.lib.npyio.NpzFile):
        dict(loaded)


def _in_child(load: Callable[[Path], None], path: Path) -> None:
    child = os.fork()
    if not child:
        try:
            os.setsid()
            load(path)
        except BaseException:  # noqa: BLE001, S110  after the harm is done
            pass
        finally:
            _wait_for_children()
            os._exit(0)
    os.waitpid(child, 0)


def _wait_for_children() -> None:
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return


def _lay_out(folder: Path, ground: Ground) -> None:
    for path in (ground.run, ground.outside):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(folder, ground.run, symlinks=True)
    ground.outside.mkdir()
    ground.mark.unlink(missing_ok=True)


def _prints(folder: Path) -> dict[str, str]:
    """The hash of every file, by its name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _harm(ground: Ground, reading: Reading, before: dict[str, str]) -> list[str]:
    found = [EXECUTED] if ground.mark.exists() else []
    found += [READ] if reading.outside else []
    return found + ([WRITTEN] if _prints(ground.outside) != before else [])
