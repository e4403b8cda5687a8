"""`train.py ... --forecast`: what a run would take, told without making one."""

import os

import torch

from ..build import make_learner, resolve_device, try_out
from ..config import Config
from ..learner import Learner
from ..parallel.place import Place
from ..parallel.team import check_shares
from ..parts.world import World
from ..reports.sinks.begin import check_sinks
from .forecast import bought, foresee


def preview(config: Config) -> None:
    """Print what the money is reckoned to buy, the parameters and each room. The task, the labeler and the allocator are tried, as
    a run does; parameters take no memory. UserError where the run would be refused, for want of room once the lines are printed.
    What only a folder shows, once it is made, is not seen."""
    device = resolve_device(config)
    check_shares(config, Place.of(os.environ))
    check_sinks(config.log.sinks)
    world = try_out(config)
    with torch.device("meta"):
        learner = make_learner(config, world.spaces, torch.device("meta"))
    stock = world.source.num_transitions if world.source else 0
    foreseen = foresee(config, world.spaces, learner, device, stock)
    for line in (*reckoned(config, world, learner), *(f"{name}: {room}" for name, room in foreseen.rooms.items())):
        print(line)
    told = foreseen.check(config.run.forecast == "refuse")
    if told.startswith("warning: "):
        print(told)


def reckoned(config: Config, world: World, learner: Learner) -> list[str]:
    """Lines of what a run is made of, before what it takes."""
    transitions, labels = bought(config)
    there = f", {world.source.num_transitions:,} transitions are there" if world.source else ""
    numbers = {
        name: sum(one.numel() for one in model.parameters() if one.requires_grad)
        for name, model in learner.models_by_name().items()
    }
    return [
        *(f"warning: {note}" for note in world.notes),
        f"reckoned with: {transitions:,} transitions and {labels:,} labels to buy{there}",
        f"parameters: {learner.num_parameters:,} ({', '.join(f'{name} {number:,}' for name, number in numbers.items())})",
    ]
