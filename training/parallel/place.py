"""Where this process stands among those that a launcher such as torchrun started for one run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

NAMES = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
)  # as torchrun sets them, MASTER_ADDR and MASTER_PORT too


@dataclass(frozen=True)
class Place:
    rank: int = 0  # rank 0 is the run; the others only learn
    size: int = 1  # processes in all
    local_rank: int = 0  # among those of this machine
    local_size: int = 1

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """The process is alone unless a launcher says all of it."""
        if not all(name in environ for name in (*NAMES, "MASTER_ADDR", "MASTER_PORT")):
            return cls()
        return cls(*(int(environ[name]) for name in NAMES))
