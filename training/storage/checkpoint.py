"""Checkpoints: folders of hashed files, written beside the last good one and renamed into place.

    checkpoints/<step>/manifest.json     {"format", "step", "is_milestone", "files", "covers", "sha256"}
    checkpoints/<step>/learner.pt        models and optimisers
    checkpoints/<step>/run.pt            all other parts
    checkpoints/<step>/config.yaml       the settings, as they were

`files` and `covers` are {name: {"sha256", "size"}}: of the checkpoint's own files, and of what it relies on in the run's
folder. A crash or a full disk at any instant leaves the previous checkpoint untouched. The manifest is needed because
torch.load notices a truncated file but reads a flipped bit silently.
"""

import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...durable import sync, sync_folder
from ...errors import Damaged, UserError

FORMAT = 2
OLD_FORMAT = 1  # of versions 0.1 and 0.2: a file a part
MANIFEST, LEARNER, REST, SETTINGS = "manifest.json", "learner.pt", "run.pt", "config.yaml"
NAME = re.compile(r"(\d{12})(?:-(\d+))?")
FILE_NAME = re.compile(r"[a-z_]+\.(pt|yaml)")
PLAIN = (bool, int, float, str, bytes, type(None), torch.Size)
NumberGenerator = np.random.Generator | torch.Generator
Hashes = dict[str, dict[str, Any]]  # file name -> {"sha256", "size"}


class CheckpointError(UserError):
    """A checkpoint that cannot be written or read; the message names the file and what is wrong with it."""


class DamagedCheckpoint(CheckpointError, Damaged):
    """A checkpoint that is not what was written."""


@dataclass(frozen=True)
class Content:
    """What a checkpoint is made of, apart from the running parts, so that it can be written while those go on."""

    step: int
    states: dict[str, Any]  # part name -> its state, tensors on the CPU that nobody changes
    settings: str = ""  # YAML
    covers: Hashes | None = None  # files of the run's folder that the states rely on
    is_milestone: bool = False  # made at a phase's end, and kept beside the newest ones


@dataclass(frozen=True)
class Checkpoint:
    """What `load` found. `warnings` names the newer checkpoints that were passed over, and why; `damaged` are those."""

    path: Path
    step: int
    parts: dict[str, Any]  # part name -> its state, tensors on the CPU
    warnings: tuple[str, ...] = ()
    damaged: tuple[Path, ...] = ()


def content(step: int, parts: Mapping[str, Any], **more: Any) -> Content:
    """The parts' states now, in memory of their own.

    A part is a plain nest of dicts, lists, numbers, strings and tensors, or an object with state_dict(), which is copied
    unless it says `state_is_copy`.
    """
    states = {name: _state(part) for name, part in parts.items()}
    for name, state in states.items():
        assert name.isidentifier(), f"part {name!r}: must be an identifier"
        _check_loadable(state, name)
    own = {name for name, part in parts.items() if getattr(part, "state_is_copy", False)}
    return Content(step, {name: state if name in own else _frozen(state) for name, state in states.items()}, **more)


def write(folder: Path, content: Content, keep: int = 2) -> Path:
    """Write one checkpoint into `folder` (the run's checkpoints/) and return its path.

    The newest `keep` stay, and the newest milestone. Raises CheckpointError when it cannot be written (a full disk, say);
    the previous checkpoint is then still there.
    """
    folder = Path(folder)
    temporary = folder / f"{content.step:012d}.tmp"
    try:
        _remove_leftovers(folder)
        temporary.mkdir(parents=True)
        _write_files(temporary, content)
        final = _free_name(folder, content.step)
        temporary.rename(final)
        sync_folder(folder)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a failed write into a RuntimeError
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"{temporary.with_suffix('')}: could not be saved ({_reason(error)}); earlier checkpoints are untouched"
        ) from error
    _prune(folder, final, keep)
    return final


def load(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> Checkpoint:
    """Read the newest checkpoint of `folder` whose every byte is as it was written.

    A damaged one is passed over for the one before it, and named in the answer's warnings. `wanted`: parts that are looked
    for; with the learner alone the rest is not read. Raises CheckpointError if there is none at all or none that is whole.
    """
    folder = Path(folder)
    found = list_checkpoints(folder)
    if not found:
        raise CheckpointError(f"{folder}: holds no checkpoint")
    warnings, damaged = [], []
    for path in reversed(found):
        try:
            step, parts = _read(path, wanted)
        except CheckpointError as error:
            warnings.append(str(error))
            damaged.append(path)
        else:
            return Checkpoint(path, step, parts, tuple(warnings), tuple(damaged))
    raise DamagedCheckpoint("no checkpoint is whole: " + "; ".join(warnings))


def set_aside(damaged: tuple[Path, ...]) -> None:
    """Rename checkpoints that cannot be read, so that they count no more among those that are kept."""
    for path in damaged:
        path.rename(path.with_name(f"{path.name}.damaged"))


def rng_state(generators: dict[str, NumberGenerator] | None = None) -> dict[str, Any]:
    """The state of Python's, numpy's and torch's global generators and of the given numpy or torch ones, ready for `save`."""
    return {
        "python": random.getstate(),
        "numpy": _plain(np.random.get_state(legacy=False)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "generators": {name: _generator_state(generator) for name, generator in (generators or {}).items()},
    }


def set_rng_state(state: dict[str, Any], generators: dict[str, NumberGenerator] | None = None) -> None:
    """Put `rng_state` back, into the given generators in place; their names must be the ones that were saved.

    CUDA states are put back only onto as many devices as they came from: on another machine there is nothing to
    continue exactly.
    """
    generators = generators or {}
    if set(generators) != set(state["generators"]):
        raise CheckpointError(f"generators: saved {sorted(state['generators'])}, asked for {sorted(generators)}")
    random.setstate(state["python"])
    if "numpy" in state:  # version 0.2 did not keep it
        np.random.set_state(_restored(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
    for name, generator in generators.items():
        _set_generator_state(generator, state["generators"][name])


class RandomStates:
    """Python's, numpy's and torch's global generators and a run's own, as one part of a checkpoint."""

    def __init__(self, generators: dict[str, NumberGenerator]):
        self.generators = generators

    def state_dict(self) -> dict[str, Any]:
        return rng_state(self.generators)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        set_rng_state(state, self.generators)


def _plain(state: Any) -> Any:
    """numpy's arrays as tensors."""
    if isinstance(state, np.ndarray):
        return torch.from_numpy(state.astype(np.int64))
    return {key: _plain(value) for key, value in state.items()} if isinstance(state, dict) else state


def _restored(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.numpy().astype(np.uint32)
    return {key: _restored(value) for key, value in state.items()} if isinstance(state, dict) else state


def _generator_state(generator: NumberGenerator) -> Any:
    return generator.get_state() if isinstance(generator, torch.Generator) else generator.bit_generator.state


def _set_generator_state(generator: NumberGenerator, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        if len(state) == len(generator.get_state()):  # else it ran on another kind of device: nothing to go on from
            generator.set_state(state)
    else:
        generator.bit_generator.state = state


def _state(part: Any) -> Any:
    return part.state_dict() if hasattr(part, "state_dict") else part


def _check_loadable(value: Any, where: str) -> None:
    """Refuse, before anything is written, what weights_only would refuse only at the resume."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_loadable(key, f"the keys of {where}")
            _check_loadable(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple, set):
        for index, item in enumerate(value):
            _check_loadable(item, f"{where}[{index}]")
    else:  # exact types: np.float64 is a float to isinstance, and not to weights_only
        assert isinstance(value, torch.Tensor) or type(value) in PLAIN, f"{where}: {type(value)} cannot be loaded back"


def _frozen(value: Any) -> Any:
    """The same with tensors of its own on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return type(value)(_frozen(item) for item in value) if type(value) in (list, tuple) else value


def _write_files(temporary: Path, content: Content) -> None:
    states = dict(content.states)
    files: Hashes = {}
    if "learner" in states:
        files[LEARNER] = _write_part(temporary / LEARNER, states.pop("learner"))
    files[REST] = _write_part(temporary / REST, states)
    if content.settings:
        with open(temporary / SETTINGS, "w") as file:
            file.write(content.settings)
            sync(file)
        files[SETTINGS] = hashed(temporary / SETTINGS)
    with open(temporary / MANIFEST, "w") as file:
        head = {"format": FORMAT, "step": content.step, "is_milestone": content.is_milestone}
        manifest = head | {"files": files, "covers": content.covers or {}}
        json.dump(manifest | {"sha256": _sha256_of(manifest)}, file, indent=1)
        sync(file)
    sync_folder(temporary)


def _write_part(path: Path, state: Any) -> dict[str, Any]:
    with open(path, "wb") as file:
        torch.save(state, file)
        sync(file)
    return hashed(path)


def hashed(path: Path) -> dict[str, Any]:
    """{"sha256", "size"} of a file."""
    return {"sha256": _sha256(path), "size": path.stat().st_size}


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the checkpoint in folder `path`, checked as far as it can be by itself. CheckpointError."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        written = manifest.pop("sha256", None)  # an older version's has none
        if written is not None and written != _sha256_of(manifest):
            raise ValueError("sha256 differs")
        step, files = manifest["step"], manifest["files"]
        known = manifest["format"] in (FORMAT, OLD_FORMAT) and isinstance(files, dict)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path / MANIFEST}: not readable ({_reason(error)})") from error
    if not known or step != _order(path)[0]:
        raise DamagedCheckpoint(f"{path / MANIFEST}: not a manifest of format {FORMAT} for this folder's step")
    strange = [name for name in files if not FILE_NAME.fullmatch(name)]
    if strange or (manifest["format"] == FORMAT and REST not in files):
        raise DamagedCheckpoint(
            f"{path / MANIFEST}: names {strange or sorted(files)}, which are not a checkpoint's files"
        )
    return manifest


def _read(path: Path, wanted: Callable[[str], bool]) -> tuple[int, dict[str, Any]]:
    manifest = read_manifest(path)
    files = manifest["files"]
    for name, expected in files.items():  # all hashes before any unpickling
        check_file(path / name, expected)
    if manifest["format"] == OLD_FORMAT:
        return manifest["step"], {Path(name).stem: _load_part(path / name) for name in files if wanted(Path(name).stem)}
    parts = {"learner": _load_part(path / LEARNER)} if wanted("learner") and LEARNER in files else {}
    if any(wanted(name) for name in ("progress", "rng")):
        parts |= _load_part(path / REST)
    return manifest["step"], parts


def check_file(path: Path, expected: dict[str, Any]) -> None:
    """CheckpointError unless the file is what it was when `expected` was taken of it."""
    try:
        size = path.stat().st_size
        if size != expected["size"]:
            raise DamagedCheckpoint(f"{path}: {size} bytes, {expected['size']} were written")
        if _sha256(path) != expected["sha256"]:
            raise DamagedCheckpoint(f"{path}: its content is not what was written (sha256 differs)")
    except (OSError, KeyError, TypeError) as error:
        raise DamagedCheckpoint(f"{path}: cannot be checked ({_reason(error)})") from error


def _load_part(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a whole file that torch refuses: another version's, with many types of error
        raise DamagedCheckpoint(f"{path}: torch cannot read it ({_reason(error)})") from error


def _order(path: Path) -> tuple[int, int]:
    match = NAME.fullmatch(path.name)
    assert match, f"{path}: not the name of a checkpoint"
    return int(match[1]), int(match[2] or 0)


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished ones in the order they were made; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if NAME.fullmatch(path.name)), key=_order)


def _free_name(folder: Path, step: int) -> Path:
    """<step>, or <step>-1 and on where it is taken: a folder with files in it cannot be replaced in one rename."""
    taken = [_order(path)[1] for path in list_checkpoints(folder) if _order(path)[0] == step]
    return folder / (f"{step:012d}-{max(taken) + 1}" if taken else f"{step:012d}")


def _remove_leftovers(folder: Path) -> None:
    """Remove what a crash left half written."""
    for path in folder.glob("*.tmp"):
        shutil.rmtree(path)


def _prune(folder: Path, newest: Path, keep: int) -> None:
    """Keep `newest`, those before it up to `keep`, and the newest milestone. Later steps belong to a future that a resume
    has abandoned."""
    found = list_checkpoints(folder)
    until = found[: found.index(newest) + 1]
    kept = set(until[-keep:]) | set([path for path in until if _is_milestone(path)][-1:])
    for path in found:
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _is_milestone(path: Path) -> bool:
    try:
        return bool(read_manifest(path).get("is_milestone"))
    except CheckpointError:
        return False


def _sha256_of(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error.__context__
    known = cause if isinstance(cause, OSError) and not isinstance(error, OSError) else error
    return (str(known) or type(known).__name__).splitlines()[0]
