"""A run brought back from its disk: accounts in line with the journals, parts as the newest whole checkpoint knew them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ...budget.ledger import Ledger
from ...worldmodel.replay.journal.npz import ChunkError
from ...worldmodel.replay.journal.transitions import sealed_units
from ...worldmodel.replay.label_store import LabelStore
from ...worldmodel.replay.transitions import TransitionReplay
from . import checkpoint
from .checkpoint import CheckpointError
from .folder import SAVED_AS


class Part(Protocol):
    """What a checkpoint keeps one file of."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


def restore(parts: Mapping[str, Part], folder: Path, say: Callable[[str], None]) -> None:
    """Put the newest whole checkpoint of `folder` into the parts; a run that was killed before its first begins anew with
    what it bought. `say`: told of checkpoints that were passed over."""
    if not checkpoint.list_checkpoints(folder):
        say("no checkpoint yet: learning starts anew with everything that was bought")
        return
    found = checkpoint.load(folder)
    for warning in found.warnings:
        say(f"warning: {warning}")
    states = {"labels": {}} | found.parts  # version 0.1 saved none in coupled mode, whose store has no state
    if states.keys() != parts.keys():
        raise CheckpointError(f"{found.path}: holds {sorted(found.parts)}, expected {sorted(parts)}")
    with fitting(found):
        for name, part in parts.items():
            part.load_state_dict(states[name])


@contextmanager
def fitting(found: checkpoint.Checkpoint) -> Iterator[None]:
    """CheckpointError for parts that do not take what the checkpoint holds."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, KeyError) as error:  # torch and dataclasses say it each in their way
        raise CheckpointError(f"{found.path}: does not fit the run's {SAVED_AS} and data: {error}") from error


def reconcile_transitions(ledger: Ledger, chunks: Path) -> None:
    """After a crash: settle chunks that had reached the disk, give back the money of those that had not."""
    for purchase in ledger.outstanding():
        if purchase.kind != "transition":
            continue
        units = sealed_units(chunks, purchase.key.split("/")[1])
        if units is None:
            ledger.release([purchase.key])
        else:
            ledger.settle({purchase.key: units})


def check_received(folder: Path, ledger: Ledger, transitions: TransitionReplay, labels: LabelStore) -> None:
    """What the ledger sold is what the replays received; anything else means that files of the run are missing."""
    sold = ledger.units("transition"), ledger.units("label")
    received = transitions.received, labels.received
    if sold != received:
        raise ChunkError(f"{folder}: transitions and labels sold {sold}, found on disk {received}: files are missing")
