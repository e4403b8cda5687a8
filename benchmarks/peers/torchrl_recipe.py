"""torchrl's own DreamerV3 recipe, which its wheel carries: its learner and its update, eager as its `auto` has it on a CPU."""

import importlib
import sys
from pathlib import Path

import torch
import torchrl
from omegaconf import OmegaConf
from tensordict import TensorDict
from torchrl.data import Bounded, Composite, Unbounded
from torchrl.envs import EnvBase

from peers.shapes import ACTIONS, BATCH, LENGTH, SIDE, SIZES, VECTORS, Size, Subject

PARTS = ("encoder", "rssm", "decoder", "reward", "cont")  # of its world model, in its order
VECTOR, IMAGE = sum(VECTORS.values()), (3, SIDE, SIDE)


class Walker(EnvBase):
    """The recipe asks an environment for its spaces. It is never played."""

    def __init__(self, **_):
        super().__init__(device="cpu", batch_size=torch.Size([]))
        self.observation_spec = Composite(observation=Unbounded((VECTOR,)))
        self.action_spec = Bounded(-1.0, 1.0, (ACTIONS,))
        self.reward_spec = Unbounded((1,))

    def _set_seed(self, seed):
        pass

    def _reset(self, tensordict=None, **_):
        raise NotImplementedError

    _step = _reset


def make(name: str, size: str, observations: str, folder: str) -> Subject:
    sys.path.insert(0, str(Path(torchrl.__file__).parents[1] / "sota-implementations" / "dreamer_v3"))
    recipe, device, is_pixels = importlib.import_module("train"), torch.device("cpu"), observations != "vector"
    config = settings(SIZES[size])
    learner = recipe._build_learner(config, device, *((0, ACTIONS, IMAGE) if is_pixels else (VECTOR, ACTIONS)))
    stepper, data = recipe._make_learner_update(config, device, learner), sample(SIZES[size], is_pixels)
    parts = {part: list(module.parameters()) for part, module in zip(PARTS, learner.world_model.module, strict=True)}
    parts["value"] = list(learner.value_loss.parameters())
    counted = {id(one) for tensors in parts.values() for one in tensors}
    parts["actor"] = [one for one in learner.optimizer.param_groups[0]["params"] if id(one) not in counted]
    return Subject(lambda: stepper.step(None, data), parts, f"torchrl {torchrl.__version__}")


def settings(size: Size):
    latent = {"rnn_hidden_dim": size.deter, "num_categoricals": size.groups, "num_classes": size.classes}
    sizes = {"networks": {**latent, "hidden_dim": size.hidden, "image_depth": size.depth}}
    unused = {"env": {"seed": 0, "use_seed": True, "max_episode_steps": 1000}, "collector": {"num_envs": 1}}
    return OmegaConf.merge(OmegaConf.load(Path(__file__).with_suffix(".yaml")), sizes, unused)


def sample(size: Size, is_pixels: bool) -> TensorDict:
    shape = (BATCH, LENGTH)
    pixels = {"pixels": torch.randint(256, (*shape, *IMAGE)).to(torch.uint8)} if is_pixels else {}
    obs = pixels or {"observation": torch.randn(*shape, VECTOR)}
    marks = {key: torch.zeros(*shape, 1, dtype=torch.bool) for key in ("done", "terminated", "truncated")}
    latent = {"state": torch.zeros(*shape, size.groups * size.classes), "belief": torch.zeros(*shape, size.deter)}
    root = {**latent, "action": torch.randn(*shape, ACTIONS).clamp(-1, 1), "is_init": marks["done"].clone()}
    return TensorDict({**root, "next": {**obs, **marks, "reward": torch.randn(*shape, 1)}}, shape)
