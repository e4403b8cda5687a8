"""What stock must be like to fit a run."""

from dataclasses import dataclass

from ....envs.datasets.given import Source
from ....envs.labelers.base import LabelerConfig
from ....envs.records import Spaces
from ....errors import UserError


@dataclass(frozen=True)
class Fit:
    spaces: Spaces
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


def check_source(key: str, source: Source, ours: Spaces, repeat: int) -> None:
    """UserError for episodes of other spaces, or of actions that were taken another number of times."""
    check_spaces(key, source.name, source.spaces, ours)
    if source.repeat != repeat:
        raise UserError(
            f"envs.repeat: must be {source.repeat}, as often as each action of {source.name} was taken, got {repeat}"
        )
