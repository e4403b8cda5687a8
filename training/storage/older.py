"""Journals of versions 0.1 and 0.2, a file for every chunk, brought into today's logs. The old folders stay beside them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ...durable import sync_folder
from ...envs.vault import KIND as REWARDS
from ...frames import FrameLog
from ...worldmodel.replay.journal.npz import ChunkError, read_npz
from ...worldmodel.replay.journal.transitions import KIND as TICKS
from .archive import damage_of_archive
from .folder import RunFolder

Row = tuple[str, dict[str, np.ndarray], dict]  # kind, arrays and values of a frame
NEW, OLD = ".new", ".version-0.2"  # endings of a folder that is being made, and of the one that it replaces
LABELS = {"key": "key", "tier": "tier", "segment": "clip", "is_uniform": "is_uniform"}  # an old name -> today's

ADDED = {  # version -> settings that a config.yaml of the versions before it lacks, and that have their defaults there
    "0.3": (
        "envs.observe",
        "envs.cameras",
        "envs.render",
        "envs.atari.sticky",
        "envs.atari.noops",
        "envs.atari.lives",
        "envs.atari.actions",
        "envs.atari.grey",
        "envs.size",
        "envs.keys",
        "envs.kwargs",
        "envs.timeout",
        "envs.patience",
        "evaluate.borrow",
        "replay.latents",
        "replay.storage",
        "replay.folder",
        "run.forecast",
        "dynamics.images.depth",
        "dynamics.images.topology",
        "checkpoint.every_minutes",
        "checkpoint.keep",
        "log.every_updates",
        "log.films",
        "log.sinks",
        "measure.refit_steps",
        "labeler.kind",
        "labeler.length",
        "labeler.anchors",
        "labeler.ahead",
        "labeler.patience",
        "labeler.refusals",
        "labeler.per_phase",
        "labeler.wage",
        "labeler.fee",
        "labeler.ceiling",
        "labeler.low",
        "labeler.high",
        "labeler.huber",
        "labeler.prompt",
        "labeler.anchor_prompt",
        "labeler.look",
        "labeler.command",
        "labeler.url",
        "labeler.timeout",
        "labeler.retries",
        "labeler.parallel",
        "runtime.execution",
        "data.labels",
        "data.transitions",
        "data.price_transition",
        "data.price_label",
        "data.collect",
    ),
}


def bring_over(folder: RunFolder) -> bool:
    """Whether there was something to do. A crash leaves either journal of each kind whole, and can be followed by this."""
    todo: list[tuple[Path, Callable[[Path], Iterator[Row]]]] = [
        (folder.transitions, _chunks),
        (folder.labels, _labels),
        (folder.vault, _rewards),
    ]
    done = [_replace(path, rows) for path, rows in todo]  # all of them, and not only until the first
    return any(done)


def _replace(path: Path, rows: Callable[[Path], Iterator[Row]]) -> bool:
    new, old = path.with_name(path.name + NEW), path.with_name(path.name + OLD)
    if path.exists():
        if not any(path.glob("*.npz")):
            return False
        for file in new.glob("*.log"):
            file.unlink()  # what a crash left half made
        log = FrameLog(new)
        new.mkdir(exist_ok=True)
        for kind, arrays, values in rows(path):
            log.append(kind, arrays, **values)
        log.sync()
        log.close()
        os.replace(path, old)
    elif not new.exists():
        return False
    os.replace(new, path)
    sync_folder(path.parent)
    return True


def _chunks(folder: Path) -> Iterator[Row]:
    for path in sorted(one for one in folder.glob("*.npz") if one.stem.isdigit()):
        arrays = read_npz(path)
        kept = {name: values for name, values in arrays.items() if name != "units" and not name.startswith("origin/")}
        yield TICKS, kept, {"key": path.stem, "units": int(arrays["units"])}


def _labels(folder: Path) -> Iterator[Row]:
    for path in sorted(folder.glob("asked-*.npz")):
        arrays = read_npz(path)
        named = {f"asked/{new}": arrays[old] for old, new in LABELS.items()}
        yield "asked", named | {name: one for name, one in arrays.items() if name.startswith("copy/")}, {"call": 0}
    for kind, number in (("answers", "value"), ("declined", "reason")):
        for path in sorted(folder.glob(f"{kind}-*.npz")):
            arrays = read_npz(path)
            yield "heard", {f"{kind}/{name}": arrays[name] for name in ("key", number)}, {"call": 0}


def _rewards(folder: Path) -> Iterator[Row]:
    for path in sorted(folder.glob("*.npz")):
        if why := damage_of_archive(path):  # they do not name what they hold, as other chunks do
            raise ChunkError(f"{path}: {why}")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                yield REWARDS, {name: arrays[name] for name in ("env", "step", "reward")}, {}
        except (KeyError, ValueError) as error:
            raise ChunkError(f"{path}: holds no true rewards: {error}") from error
