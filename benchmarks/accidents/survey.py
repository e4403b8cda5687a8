"""All accidents, one kind after the other, and the numbers of all of them together."""

import signal
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from . import corruptions, kills, points
from .kills import Wholes
from .lives import live

POINTS_OF = "decoupled"  # the run that is killed at every moment that counts

STOPPED_AT = 0.65  # of the moments that count: there the run is stopped whose files are damaged, past its pilot
QUIET = ("log.every_seconds=1000",)


def survey(folder: Path, number: int, seed: int, only: Collection[str], say: Callable[[str], None] = print) -> dict:
    """Do the chosen kinds of accident in `folder`. number: of kills at random moments. -> numbers, by the issue's names."""
    say = partial(print, flush=True) if say is print else say
    wholes, found = Wholes(folder / "whole"), {"seed": seed}
    if "kills" in only:
        found |= {"random": kills.random_kills(number, seed, wholes, folder, say).as_dict()}
    if "points" in only:
        found |= {"points": kills.every_point(seed, wholes, folder, POINTS_OF, say).as_dict()}
    if "progress" in only:
        found |= {"progress_under_kills": kills.progress(folder, say)}
    if "corruptions" in only:
        found |= corruptions.sweep(stopped(folder / "stopped"), folder / "damaged", seed, settings=QUIET, say=say)
    return summed(found) | found


def stopped(path: Path) -> Path:
    """A run that was stopped in the middle of its last phase."""
    count = points.count(path)
    end = live(path, prepare=points.stopped_at(round(STOPPED_AT * count)))
    assert end.status == 128 + signal.SIGINT, end.said
    return path


def summed(found: dict) -> dict:
    """The kills at random and at every moment together."""
    counts = [found[name] for name in ("random", "points") if name in found]
    names = ("kills", "resumed", "labels_lost", "labels_paid_twice", "runs", "runs_equal")
    total = {name: sum(one[name] for one in counts) for name in names} if counts else {}
    return total | ({"final_state_equal": total["runs"] == total["runs_equal"]} if counts else {})
