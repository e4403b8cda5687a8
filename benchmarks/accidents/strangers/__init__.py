"""A run's folder from a stranger: whatever is planted in it, no command executes it, or reads or writes outside the folder."""

import hashlib
import io
import os
import pickle
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import payloads
from .plants import Plant, everything
from .readers import Reading, read_by_all

KINDS = ("pickles", "arrays", "tags", "references", "names", "paths", "links", "pipes")


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


def strangers(folder: Path, only: Callable[[Plant], bool] = lambda plant: True, say: Callable[[str], None] = print) -> dict:
    """Plant everything that `plants` knows into copies of the run in `folder`, one after the other, and let every command
    read them. -> how many of each kind were planted, what was executed, read and written outside, and what was no answer."""
    with tempfile.TemporaryDirectory() as base:
        ground = Ground(Path(base).resolve())
        live = _live(ground)
        counts, faults = Counter(dict.fromkeys(KINDS, 0)), [f"harmless: {name}" for name, is_live in live.items() if not is_live]
        harm, commands = Counter(), 0
        for plant in filter(only, everything(folder, ground.mark, ground.outside)):
            _lay_out(folder, ground)
            plant.put(ground.run)
            before = _prints(ground.outside)
            reading = read_by_all(ground.run, ground.outside, ground.base / "said")
            counts[plant.kind] += 1
            commands += len(reading.statuses)
            found = _harm(ground, reading, before)
            harm.update(found)
            faults += [f"{plant.kind}, {plant.name}: {what}" for what in (*found, *reading.strange)]
            if found or reading.strange:
                say(f"{plant.kind}, {plant.name}: {[*found, *reading.strange]}")
    told = {f"{kind}_executed": sum(f.startswith(f"{kind}, ") and f.endswith(": executed") for f in faults) for kind in KINDS}
    return {
        **counts,
        **told,
        "payloads_live": sum(live.values()),
        "commands": commands,
        "executed": harm["executed"],
        "read_outside": harm["read outside"],
        "written_outside": harm["written outside"],
        "faults": faults,
    }


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
    found = ["executed"] if ground.mark.exists() else []
    found += ["read outside"] if reading.outside else []
    return found + (["written outside"] if _prints(ground.outside) != before else [])
