"""Damage done to every file of a run in turn: whether it is noticed, whether one command rescues the run, what is lost.

`sweep(run, work, seed)` copies the run, cuts a file to half, empties it, deletes it or flips one bit of it, and goes on with
the copy as a person would: `--resume`; where that refuses, the command that it names; then `--resume` again.
"""

import contextlib
import io
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

import tandem.cli
from tandem.budget.ledger import Ledger
from tandem.training.storage import checkpoint

KINDS = ("half", "empty", "delete", "flip")


@dataclass(frozen=True)
class Corruption:
    """A file of a run, by its name there, and what is done to it. seed: of the place of a flipped bit."""

    name: str
    kind: str
    seed: int = 0

    def do(self, run: Path) -> None:
        path, content = run / self.name, (run / self.name).read_bytes()
        if self.kind == "half":
            path.write_bytes(content[: len(content) // 2])
        elif self.kind == "empty":
            path.write_bytes(b"")
        elif self.kind == "delete":
            path.unlink()
        else:
            rng = random.Random(f"{self.seed} {self.name}")
            place, bit = rng.randrange(len(content)), rng.randrange(8)
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])


@dataclass(frozen=True)
class Outcome:
    """What came of a corruption. `trouble` is why the run is not whole again; empty: it is."""

    corruption: Corruption
    is_refused: bool  # `--resume` did not go on, and named the command that helps
    is_told: bool  # it was said: refused, set aside by itself, or found by `repair`
    is_equal: bool  # the run has become what it would have been
    lines: tuple[str, ...] = ()  # what `repair` said
    trouble: str = ""

    @property
    def losses(self) -> list[str]:
        """What is gone, by name."""
        return [line for line in self.lines if line.startswith(("lost: ", "released: ", "not booked: "))]

    @property
    def is_detected(self) -> bool:
        """Or harmless."""
        return self.is_told or self.is_equal


def corruptions(run: Path, seed: int = 0, flips: int = 3) -> Iterator[Corruption]:
    """Of every file of a run in turn, an empty one left out."""
    for path in sorted(run.rglob("*")):
        if path.is_file() and path.stat().st_size:
            name = str(path.relative_to(run))
            yield from (Corruption(name, kind) for kind in KINDS[:3])
            yield from (Corruption(name, "flip", seed + number) for number in range(flips))


def sweep(
    run: Path,
    work: Path,
    seed: int = 0,
    flips: int = 3,
    settings: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda line: None,
) -> dict:
    """All corruptions of a run that was stopped. -> counts, and what was lost, line by line.

    work: a folder for copies, which is emptied. settings: of every `--resume`, such as log.every_seconds=1000.
    """
    whole = resumed(run, work, settings)
    expected = state_of(whole)
    outcomes = []
    for one in corruptions(run, seed, flips):
        outcomes.append(outcome_of(one, run, work, expected, settings))
        say(f"{one.name}, {one.kind}: {outcomes[-1].trouble or 'rescued'}")
    troubled = [one for one in outcomes if one.trouble or not one.is_detected]
    return {
        "corruptions": len(outcomes),
        "corruptions_detected": sum(one.is_detected for one in outcomes),
        "corruptions_rescued": sum(not one.trouble for one in outcomes),
        "corruptions_harmless": sum(one.is_equal for one in outcomes),
        "losses": sorted(
            {f"{one.corruption.name} {one.corruption.kind}: {loss}" for one in outcomes for loss in one.losses}
        ),
        "troubles": [f"{one.corruption}: {one.trouble or 'not noticed, and the run is another'}" for one in troubled],
    }


def outcome_of(
    corruption: Corruption, run: Path, work: Path, expected: dict, settings: tuple[str, ...] = ()
) -> Outcome:
    """Damage a copy and go on with it. expected: `state_of` the run that went on unharmed."""
    copy = copied(run, work)
    corruption.do(copy)
    resume = ["train", "--resume", str(copy), *settings]
    status, said = command(resume)
    is_refused, lines, trouble = status != 0, (), ""
    if is_refused:
        if "tandem repair" not in said:
            trouble = f"the error names no command: {_last(said)}"
        repaired, told = command(["repair", str(copy)])
        lines = tuple(told.splitlines())
        trouble = trouble or _trouble("repair", repaired, told)
        if not trouble and "nothing is damaged" in told:
            trouble = f"refused, and yet nothing is damaged: {_last(said)}"
        trouble = trouble or _trouble("repair again", *command(["repair", str(copy)]), says="nothing is damaged")
        trouble = trouble or _trouble("verify", *command(["ledger", str(copy), "--verify"]))
        trouble = trouble or _trouble("resume", *command(resume))
    is_equal = not trouble and _same(state_of(copy), expected)
    repaired, told = command(["repair", str(copy)])
    if not is_refused and repaired == 0 and "nothing is damaged" not in told:
        lines = tuple(told.splitlines())
    trouble = trouble or _trouble("repair at the end", repaired, told)
    trouble = trouble or _trouble("verify at the end", *command(["ledger", str(copy), "--verify"]))
    is_told = is_refused or bool(lines) or "warning: " in said or "no checkpoint yet" in said
    return Outcome(corruption, is_refused, is_told, is_equal, lines, trouble or _accounts(copy))


def state_of(run: Path) -> dict:
    """What a run has come to: the parts of its newest checkpoint, without what is logged, and its ledger."""
    parts = checkpoint.load(run / "checkpoints").parts
    with closing(Ledger.open(run / "ledger.db")) as ledger:
        return {name: part for name, part in parts.items() if name != "logger"} | {"ledger": ledger.summary()}


def command(arguments: list[str]) -> tuple[int, str]:
    """Exit status of a command of `tandem`, and all that it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = tandem.cli.main(arguments)
        except Exception as error:  # noqa: BLE001  a traceback is an outcome too
            status = 1
            print(f"{type(error).__name__}: {error}", file=said)
    return status, said.getvalue()


def resumed(run: Path, work: Path, settings: tuple[str, ...]) -> Path:
    """A copy of the run that has gone on unharmed."""
    copy = copied(run, work)
    status, said = command(["train", "--resume", str(copy), *settings])
    assert status == 0, said
    return copy


def copied(run: Path, work: Path) -> Path:
    """A copy of the run in `work`, in place of the last one."""
    copy = work / "run"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy)
    return copy


def _trouble(what: str, status: int, said: str, says: str = "") -> str:
    return "" if status == 0 and says in said else f"{what} ended with {status}: {_last(said)}"


def _last(said: str) -> str:
    return (said.splitlines() or [""])[-1]


def _accounts(run: Path) -> str:
    """Whether money and counts agree."""
    with closing(Ledger.open(run / "ledger.db")) as ledger:
        balance, states = ledger.balance(), ledger.state_of_keys()
    held = {kind: sum(s.held for s in states.values() if s.purchase.kind == kind) for kind in ("transition", "label")}
    is_right = balance.total == balance.spent + balance.reserved + balance.remaining
    return (
        "" if is_right and held == {"transition": balance.transitions, "label": balance.labels} else "the sums differ"
    )


def _same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other
