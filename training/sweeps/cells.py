"""The cells of a sweep: one run for every combination of the values, each with a name that says what differs."""

import hashlib
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...usage import UsageError
from ..config import Config, ConfigError
from ..keys import leaves
from ..settings import DEFAULT_PRESET, load_config
from .values import unquoted, values_of

MOST_CELLS = 10_000
LONGEST_NAME = 120  # of a cell's folder, in bytes
STRANGE = re.compile(r"[^\w.,=+:%@~\[\]{}-]", re.ASCII)  # what a folder's name had better not hold
PLACES = ("run.dir", "run.name", "run.root")


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    name: str  # of its folder
    arguments: tuple[str, ...]  # presets and key=value of its own, as train.py takes them; without its folder


@dataclass(frozen=True)
class Sweep:
    """What was asked for."""

    presets: tuple[str, ...]
    settings: dict[str, str]  # with one value, which all cells share
    axes: dict[str, tuple[str, ...]]  # with several, sorted by key
    folder: Path

    @classmethod
    def read(cls, arguments: list[str]) -> "Sweep":
        """Of presets and key=value arguments. UsageError where nothing is swept."""
        presets = tuple(one for one in arguments if "=" not in one)
        found = _by_key([one for one in arguments if "=" in one])
        axes = {key: values for key, values in sorted(found.items()) if len(values) > 1}
        settings = {key: values[0] for key, values in found.items() if len(values) == 1}
        if not axes:
            raise UsageError("--sweep: no setting has several values, write seed=0..9 or allocator.name=adaptive,fixed")
        for key in PLACES:
            if key in axes or (key == "run.name" and key in settings):
                raise UsageError(f"{key}: cells are named by what differs, give run.dir=FOLDER for all of them")
        root, folder = settings.pop("run.root", "runs"), settings.pop("run.dir", "")
        return cls(presets, settings, axes, Path(folder or Path(root) / "sweeps" / _name(presets, settings, axes)))

    @property
    def shared(self) -> tuple[str, ...]:
        return (*self.presets, *(f"{key}={value}" for key, value in self.settings.items()))

    def cells(self) -> list[Cell]:
        """In the order in which they are run: all with the first seed come first."""
        keys = sorted(self.axes, key=lambda key: key != "seed")
        if (number := _product(len(values) for values in self.axes.values())) > MOST_CELLS:
            raise UsageError(f"--sweep: has at most {MOST_CELLS:,} cells, got {number:,}")
        combinations = itertools.product(*(self.axes[key] for key in keys))
        return [self._cell(dict(zip(keys, values, strict=True))) for values in combinations]

    def _cell(self, values: dict[str, str]) -> Cell:
        words = [f"{key}={values[key]}" for key in self.axes]
        return Cell(_folder_name(",".join(words)), (*self.shared, *words))


def configurations(cells: list[Cell]) -> dict[str, Config]:
    """Name of each cell -> its configuration. ConfigError for one that cannot be used, or that two cells share."""
    found: dict[str, Config] = {}
    seen: dict[str, str] = {}
    for cell in cells:
        config = load_config(list(cell.arguments))
        if (other := seen.setdefault(repr(config), cell.name)) != cell.name:
            raise ConfigError(f"--sweep: {other} and {cell.name} are the same run, leave one of the two out")
        found[cell.name] = config
    return found


def _by_key(arguments: list[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for argument in arguments:
        key, text = argument.split("=", 1)
        if key in found:
            raise UsageError(f"{key}: given twice, write {key}=A,B")
        values = values_of(key, text)
        found[key] = tuple(map(unquoted, values) if leaves().get(key) is str else values)
    return found


def _name(presets: tuple[str, ...], settings: dict[str, str], axes: Iterable[str]) -> str:
    """The same for the same command, also with more values: a second call finds what the first one made."""
    content = [*presets, *sorted(f"{key}={value}" for key, value in settings.items()), *axes]
    return f"{'+'.join(presets) or DEFAULT_PRESET}-{','.join(axes)}-{_digest(chr(0).join(content))}"


def _folder_name(text: str) -> str:
    """Readable, and never that of another cell: where signs were replaced or the end was cut, a hash says which it was."""
    clean = STRANGE.sub("_", text)
    if clean == text and len(text) <= LONGEST_NAME:
        return text
    return f"{clean[:LONGEST_NAME]}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:6]


def _product(numbers: Iterable[int]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product
