"""`train.py ... --forecast`: what a run would take, told without making one."""

from pathlib import Path

import torch

from ..build import make_learner, resolve_device
from ..config import Config
from ..parts.money import check_pilot
from ..parts.world import look_around
from ..storage.folder import RunFolder
from .forecast import bought, foresee


def preview(config: Config) -> None:
    """Print what the money buys, the parameters and each room. The task is tried, as a run does; parameters take no memory.
    UserError where the run would be refused, for want of room after the lines were printed."""
    world, device = look_around(config, RunFolder(Path(config.run.dir)), is_resumed=False), resolve_device(config)
    stock = world.source.num_transitions if world.source else 0
    check_pilot(config, stock)
    with torch.device("meta"):
        learner = make_learner(config, world.spaces, torch.device("meta"))
    numbers = {name: sum(one.numel() for one in model.parameters()) for name, model in learner.models_by_name().items()}
    foreseen = foresee(config, world.spaces, learner, device, stock)
    print("bought, at most: {:,} transitions, {:,} labels".format(*bought(config)))
    parts = ", ".join(f"{name} {number:,}" for name, number in numbers.items())
    print(f"parameters: {sum(numbers.values()):,} ({parts})")
    for name, room in foreseen.rooms.items():
        print(f"{name}: {room}")
    foreseen.check(config.run.forecast == "refuse")
