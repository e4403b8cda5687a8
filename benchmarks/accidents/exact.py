"""N updates, a stop, a fresh process and N more are 2 N: every mode with every kind of environment, number, pool and latent."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

from . import points
from .comparison import differing
from .lives import changed, live, live_on

CHOICES = {  # name -> settings
    "mode": {
        "decoupled": (),
        "reference": ("mode=coupled", "allocator.name=coupled", "price.label=1", "envs.heldout_share=0"),
    },
    "task": {"dm_control": ("task=dmc_cartpole_swingup",), "gymnasium": ("task=gym:Pendulum-v1",)},
    "envs.num": {"1": ("envs.num=1",), "4": ("envs.num=4",)},
    "pool": {"in process": (), "processes": ("envs.processes=true",)},
    "latents": {"float32": (), "bfloat16": ("replay.latents=bfloat16",)},
}


@dataclass
class Count:
    """What came of runs that were stopped in the middle of their moments and went on in a fresh process."""

    runs: int = 0
    runs_equal: int = 0  # in every parameter, moment, row, random state, booking and metric; 0.0 apart
    faults: list[str] = field(default_factory=list)


def exact(folder: Path, say: Callable[[str], None] = print) -> dict:
    """-> how many combinations there are, and how many were equal."""
    count = Count()
    for name, settings in combinations():
        whole, path = folder / "whole", folder / "stopped"
        moments = points.count(path, settings)
        for old in (whole, path):
            shutil.rmtree(old, ignore_errors=True)
        live_on(whole, settings)
        live(path, settings, prepare=points.stopped_at(moments // 2))
        live_on(path, settings)
        found = differing(whole, path)
        count.runs += 1
        count.runs_equal += not found
        count.faults += [f"{name}: {one}" for one in found[:3]]
        say(f"{name}: {found[:3] or 'equal'}")
    return asdict(count)


def combinations() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name -> settings of every combination."""
    for names in product(*CHOICES.values()):
        chosen = [settings[name] for settings, name in zip(CHOICES.values(), names, strict=True)]
        yield ", ".join(names), changed(*(one for settings in chosen for one in settings))
