"""Which type each operation of an update has under autocast: products in bfloat16, what rounding would hurt in float32."""

import importlib
import sys
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tandem.envs.records import Spaces
from tandem.training.build import make_learner
from tandem.training.learner import Learner
from tandem.training.settings import load_config

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks" / "gpu"))
fake_cuda = importlib.import_module("fake_cuda")

PRODUCTS = ("addmm", "mm", "bmm", "baddbmm", "convolution")
IN_FLOAT32 = {
    "norms": ("rsqrt", "_fused_rms_norm", "mean", "pow"),
    "softmax": ("_softmax", "_log_softmax", "logsumexp", "cumsum", "log", "exp"),
    "two-hot": ("searchsorted", "gather", "index"),
    "the recurrent state": ("tanh", "lerp"),
    "losses and images": ("binary_cross_entropy_with_logits", "sigmoid", "log1p"),
    "returns": ("sort", "lerp_"),
    "optimisers": ("_foreach_norm", "_foreach_addcmul_", "_foreach_lerp_", "_foreach_sub_"),
}


class TypesOfOperations(TorchDispatchMode):
    """Operation -> the types of real numbers that it was given."""

    def __init__(self):
        super().__init__()
        self.found: dict[str, set[torch.dtype]] = defaultdict(set)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [one for one in tree_leaves((args, kwargs or {})) if isinstance(one, Tensor)]
        self.found[func.overloadpacket.__name__] |= {one.dtype for one in tensors if one.is_floating_point()}
        return func(*args, **(kwargs or {}))


def learner_of(mode: str) -> tuple[Learner, tuple]:
    """With vectors, categories, images, numbers and choices; and inputs."""
    torch.manual_seed(0)
    config = load_config([*fake_cuda.SMALL, *fake_cuda.MODES[mode]])
    spaces = Spaces(fake_cuda.OBSERVATIONS["both"], 6, (2, 3))
    learner = make_learner(config, spaces, torch.device("cpu"))
    learner.is_bfloat16 = True
    return learner, fake_cuda.inputs(config, spaces, "cpu")


def test_products_are_in_bfloat16_and_what_rounding_would_hurt_in_float32():
    learner, inputs = learner_of("decoupled")
    with TypesOfOperations() as types:
        loss, metrics, latent = learner.backward(*inputs)
        for optimizer in learner.optimizers.values():
            optimizer.step(is_live=loss.isfinite())
    for name in PRODUCTS:
        assert types.found[name] == {torch.bfloat16}, name
    found = {name: types.found[name] for names in IN_FLOAT32.values() for name in names if name in types.found}
    assert {name for name, kinds in found.items() if kinds != {torch.float32}} == set()
    assert len(found) > 15, "most of these operations are there"
    results = [loss, latent.deter, latent.stoch, *metrics.values()]
    grads = [p.grad for model in learner.models() for p in model.parameters() if p.grad is not None]
    assert {one.dtype for one in (*results, *grads)} == {torch.float32}
