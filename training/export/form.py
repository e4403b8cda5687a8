"""What stands beside an exported program, as JSON: all that a stranger must know to call it and to play by it."""

from typing import Any

import torch

from ...agents.agent import Agent
from ...envs.records import Spaces
from ...version import __version__
from ..config import Config

FORMAT = 1  # of this description
ENTRY = "tandem.json"  # its name among a program's extra files
DRAWS = 8  # latents that a row's reward is averaged over, as in `Agent.reward`
UNIFORM, NORMAL = "uniform in [0, 1)", "standard normal"
STATE = "zeros before the first call; then what the call before gave"
IS_FIRST = "true where an episode begins: the state is forgotten there"


def described(config: Config, agent: Agent, obs: dict[str, Any], action: dict[str, Any]) -> dict[str, Any]:
    """What both programs have in common. obs, action: as `envs.spaces.told` tells them."""
    specs = agent.spaces.obs
    keys = {
        key: {"kind": spec.kind, "shape": [*spec.shape], "dtype": spec.dtype, "classes": spec.classes} | obs[key]
        for key, spec in specs.items()
    }
    return {
        "format": FORMAT,
        "tandem": __version__,
        "torch": torch.__version__,
        "environment": {
            "task": config.task,
            "kwargs": dict(config.envs.kwargs),
            "repeat": config.envs.repeat,
            "time_limit": config.envs.time_limit,
            "size": config.envs.size,
        },
        "obs": keys,
        "action": {"size": agent.spaces.action_size, "space": action},
    }


def policy_form(agent: Agent, is_sampled: bool) -> dict[str, Any]:
    """What the policy takes, in this order, and what it gives."""
    rssm, spaces = agent.dynamics.rssm, agent.spaces
    deter = rssm.in_deter.weight.shape[1]
    state = _tensors(deter=("N", deter), stoch=("N", rssm.stoch, rssm.classes), action=("N", spaces.action_size))
    noise = (
        _tensors(latent=("N", rssm.stoch))
        if not is_sampled
        else _tensors(latent=("N", rssm.stoch), action=("N", spaces.noise_size))
    )
    noise["latent"] |= {"law": UNIFORM}
    if is_sampled:
        noise["action"] |= {"law": _action_law(spaces)}
    return {
        "program": "policy",
        "actions": "sampled" if is_sampled else "mode",
        "takes": {
            "obs": _obs(spaces, "N"),
            "state": state | {"begins": STATE},
            "is_first": _tensor(("N",), "bool") | {"means": IS_FIRST},
            "noise": noise,
        },
        "gives": ["action", "state"],
    }


def reward_form(agent: Agent, labels: str) -> dict[str, Any]:
    """What the reward model takes, in this order, and what it gives. labels: the kind of the run's questions."""
    rssm, spaces = agent.dynamics.rssm, agent.spaces
    deter = rssm.in_deter.weight.shape[1]
    state = _tensors(deter=(DRAWS, deter), stoch=(DRAWS, rssm.stoch, rssm.classes))
    law = f"{UNIFORM}; a run's own numbers: pieces (draws, 256, S) of a CPU generator that begins with seed 0"
    return {
        "program": "reward",
        "labels": labels,
        "unit": "raw reward, action repeats summed; where labels are pairs without scored clips, its unit and zero mean nothing",
        "takes": {
            "obs": _obs(spaces, "T"),
            "prev_action": _tensor(("T", spaces.action_size)) | {"means": "that led to the row; of a first row any"},
            "is_first": _tensor(("T",), "bool") | {"means": IS_FIRST},
            "state": state | {"begins": STATE},
            "noise": _tensor((DRAWS, "T", rssm.stoch)) | {"law": law},
        },
        "gives": ["mean", "disagreement", "state"],
    }


def _obs(spaces: Spaces, lead: str) -> dict[str, Any]:
    return {key: _tensor((lead, *spec.shape), spec.dtype) for key, spec in spaces.obs.items()}


def _action_law(spaces: Spaces) -> str:
    number, choices = spaces.num_continuous, len(spaces.factors)
    return f"the first {number} {NORMAL}, the last {choices} {UNIFORM}"


def _tensors(**shapes: tuple) -> dict[str, Any]:
    return {name: _tensor(shape) for name, shape in shapes.items()}


def _tensor(shape: tuple, dtype: str = "float32") -> dict[str, Any]:
    return {"shape": [*shape], "dtype": dtype}
