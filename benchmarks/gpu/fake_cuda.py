"""Where would an update mix devices, or wait for the GPU? Asked without a GPU, of tensors that have no numbers.

    python benchmarks/gpu/fake_cuda.py            # wants a CUDA build of torch; with another one the last column alone

Every parameter and input is a fake tensor on "cuda", and the whole update runs on them, autocast to bfloat16 as on a GPU. A tensor
of the CPU that slips in, types that do not go together and a question for a value are errors, told with the place. Only the
backward pass needs a real device: there gradients of the right shape stand in, and the same update runs once more, backward pass
and all, on torch's device "meta", in float32.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tandem.envs.records import ObsSpec, Spaces
from tandem.training.build import make_learner
from tandem.training.config import Config
from tandem.training.learner import Learner, Noise
from tandem.training.settings import load_config
from tandem.worldmodel.records import Address, Batch, LabelBatch

SMALL = ("size_nano", "train.updates=10", "train.batch=3", "train.length=5", "train.horizon=3", "train.label_batch=4")
CAPS = ("dynamics.spectral_gates=0.5", "reward.spectral=0.02", "actor_critic.spectral_actor=0.02")
MODES = {
    "decoupled": ("dynamics.straighten_scale=0.1", *CAPS),
    "coupled": ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0"),
}
VECTOR = {"pose": ObsSpec((3,)), "floor": ObsSpec((), classes=4)}
IMAGE = {"eye": ObsSpec((16, 16, 3), kind="image")}
OBSERVATIONS = {"vector": VECTOR, "pixels": IMAGE, "strided": IMAGE, "both": VECTOR | IMAGE}
ACTIONS = {"continuous": (2, ()), "discrete": (3, (3,)), "mixed": (6, (2, 3))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    devices = ["meta"] if torch.version.cuda is None else ["cuda", "meta"]
    print(f"torch {torch.__version__}: updates on {' and '.join(f'fake {device}' for device in devices)}")
    failed = 0
    for mode in MODES:
        for obs in OBSERVATIONS:
            for action in ACTIONS:
                found = {device: fault(device, mode, obs, action) for device in devices}
                words = ", ".join(f"{device} {text or 'clean'}" for device, text in found.items())
                print(f"{mode}, {obs}, {action} actions: {words}", flush=True)
                failed += any(found.values())
    sys.exit(1 if failed else 0)


def fault(device: str, mode: str, obs: str, action: str) -> str:
    """What is wrong with an update there, and where; nothing where all is well."""
    topology = ("dynamics.images.topology=strided",) if obs == "strided" else ()
    config = load_config([*SMALL, *MODES[mode], *topology])
    size, factors = ACTIONS[action]
    spaces = Spaces(OBSERVATIONS[obs], size, factors)
    try:
        learner = made(config, spaces)
        with on(device):
            learner = faked(learner) if device == "cuda" else learner
            learner.update(*inputs(config, spaces, device))
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:  # torch has many for it
        here = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        return f"FAILED at {here[-1].filename}:{here[-1].lineno}: {type(error).__name__}: {error}".splitlines()[0]
    return ""


@contextmanager
def on(device: str) -> Iterator[None]:
    """Where an update can run on `device`, "cuda" without a GPU or "meta"."""
    if device == "meta":
        is_off = mock.patch.object(torch, "is_autocast_enabled", lambda *_: False)  # there is none for meta
        with mock.patch.object(torch, "autocast", lambda *_, **__: nullcontext()), is_off:
            yield
        return
    is_there = mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    has_bfloat16 = mock.patch("torch.cuda.is_bf16_supported", lambda *_: True)
    with FakeTensorMode(), is_there, has_bfloat16, mock.patch.object(Tensor, "backward", lambda _: None):
        yield


def made(config: Config, spaces: Spaces) -> Learner:
    with torch.device("meta"), mock.patch.object(torch, "randn", without_generator(torch.randn)):
        return make_learner(config, spaces, torch.device("meta"))


def faked(learner: Learner) -> Learner:
    """The learner of fake tensors on "cuda", each with a gradient in place of what the backward pass would leave."""
    for module in (part for model in learner.models() for part in model.modules()):
        for name, p in module.named_parameters(recurse=False):
            own = torch.nn.Parameter(torch.empty(p.shape, device="cuda"), p.requires_grad)
            own.grad = torch.empty_like(own) if p.requires_grad else None
            module.register_parameter(name, own)
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda"))
    learner = Learner(*learner.models(), is_bfloat16=True)
    for optimizer in learner.optimizers.values():
        optimizer.zero_grad = lambda set_to_none=True: None
    return learner


def without_generator(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """One of a device that is not there cannot be made."""
    return lambda *shape, generator=None, **kwargs: function(*shape, **kwargs)


def inputs(config: Config, spaces: Spaces, device: str) -> tuple[Batch, LabelBatch | None, Noise]:
    """Zeros of the right shapes and types."""
    train, groups = config.train, config.dynamics.stoch

    def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    def window(count: int, rows: int) -> dict:
        return {
            "obs": {
                key: zeros(count, rows, *spec.shape, dtype=getattr(torch, spec.dtype))
                for key, spec in spaces.obs.items()
            },
            "prev_action": zeros(count, rows, spaces.action_size),
            "is_first": zeros(count, rows, dtype=torch.bool),
            "start_deter": zeros(count, config.dynamics.deter),
            "start_stoch": zeros(count, groups, dtype=torch.long),
        }

    flags = {name: zeros(train.batch, train.length, dtype=torch.bool) for name in ("is_last", "is_terminal")}
    nowhere = Address(*(torch.zeros(0, dtype=torch.long) for _ in range(3)))
    batch = Batch(**window(train.batch, train.length), **flags, address=nowhere)
    count, rows = (0, 1) if config.mode == "coupled" else (train.label_batch, config.labels.burn_in + 1)
    labels = None
    if count:
        value = {"value": zeros(count), "weight": zeros(count), "fold": zeros(count, dtype=torch.long)}
        labels = LabelBatch(**window(count, rows), **value)
    else:
        batch = replace(batch, reward=zeros(train.batch, train.length), reward_weight=zeros(train.batch, train.length))
    starts = train.batch * train.length
    noise = Noise(
        zeros(train.batch, train.length, groups),
        zeros(count, rows, groups),
        zeros(starts, train.horizon, groups),
        zeros(starts, train.horizon, spaces.noise_size),
    )
    return batch, labels, noise


if __name__ == "__main__":
    main()
