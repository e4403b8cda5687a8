"""Episodes of a person's own, in .npz and HDF5 files: arrays by name, `EPISODE/observations` and so on (docs/data.md)."""

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space

from ...errors import UserError
from ..spaces.leaves import NUMBERS
from .given import Given
from .minari_set import INSTALL
from .raw import FLAGS, Form, Raw

OBS, ACTIONS, REWARDS = "observations", "actions", "rewards"
LOW, HIGH, CHOICES, CLASSES, REPEAT = "action_low", "action_high", "num_actions", "classes", "repeat"
SAID = (LOW, HIGH, CHOICES, CLASSES, REPEAT)  # once for a file
UNSAID = {LOW: -1.0, HIGH: 1.0, REPEAT: 1}  # what holds where it is not there
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
        """As `MinariSet`. The first episode of all tells the spaces, with what its file says of them, as every other one does."""
        self.name, self._key, self._files = name, key, files_of(Path(name))
        first, where = self._files[0], f"{key}: {self._files[0]}"
        self._said = said = self._said_of(first)
        with self._opened(first) as (arrays, episodes):
            raw = _episode(arrays, episodes[0], first)
        spaces = _named(where, lambda: (_observation_space(raw.observations, said), _action_space(raw.actions, said)))
        self.repeat = _named(where, lambda: _repeat(said))
        self._check_files()
        self._forms = [Form(f"{key}: {file}", spaces[0], spaces[1], keys, size, gaps) for file in self._files]
        self.spaces, self.bounds = self._forms[0].spaces, self._forms[0].bounds
        self.has_rewards = raw.rewards is not None
        self._check_actions(raw, first)

    @property
    def num_transitions(self) -> int:
        """Counted by its flags: a file that cannot be used is told when its episodes are taken."""
        number = 0
        for file in self._files:
            with self._opened(file) as (arrays, episodes):
                flags = [f"{episode}{FLAGS[0]}" for episode in episodes]
                number += sum(np.size(arrays[flag]) for flag in flags if flag in arrays)
        return number

    def episodes(self) -> Iterator[Given]:
        for file, form in zip(self._files, self._forms, strict=True):
            with self._opened(file) as (arrays, episodes):
                for episode in episodes:
                    raw = _episode(arrays, episode, file)
                    self._check_actions(raw, file)
                    yield form.given(raw)

    def _said_of(self, file: Path) -> Arrays:
        """What stands once for a file."""
        with self._opened(file) as (arrays, _):
            return {name: np.asarray(arrays[name]) for name in arrays if name.partition("/")[0] in SAID}

    def _check_files(self) -> None:
        """UserError for the first one that says something else than the first of all."""
        for file in self._files[1:]:
            said = self._said_of(file)
            for name in sorted(self._said.keys() | said.keys()):
                here, there = (one.get(name, np.asarray(UNSAID.get(name))) for one in (said, self._said))
                if not _is_same(here, there):
                    told = f"{name} is {_shown(here)} there and {_shown(there)} in {self._files[0].name}"
                    raise UserError(f"{self._key}: {file}: {told}, expected the same in all files")

    def _check_actions(self, raw: Raw, file: Path) -> None:
        """UserError for numbers beyond bounds that nobody stated. Beyond stated ones they are clipped, as they were when taken."""
        actions = raw.actions
        if not self.bounds or actions is None or actions.dtype.kind not in NUMBERS or not actions.size:
            return
        if (LOW not in self._said and actions.min() < -1) or (HIGH not in self._said and actions.max() > 1):
            told = f"{ACTIONS} go beyond -1 to 1: {LOW} and {HIGH} must say their bounds"
            raise UserError(f"{self._key}: {file}: {raw.name}: {told}")

    @contextmanager
    def _opened(self, file: Path) -> Iterator[tuple[Arrays, list[str]]]:
        """The arrays of a file, each read when it is asked for, and what stands before the names of each episode's."""
        where = f"{self._key}: {file}"
        try:
            with _npz(file) if file.suffix == ".npz" else _hdf5(file, where) as opened:
                arrays = opened if file.suffix == ".npz" else Hdf5(opened)
                found = {match[1] or "" for name in arrays if (match := re.match(rf"((?:.*/)?){OBS}(?:/|$)", name))}
                if not found:
                    held = ", ".join(sorted(arrays)[:6]) or "nothing"
                    raise UserError(f"{where}: holds no episode: no array is called {OBS} or EPISODE/{OBS}, but {held}")
                yield arrays, sorted(found, key=_natural)
        except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error


class Hdf5(Mapping):
    """The data sets of a file and its attributes, by name."""

    def __init__(self, file: Any):
        self._file, self._names = file, list(file.attrs)
        file.visititems(lambda name, one: self._names.append(name) if hasattr(one, "dtype") else None)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return np.asarray(self._file[name][()] if name in self._file else self._file.attrs[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _npz(file: Path) -> Any:
    opened = np.load(file, allow_pickle=False)
    if not isinstance(opened, np.lib.npyio.NpzFile):
        raise ValueError("holds one array without a name, expected an archive of arrays")  # noqa: TRY004  as numpy says of other damage
    return opened


def _hdf5(file: Path, where: str) -> Any:
    try:
        import h5py  # late: an extra
    except ImportError as error:
        raise UserError(f"{where}: needs the package h5py: {INSTALL}") from error
    return h5py.File(file, "r")


def _episode(arrays: Arrays, prefix: str, file: Path) -> Raw:
    def read(name: str) -> Any:
        return np.asarray(arrays[prefix + name]) if prefix + name in arrays else None

    keys = [name.removeprefix(f"{prefix}{OBS}/") for name in arrays if name.startswith(f"{prefix}{OBS}/")]
    observations = {key: read(f"{OBS}/{key}") for key in keys} or read(OBS)
    flags = {name: read(name) for name in FLAGS}
    name = prefix.rstrip("/") or file.stem
    return Raw(name, observations, read(ACTIONS), **flags, rewards=read(REWARDS))


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
        counts = np.broadcast_to(_counts(CLASSES, classes), shape)
        return MultiDiscrete(counts) if shape else Discrete(int(counts))
    return Box(-np.inf, np.inf, shape, np.float32)


def _action_space(actions: np.ndarray | None, said: Arrays) -> Space:
    if actions is None:
        raise ValueError(f"has no {ACTIONS}")
    shape = actions.shape[1:]
    if actions.dtype.kind in "iub":
        if CHOICES not in said:
            raise ValueError(f"{ACTIONS} are whole numbers: {CHOICES} must say how many there are to choose from")
        counts = np.broadcast_to(_counts(CHOICES, said[CHOICES]), shape)
        return MultiDiscrete(counts) if shape else Discrete(int(counts))
    low, high = (np.broadcast_to(said.get(name, default), shape) for name, default in ((LOW, -1.0), (HIGH, 1.0)))
    return Box(low.astype(np.float32), high.astype(np.float32), shape, np.float32)


def _repeat(said: Arrays) -> int:
    counts = _counts(REPEAT, said.get(REPEAT, np.asarray(UNSAID[REPEAT])))
    if counts.size != 1:
        raise ValueError(f"{REPEAT} must be one number, got {_shown(counts)}")
    return int(counts.item())


def _counts(name: str, said: np.ndarray) -> np.ndarray:
    is_number = said.dtype.kind in NUMBERS
    if not (is_number and (np.isfinite(said) & (said >= 1) & (said == np.floor(said))).all()):
        raise ValueError(f"{name} must be whole and from 1 on, got {_shown(said)}")
    return said.astype(np.int64)


def _shown(said: np.ndarray) -> str:
    return "not stated" if said.dtype == object else " ".join(str(said.tolist()).split())[:60]


def _is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """One number may stand for several that are equal."""
    try:
        return bool(one.size and other.size and np.all(one == other))
    except ValueError:  # shapes that do not go together
        return False


def _named(where: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _natural(name: str) -> list[Any]:
    """For sorting: episode_10 after episode_9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
