"""A run brought back from its disk: as its newest whole checkpoint knew it, or with everything that was bought."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, Self, cast

from ...budget.ledger import Ledger, Position
from ...errors import Damaged
from ...worldmodel.replay.journal.transitions import TransitionJournal
from . import checkpoint
from .checkpoint import Checkpoint, DamagedCheckpoint
from .folder import SAVED_AS, RunFolder
from .marks import is_repaired, read_mark

SALVAGED = ("learner", "transitions", "labels", "progress", "rng")  # parts that fit data which has grown since
REFILLED = ("transitions", "labels")  # of them, those that hold this data
START = Position(events=1, decisions=0)  # of a ledger: its total is written, and nothing else


class Part(Protocol):
    """What a checkpoint keeps."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


class RefilledPart(Part, Protocol):
    """A part that took its rows from a journal, which may have grown since the checkpoint."""

    def load_state_dict(self, state: dict, is_exact: bool = True) -> None: ...


class FilesMissing(Damaged):
    """The ledger has sold more than is on disk."""


@dataclass(frozen=True)
class Positions:
    """How far the journals and the ledger had come when a checkpoint was made."""

    ticks: int = 0
    entries: int = 0
    ledger: Position = START

    def to_plain(self) -> dict:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict) -> Self:
        return cls(plain["ticks"], plain["entries"], Position(**plain["ledger"]))


@dataclass(frozen=True)
class Standpoint:
    """Where a resumed run begins: at a checkpoint or without one; exactly as it was, or with everything on disk at once."""

    found: Checkpoint | None
    is_exact: bool
    has_rows: bool = True  # the checkpoint's rows are the journals': not so after a repair

    @property
    def purge_step(self) -> int | None:
        """The environment step from which on what was logged comes again; None: nothing does."""
        if not self.is_exact:
            return None
        return self.found.step + 1 if self.found else 0

    @property
    def positions(self) -> Positions:
        return Positions.from_plain(self.found.parts["positions"]) if self.found else Positions()


def standpoint(folder: RunFolder, is_exact: bool, say: Callable[[str], None]) -> Standpoint:
    """The newest whole checkpoint, if there is any. Those that are not are renamed, and said.

    A checkpoint that an older version made cannot be gone on from exactly.
    """
    if not checkpoint.list_checkpoints(folder.checkpoints):
        say("no checkpoint yet: what was bought is learned from again, from the beginning")
        return Standpoint(None, is_exact and not is_repaired(folder.checkpoints))
    found = checkpoint.load(folder.checkpoints)
    for warning in found.warnings:
        say(f"warning: {warning}; it is set aside")
    checkpoint.set_aside(found.damaged)
    for name in checkpoint.read_manifest(found.path).get("covers", {}):
        if name.startswith("snapshots/") and not (folder.snapshots / Path(name).name).exists():
            say(f"warning: {name} is missing: the curve of the dynamics error goes without it")
    mark = read_mark(found.path)
    has_rows = mark is None or mark.is_exact
    return Standpoint(found, is_exact and has_rows and "positions" in found.parts, has_rows)


def load_parts(begin: Standpoint, parts: Mapping[str, Part]) -> None:
    """Put the checkpoint into the parts, which hold what the journals had then; without exactness, into those that fit."""
    if begin.found is None:
        return
    # Version 0.1 saved no labels in coupled mode, whose store has no state.
    states = {"labels": {}} | {name: state for name, state in begin.found.parts.items() if name != "positions"}
    if begin.is_exact and states.keys() != parts.keys():
        raise DamagedCheckpoint(f"{begin.found.path}: holds {sorted(states)}, expected {sorted(parts)}")
    with fitting(begin.found):
        for name in parts if begin.is_exact else SALVAGED:
            if name not in REFILLED:
                parts[name].load_state_dict(states[name])
            elif begin.has_rows:
                cast(RefilledPart, parts[name]).load_state_dict(states[name], begin.is_exact)


@contextmanager
def fitting(found: checkpoint.Checkpoint) -> Iterator[None]:
    """DamagedCheckpoint for parts that do not take what the checkpoint holds."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, KeyError) as error:  # torch and dataclasses say it each in their way
        raise DamagedCheckpoint(f"{found.path}: does not fit the run's {SAVED_AS} and data: {error}") from error


def reconcile_transitions(ledger: Ledger, journal: TransitionJournal, prefix: str) -> None:
    """Settle chunks that are on disk, give back the money of those that are not."""
    for purchase in ledger.outstanding():
        if purchase.kind == "transition":
            units = journal.units[purchase.key.removeprefix(prefix)]
            if units:
                ledger.settle({purchase.key: units})
            else:
                ledger.release([purchase.key])


def check_received(
    folder: RunFolder, ledger: Ledger, transitions: int, labels: int, rewards: int, waiting: set[str]
) -> None:
    """What the ledger has sold is on disk: FilesMissing names what is not. These are the numbers found.

    waiting: keys of questions without a reply on disk: the ledger must not have had one. It does not know those that a
    crash kept from being committed, and nobody was asked.
    """
    for name, sold, found in (
        ("transitions", ledger.units("transition"), transitions),
        ("labels", ledger.units("label"), labels),
        ("true rewards", ledger.units("transition"), rewards),
    ):
        if sold > found:
            raise FilesMissing(
                f"{folder.path}: {sold:,} {name} were paid for, {found:,} are on disk: files are missing or damaged"
            )
    states = ledger.state_of_keys()
    over = sorted(key for key in waiting if key in states and not states[key].is_open)
    if over:
        raise FilesMissing(f"{folder.labels}: the replies to {len(over):,} questions are missing, such as {over[0]}")
