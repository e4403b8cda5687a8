"""`tandem export`: the policy and the reward model of a run's newest checkpoint, as files that need torch alone."""

import io
import json
import os
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from ...durable import whole_file
from ...envs.make import make_env
from ...envs.records import Spaces
from ...envs.spaces.told import told_action, told_data, told_obs
from ...usage import UsageError, file_to_write
from ...worldmodel.fused.elementwise import own_order
from ...worldmodel.observations.images import MOST_IMAGES
from ..build import load_trained
from ..config import Config
from ..parts.world import is_played
from ..settings import trusted_config
from .form import ENTRY, described, policy_form, reward_form
from .programs import PolicyProgram, RewardProgram

MOST = {True: MOST_IMAGES, False: 2**20}  # rows or environments of a call, with images and without
TRACED = 3  # rows or environments of the call that is taken down; any other number of them may come later


def export(arguments: list[str], parser: ArgumentParser, trust: str) -> None:
    """`tandem export ARGUMENTS`. trust: help for --trust. UserError for what a person can set right; nothing is written then."""
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="where to write the policy, such as policy.pt2")
    parser.add_argument("--reward", type=Path, metavar="FILE", help="where to write the reward model")
    parser.add_argument("--sampled", action="store_true", help="actions are drawn, by noise that is handed in")
    parser.add_argument("--trust", action="store_true", help=trust)
    options = parser.parse_args(arguments)
    paths = {name: path for name in ("policy", "reward") if (path := getattr(options, name))}
    places = _places(paths, options.sampled)
    for name, content in exported(options.run, options.trust, [*paths], options.sampled).items():
        with whole_file(places[name]) as file:
            file.write(content)
        print(f"{paths[name]}: the {name} of {options.run}, {len(content) / 1e6:.1f} MB")


def exported(run: Path, is_trusted: bool, names: list[str], is_sampled: bool = False) -> dict[str, bytes]:
    """Name (policy, reward) -> the content of its file, a torch.export program with its description. UserError for a folder
    that is no run, has no checkpoint, or names code of others that is not trusted: the environment, where there is one, is made,
    to tell its spaces.
    """
    config = trusted_config(run, is_trusted)
    models, agent = load_trained(run, is_trusted)
    for model in (models.dynamics, models.reward, models.actor_critic):
        model.requires_grad_(False)  # a stranger asks for numbers, not for gradients
    known = described(config, agent, *_told_spaces(config, agent.spaces))
    forms = {"policy": policy_form(agent, is_sampled), "reward": reward_form(agent, config.labeler.kind)}
    programs = {"policy": PolicyProgram, "reward": RewardProgram}
    return {name: program_bytes(programs[name](agent), known | forms[name]) for name in names}


def _told_spaces(config: Config, spaces: Spaces) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of observations and actions."""
    if not is_played(config):
        return told_data(spaces)
    env = make_env(config.task, config.envs, config.seed)
    try:
        return told_obs(env), told_action(env)
    finally:
        env.close()


def program_bytes(program: nn.Module, form: dict[str, Any]) -> bytes:
    """The program, taken down by a call with tensors of the form that it says it takes, with N and T left free. What is given
    can be loaded."""
    has_images = any(key["kind"] == "image" for key in form["obs"].values())
    free = {name: Dim(name, min=1, max=MOST[has_images]) for name in ("N", "T")}
    takes = form["takes"].values()
    file = io.BytesIO()
    with torch.no_grad(), own_order():
        taken = torch.export.export(
            program.eval(),
            tuple(_example(one) for one in takes),
            dynamic_shapes=tuple(_free(one, free) for one in takes),
            strict=False,
        )
    torch.export.save(taken, file, extra_files={ENTRY: json.dumps(form, indent=1)})
    file.seek(0)
    torch.export.load(
        file
    )  # not everything that can be saved can be loaded: better an error here than a file of no use
    return file.getvalue()


def _example(told: Mapping[str, Any]) -> Any:
    if isinstance(told.get("shape"), list):
        shape = [TRACED if isinstance(side, str) else side for side in told["shape"]]
        return torch.zeros(shape, dtype=getattr(torch, told["dtype"]))
    return {name: _example(one) for name, one in told.items() if isinstance(one, Mapping)}


def _free(told: Mapping[str, Any], free: dict[str, Any]) -> Any:
    if isinstance(told.get("shape"), list):
        return {axis: free[side] for axis, side in enumerate(told["shape"]) if isinstance(side, str)}
    return {name: _free(one, free) for name, one in told.items() if isinstance(one, Mapping)}


def _places(paths: dict[str, Path], is_sampled: bool) -> dict[str, Path]:
    """Where the files are written. UsageError where they cannot be, before anything takes time."""
    if not paths:
        raise UsageError("--policy FILE or --reward FILE: what to export, got neither")
    if is_sampled and "policy" not in paths:
        raise UsageError("--sampled: is about --policy FILE, which is not asked for")
    if len({os.path.realpath(path) for path in paths.values()}) < len(paths):
        raise UsageError(f"--reward {paths['reward']}: the policy goes there, choose another file")
    return {name: file_to_write(f"--{name}", path) for name, path in paths.items()}
