"""From what a person names to the data set that it is."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError
from .given import Source
from .minari_set import PREFIX, MinariSet, is_minari
from .tree import ENDINGS, Tree, files_of

FORMS = f"a run's folder, {PREFIX}ID, the folder of a Minari set, or episodes in {', '.join(ENDINGS)} files"


def find_data(key: str, name: str, keys: Sequence[str] = (), size: int = 64, gaps: bool = False) -> Source:
    """The data set that the setting `key` names, no run's folder. UserError in one line, with key and file.

    keys, size: of what is observed, as in `envs`. gaps: whether a reward may be NaN, which says that it is not known.
    """
    place = Path(name)
    if name.startswith(PREFIX) or (place.is_dir() and is_minari(place)):
        return MinariSet(key, name, keys, size, gaps)
    if files_of(place):
        return Tree(key, name, keys, size, gaps)
    if place.is_dir() or place.is_file():
        raise UserError(f"{key}: {name} holds no episodes: expected {FORMS}")
    raise UserError(f"{key}: {name} is not there: expected {FORMS}")
