"""Environments in processes of their own that are killed or hang, time after time: each is built anew, and said."""

import random
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tandem import cli

from .lives import End, changed, live
from .worlds import TASK, Accident, plan

TOLD = re.compile(r"warning: (in evaluation: )?environment \d+, row \d+, ")
EARLIEST = 2  # the first step of a process tries the task before the run
LATEST = 6  # step of a process at which its accident comes, so that there is time for all of them in a tiny run
SETTINGS = changed(f"task={TASK}", "budget.total=640", "envs.processes=true", "envs.timeout=2", "envs.patience=1000")


@dataclass
class Count:
    """What came of one run's environments."""

    accidents: int = 0  # that happened
    told: int = 0  # lines that say so, each of an environment that was built anew
    is_finished: bool = False  # the run came to its end, and its books and files are right
    faults: list[str] = field(default_factory=list)


def workers(deaths: int = 20, hangs: int = 5, seed: int = 0, say: Callable[[str], None] = print) -> dict:
    """-> what came of a run whose processes are killed so many times, and of one in which they hang."""
    rng, found = random.Random(seed), {}
    with tempfile.TemporaryDirectory() as base:
        for kind, number in (("death", deaths), ("hang", hangs)):
            found[kind] = asdict(_meet(kind, number, Path(base) / kind, rng))
            say(f"{number} times {kind} of a process: {found[kind]}")
    return found


def _meet(kind: str, number: int, folder: Path, rng: random.Random) -> Count:
    folder.mkdir()
    accidents = [Accident(kind, rng.randint(EARLIEST, LATEST), str(folder / f"note-{i}")) for i in range(number)]
    end = live(folder / "run", SETTINGS, prepare=lambda: plan(*accidents))
    happened = len(list(folder.glob("note-*")))
    told = [line for line in end.said.splitlines() if TOLD.match(line)]
    count = Count(happened, len(told), end.status == 0 and not cli.main(["ledger", str(folder / "run"), "--verify"]))
    if (happened, len(told), count.is_finished) != (number, number, True):
        count.faults.append(_last(end))
    return count


def _last(end: End) -> str:
    return f"ended with {end.status}: {end.said[-600:]}"
