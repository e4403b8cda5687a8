"""Episodes of a person's own, in .npz and HDF5 files: arrays by name, `EPISODE/observations` and so on (docs/data.md)."""

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space

from ...errors import UserError
from .given import Given
from .minari_set import INSTALL
from .raw import FLAGS, Form, Raw

OBS, ACTIONS, REWARDS = "observations", "actions", "rewards"
LOW, HIGH, CHOICES, CLASSES, REPEAT = "action_low", "action_high", "num_actions", "classes", "repeat"
ENDINGS = (".npz", ".h5", ".hdf5")
Arrays = Mapping[str, np.ndarray]  # of a file, by name


def files_of(place: Path) -> list[Path]:
    """The files of episodes at a place: itself, or those that a folder holds, by name; none where there are none."""
    if place.is_dir():
        return sorted((one for one in place.iterdir() if one.suffix in ENDINGS), key=lambda one: _natural(one.name))
    return [place] if place.suffix in ENDINGS and place.is_file() else []


class Tree:
    """The episodes of some files, which are alike."""

    def __init__(self, key: str, name: str, keys: Sequence[str], size: int, gaps: bool):
        """As `MinariSet`. The first episode of all tells the spaces, with what its file says of them."""
        self.name, self._key, self._files = name, key, files_of(Path(name))
        first, episodes = self._read(self._files[0])
        where = f"{key}: {self._files[0]}"
        raw = _episode(first, episodes[0], self._files[0])
        spaces = _named(where, lambda: (_observation_space(raw.observations, first), _action_space(raw.actions, first)))
        self._forms = [Form(f"{key}: {file}", *spaces, keys, size, gaps) for file in self._files]
        self.spaces = self._forms[0].spaces
        self.repeat = int(first[REPEAT]) if REPEAT in first else 1
        self.has_rewards = raw.rewards is not None

    @property
    def num_transitions(self) -> int:
        """Counted by its flags: a file that cannot be used is told when its episodes are taken."""
        number = 0
        for file in self._files:
            arrays, episodes = self._read(file)
            number += sum(np.size(arrays.get(f"{episode}{FLAGS[0]}", ())) for episode in episodes)
        return number

    def episodes(self) -> Iterator[Given]:
        for file, form in zip(self._files, self._forms, strict=True):
            arrays, episodes = self._read(file)
            for episode in episodes:
                yield form.given(_episode(arrays, episode, file))

    def _read(self, file: Path) -> tuple[Arrays, list[str]]:
        """All of a file, and what stands before the names of each of its episodes' arrays, with the "/"."""
        where = f"{self._key}: {file}"
        try:
            arrays = _npz(file) if file.suffix == ".npz" else _hdf5(file, where)
        except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise UserError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error
        found = {match[1] for name in arrays if (match := re.match(rf"((?:.*/)?){OBS}(?:/|$)", name))}
        if not found:
            held = ", ".join(sorted(arrays)[:6]) or "nothing"
            raise UserError(f"{where}: holds no episode: no array is called {OBS} or EPISODE/{OBS}, but {held}")
        return arrays, sorted(found, key=_natural)


def _npz(file: Path) -> Arrays:
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _hdf5(file: Path, where: str) -> Arrays:
    try:
        import h5py  # late: an extra
    except ImportError as error:
        raise UserError(f"{where}: needs the package h5py: {INSTALL}") from error
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(file, "r") as opened:

        def keep(name: str, one: Any) -> None:
            if isinstance(one, h5py.Dataset):
                arrays[name] = np.asarray(one[()])

        opened.visititems(keep)
        return arrays | {name: np.asarray(value) for name, value in opened.attrs.items()}


def _episode(arrays: Arrays, prefix: str, file: Path) -> Raw:
    inside = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    nested = {name.removeprefix(f"{OBS}/"): value for name, value in inside.items() if name.startswith(f"{OBS}/")}
    flags = {name: inside.get(name) for name in FLAGS}
    name = prefix.rstrip("/") or file.stem
    return Raw(name, inside.get(OBS, nested), inside.get(ACTIONS), **flags, rewards=inside.get(REWARDS))


def _observation_space(observations: Any, said: Arrays) -> Space:
    if isinstance(observations, dict):
        return Dict({key: _observed(key, value, said.get(f"{CLASSES}/{key}")) for key, value in observations.items()})
    return _observed(OBS, observations, said.get(CLASSES))


def _observed(key: str, values: np.ndarray, classes: np.ndarray | None) -> Space:
    shape, kind = values.shape[1:], values.dtype
    if kind == np.uint8 and len(shape) in (2, 3):
        return Box(0, 255, shape, np.uint8)
    if kind.kind == "b":
        return MultiBinary(shape or 1)
    if kind.kind in "iu":
        if classes is None:
            raise ValueError(f"{key!r} holds whole numbers: {CLASSES}/{key} must say how many there are to choose from")
        counts = np.broadcast_to(classes, shape)
        return MultiDiscrete(counts) if shape else Discrete(int(counts))
    return Box(-np.inf, np.inf, shape, np.float32)


def _action_space(actions: np.ndarray | None, said: Arrays) -> Space:
    if actions is None:
        raise ValueError(f"has no {ACTIONS}")
    shape = actions.shape[1:]
    if actions.dtype.kind in "iub":
        if CHOICES not in said:
            raise ValueError(f"{ACTIONS} are whole numbers: {CHOICES} must say how many there are to choose from")
        counts = np.broadcast_to(said[CHOICES], shape)
        return MultiDiscrete(counts) if shape else Discrete(int(counts))
    low, high = (np.broadcast_to(said.get(name, default), shape) for name, default in ((LOW, -1.0), (HIGH, 1.0)))
    if LOW not in said and HIGH not in said and len(actions) and np.abs(actions).max() > 1:
        raise ValueError(f"{ACTIONS} go beyond -1 to 1: {LOW} and {HIGH} must say their bounds")
    return Box(low.astype(np.float32), high.astype(np.float32), shape, np.float32)


def _named(where: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _natural(name: str) -> list[Any]:
    """For sorting: episode_10 after episode_9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
