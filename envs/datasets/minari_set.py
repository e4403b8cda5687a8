"""Data sets of Minari, read by its own library: one that is installed here, or a folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from .given import Given
from .raw import Form, Raw

PREFIX = "minari:"  # before the id of a set
CARD = "metadata.json"
INSTALL = "pip install -e '.[data]' brings it"


def is_minari(folder: Path) -> bool:
    return any((place / CARD).is_file() for place in (folder, folder / "data"))


class MinariSet:
    """A set by its id, such as minari:pendulum/mixture-v0, or by the folder that it lies in."""

    repeat, has_rewards = 1, True

    def __init__(self, key: str, name: str, keys: Sequence[str], size: int, gaps: bool):
        self.name, self._where = name, f"{key}: {name}"
        self._set = self._opened()
        spaces = self._set.observation_space, self._set.action_space
        self._form = Form(self._where, *spaces, keys, size, gaps)
        self.spaces, self.bounds = self._form.spaces, self._form.bounds

    @property
    def num_transitions(self) -> int:
        return int(self._set.total_steps)

    def episodes(self) -> Iterator[Given]:
        reading, place = self._set.iterate_episodes(), 0
        while True:
            try:
                episode = next(reading)
            except StopIteration:
                return
            except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:  # as h5py says it
                raise UserError(f"{self._where}: episode {place} cannot be read: {_line(error)}") from error
            yield self._form.given(_raw(episode))
            place += 1

    def _opened(self) -> Any:
        try:
            from minari.dataset.minari_dataset import MinariDataset  # late: an extra
            from minari.dataset.minari_storage import MinariStorage
            from minari.storage.datasets_root_dir import get_dataset_path
        except ImportError as error:
            raise UserError(f"{self._where}: needs the package minari ({error}): {INSTALL}") from error
        asked = self.name.removeprefix(PREFIX)
        folder = Path(get_dataset_path(asked)) if self.name.startswith(PREFIX) else Path(self.name)
        folder = folder if (folder / CARD).is_file() else folder / "data"
        if not (folder / CARD).is_file():
            raise UserError(f"{self._where}: is not here: no {folder / CARD}; `minari download {asked}` would bring it")
        try:
            # Of a set without spaces the library would make the environment that the set names: a stranger's code.
            missing = {"observation_space", "action_space"} - MinariStorage.read_raw_metadata(folder).keys()
            if missing:
                raise UserError(f"{self._where}: its {CARD} has no {min(missing)}")
            return MinariDataset(folder)
        except UserError:
            raise
        except (ImportError, OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise UserError(f"{self._where}: cannot be opened: {_line(error)}") from error


def _raw(episode: Any) -> Raw:
    return Raw(
        f"episode {episode.id}",
        episode.observations,
        episode.actions,
        np.asarray(episode.terminations),
        np.asarray(episode.truncations),
        np.asarray(episode.rewards),
    )


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
