"""All accidents, one kind after the other, and the numbers of all of them together."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from . import kills
from .kills import Wholes

POINTS_OF = "decoupled"  # the run that is killed at every moment that counts


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
    return summed(found) | found


def summed(found: dict) -> dict:
    """The kills at random and at every moment together."""
    counts = [found[name] for name in ("random", "points") if name in found]
    names = ("kills", "resumed", "labels_lost", "labels_paid_twice", "runs", "runs_equal")
    total = {name: sum(one[name] for one in counts) for name in names} if counts else {}
    return total | ({"final_state_equal": total["runs"] == total["runs_equal"]} if counts else {})
