"""What stock must be like to fit a run."""

from dataclasses import dataclass

import numpy as np

from ....envs.datasets.given import Source
from ....envs.labelers.base import LabelerConfig
from ....envs.records import Spaces
from ....envs.spaces.bounds import Bounds
from ....errors import UserError


@dataclass(frozen=True)
class Fit:
    spaces: Spaces
    bounds: tuple[Bounds, ...]  # one of which the numbers of actions must have; none: any
    repeat: int  # environment steps that each action was taken for
    labeler: LabelerConfig
    burn_in: int
    num_envs: int  # streams; those of labels without their rows are numbered from here on
    heldout_share: float = 0.0  # of the transitions, in whole episodes
    seed: int = 0
    capacity: tuple[int, int] = (2**62, 2**62)  # rows of a stream that the replay holds, training and held-out
    window: int = 1  # rows of a training window
    starts: int = 0  # windows that training needs to begin; 0: what is missing is collected


def check_spaces(key: str, name: str, theirs: Spaces, ours: Spaces) -> None:
    """UserError in one line for the first space that differs."""
    found, wanted = map(_told, (theirs, ours))
    for part in sorted(found.keys() | wanted.keys()):
        if found.get(part) != wanted.get(part):
            told = f"{part} is {found.get(part, 'nothing')} there and {wanted.get(part, 'nothing')} here"
            raise UserError(f"{key}: {name}: is of another task: {told}")


def _told(spaces: Spaces) -> dict[str, str]:
    """What each part of the spaces is, in words."""
    parts = {}
    for key, spec in spaces.obs.items():
        parts[key] = f"a {spec.kind} of {spec.shape}" + (f" among {spec.classes}" if spec.classes else "")
    chosen = f", choices among {', '.join(map(str, spaces.factors))}" if spaces.factors else ""
    return parts | {"action": f"{spaces.num_continuous} numbers{chosen}"}


def check_source(key: str, source: Source, fit: Fit) -> None:
    """UserError for episodes of other spaces, or of actions within other bounds or that were taken another number of times."""
    check_spaces(key, source.name, source.spaces, fit.spaces)
    if source.bounds is not None and fit.bounds:
        _check_bounds(f"{key}: {source.name}", source.bounds, fit.bounds)
    if source.repeat != fit.repeat:
        raise UserError(
            f"envs.repeat: must be {source.repeat}, as often as each action of {source.name} was taken, got {fit.repeat}"
        )


def _check_bounds(where: str, theirs: Bounds, ours: tuple[Bounds, ...]) -> None:
    """Rounding apart, as float32 does it."""
    if any(np.allclose(theirs, one) for one in ours):
        return
    for place, (there, here) in enumerate(zip(theirs, ours[0], strict=True)):
        if not np.allclose(there, here):
            told = "goes from {:g} to {:g} there and from {:g} to {:g} here".format(*there, *here)
            raise UserError(f"{where}: is of another task: action number {place} {told}")
