"""Where a run keeps its files."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

SAVED_AS = "config.yaml"  # its presence makes a folder a run


@dataclass(frozen=True)
class RunConfig:
    root: str = "runs"
    dir: str = ""  # the run's folder; empty: root/task/name
    name: str = ""  # empty: the time of the start in UTC and the seed

    def named(self, task: str, seed: int, now: datetime) -> "RunConfig":
        """With dir and name filled in; `now` is in UTC."""
        name = self.name or f"{now:%Y%m%d-%H%M%S}-s{seed}"
        folder = self.dir or str(Path(self.root) / task.replace(":", "_").replace("/", "_") / name)
        return replace(self, name=name, dir=folder)
