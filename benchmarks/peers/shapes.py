"""What every code base is measured on: sizes of models, and the shapes of walker_walk. Peers read this in their own Python."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

BATCH, LENGTH, HORIZON, ACTIONS = 16, 64, 15, 6
VECTORS = {"orientations": 14, "height": 1, "velocity": 9}
SIDE = 64  # of an image


@dataclass(frozen=True)
class Size:
    deter: int
    hidden: int  # and the units of every head
    groups: int
    classes: int
    depth: int  # of the convolutions


SIZES = {"small": Size(256, 128, 16, 16, 8), "1m": Size(512, 64, 32, 4, 4), "12m": Size(2048, 256, 32, 16, 16)}


@dataclass(frozen=True)
class Subject:
    """A learner under the clock."""

    update: Callable[[], object]  # one whole update: losses, gradients, optimiser steps, slow critic
    parts: dict[str, list[Tensor]]  # name -> the trained parameters
    version: str
