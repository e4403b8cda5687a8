"""r2dreamer's own agent with its loss `dreamer`, which is DreamerV3. Not compiled; its float16 is float32 here."""

import importlib
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import torch
from omegaconf import OmegaConf
from tensordict import TensorDict

from peers.shapes import ACTIONS, BATCH, HORIZON, LENGTH, SIDE, SIZES, VECTORS, Size, Subject


def make(name: str, size: str, observations: str, folder: str) -> Subject:
    sys.path.insert(0, folder)
    dreamer = importlib.import_module("dreamer")
    dreamer.autocast = lambda **_: nullcontext()
    vectors = {key: (number,) for key, number in VECTORS.items()}
    shapes = vectors if observations == "vector" else {"image": (SIDE, SIDE, 3)}
    spaces = SimpleNamespace(spaces={key: SimpleNamespace(shape=shape) for key, shape in shapes.items()})
    config = settings(SIZES[size], "image" in shapes, Path(folder) / "configs" / "model")
    agent = dreamer.Dreamer(config, spaces, SimpleNamespace(shape=(ACTIONS,))).to("cpu")
    latent = torch.zeros(BATCH, SIZES[size].groups, SIZES[size].classes), torch.zeros(BATCH, SIZES[size].deter)
    data = sample(shapes)
    replay = SimpleNamespace(sample=lambda: (data.copy(), None, latent), update=lambda *_: None)  # not under the clock
    parts: dict = {}
    for key, parameter in agent._named_params.items():
        parts.setdefault(key.partition(".")[0], []).append(parameter)
    return Subject(lambda: agent.update(replay), parts, "r2dreamer")


def settings(size: Size, is_pixels: bool, models: Path):
    """Its own with our sizes. The learning rate is full at once, so that three updates move every parameter."""
    sizes = {"deter": size.deter, "hidden": size.hidden, "discrete": size.classes, "depth": size.depth}
    shared = {"rep_loss": "dreamer", "imag_horizon": HORIZON, "compile": False, "warmup": 0}
    changes = {**sizes, **shared, "units": size.hidden, "rssm": {"stoch": size.groups}}
    model = OmegaConf.merge(*(OmegaConf.load(models / f"{one}.yaml") for one in ("_base_", "size12M")), changes)
    keys = {"mlp_keys": "$^", "cnn_keys": "image"} if is_pixels else {"mlp_keys": ".*", "cnn_keys": "$^"}
    return OmegaConf.create({"device": "cpu", "env": {"encoder": keys, "decoder": keys}, "model": model}).model


def sample(shapes: dict[str, tuple[int, ...]]) -> TensorDict:
    shape = (BATCH, LENGTH)
    obs = {key: torch.randn(*shape, *one) for key, one in shapes.items()}
    if "image" in obs:
        obs["image"] = torch.randint(256, obs["image"].shape).to(torch.uint8)
    marks = {key: torch.zeros(*shape, 1, dtype=torch.bool) for key in ("is_last", "is_terminal")}
    marks["is_first"] = torch.zeros(shape, dtype=torch.bool)
    action = torch.randn(*shape, ACTIONS).clamp(-1, 1)
    return TensorDict({**obs, **marks, "action": action, "reward": torch.randn(*shape, 1)}, shape)
