"""A run's card, run.json: who made the run, for which spaces, and which config.yaml is its own."""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch

from ...durable import whole_file
from ...envs.records import ObsSpec, Spaces
from ...errors import Damaged, UserError
from ...version import __version__
from .folder import RunFolder

CARD = "run.json"
FORMAT = 2  # of a run's folder; versions 0.1 and 0.2 wrote no card


class CardError(UserError):
    """A card, or a config.yaml, that is not what was written; the message names the file and the command that helps."""


class DamagedCard(CardError, Damaged):
    """The card, or a config.yaml, is not what was written."""


@dataclass(frozen=True)
class RunCard:
    configs: tuple[str, ...]  # sha256 of config.yaml as saved; of two while one takes the other's place
    spaces: Spaces
    folder: str  # in which the run was started: a person's own module is found there
    signature: str = ""  # says to who started the run that the code named in config.yaml is their own (trust.py)
    version: str = __version__
    torch: str = torch.__version__
    python: str = platform.python_version()
    platform: str = platform.platform()
    format: int = FORMAT

    @classmethod
    def made(cls, config: str, spaces: Spaces) -> Self:
        """The card of a run that is started here, not signed yet. config: the YAML of its config.yaml."""
        return cls((sha256(config),), spaces, os.getcwd())

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The card of the run in `folder`; None in runs of versions 0.1 and 0.2. CardError, also where only its spare is left."""
        has_one = (folder / CARD).exists() or (RunFolder(folder).checkpoints / CARD).exists()
        return cls.read(folder) if has_one else None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The card of the run in `folder`. CardError in one line where it is missing, damaged or of a later version."""
        path = folder / CARD
        try:
            plain = json.loads(path.read_bytes())
            is_whole = plain.pop("sha256") == _sum(plain)
            written = int(plain["format"])
            if is_whole and written == FORMAT:
                return cls(**plain | {"configs": tuple(plain["configs"]), "spaces": from_plain(plain["spaces"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedCard(f"{path}: not readable ({type(error).__name__}); {_help(folder)}") from error
        if is_whole:
            raise CardError(f"{path}: of format {written}, version {__version__} reads format {FORMAT}")
        raise DamagedCard(f"{path}: not what was written (sha256 differs); {_help(folder)}")

    def write(self, folder: Path) -> None:
        """Into `folder`, so that a crash leaves the card before it or this one."""
        plain = asdict(self) | {"configs": list(self.configs), "spaces": to_plain(self.spaces)}
        with whole_file(folder / CARD, "w") as file:
            json.dump(plain | {"sha256": _sum(plain)}, file, indent=1)

    def check(self, config: bytes, path: Path) -> None:
        """CardError unless `config`, the content of the file `path`, is what was saved."""
        if sha256(config) not in self.configs:
            raise DamagedCard(f"{path}: not what was saved (sha256 differs); {_help(path.parent)}")

    def accepting(self, config: str) -> Self:
        """The same card for a config.yaml that is about to be replaced by `config`: either is accepted."""
        return replace(self, configs=tuple(dict.fromkeys((*self.configs, sha256(config)))))

    def accepting_only(self, config: str) -> Self:
        return replace(self, configs=(sha256(config),))


def to_plain(spaces: Spaces) -> dict[str, Any]:
    """As JSON knows it; the dtype stands there for whoever reads the file."""
    obs = {key: asdict(spec) | {"shape": list(spec.shape), "dtype": spec.dtype} for key, spec in spaces.obs.items()}
    return {"obs": obs, "action_size": spaces.action_size, "factors": list(spaces.factors)}


def from_plain(plain: dict[str, Any]) -> Spaces:
    """The spaces that `to_plain` made plain. ValueError, TypeError or KeyError for anything else."""
    obs = {key: _spec(**spec) for key, spec in plain["obs"].items()}
    return Spaces(obs, plain["action_size"], tuple(plain["factors"]))


def _spec(shape: list[int], dtype: str, **more: Any) -> ObsSpec:
    spec = ObsSpec(tuple(shape), **more)
    if spec.dtype != dtype:
        raise ValueError(f"dtype: must be {spec.dtype} for a {spec.kind}, got {dtype}")
    return spec


def sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _sum(plain: dict[str, Any]) -> str:
    """A hash of the card's content: a flipped bit in JSON is often JSON."""
    return sha256(json.dumps(plain, sort_keys=True))


def _help(folder: Path) -> str:
    return f"tandem repair {folder} says what was lost and makes it possible to go on"
