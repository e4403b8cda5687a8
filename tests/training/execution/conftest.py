"""A stand-in for a CUDA graph on the CPU, and a learner with inputs to play it on."""

import importlib
import traceback

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from tandem.training.learner import Learner

begun = importlib.import_module("accidents.poison.updates").begun  # conftest.py above has put benchmarks/ on the path
COUPLED = ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0")
ON_A_CPU_ALONE = ("one_hot", "quantile")  # they read values there to check them, and on a GPU do not


class TapeOfOperations(TorchDispatchMode):
    """A Recording as a CUDA graph is one: replay does every operation again, on the tensors of the recording, with the
    numbers that the host knew then. Python does not run again, and asking a tensor for its value is an error."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def record(self, function):
        function()  # to warm up: what is made at the first call alone must not be made again by every replay
        with self:
            return function()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is torch.ops.aten._local_scalar_dense.default:
            lines = [frame.line or "" for frame in traceback.extract_stack() if "/tests/" not in frame.filename]
            if not any(f"{name}(" in line for name in ON_A_CPU_ALONE for line in lines):
                raise RuntimeError("operation not permitted when stream is capturing")
            return result
        self.operations.append((func, *tree_map(_same_memory, (args, kwargs, result))))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, result in self.operations:
            fresh = func(*args, **kwargs)
            for now, then in zip(tree_leaves(fresh), tree_leaves(result), strict=True):
                # A view or a change in place has its result where it was.
                if isinstance(now, Tensor) and now.data_ptr() != then.data_ptr():
                    then.copy_(now)


def _same_memory(value):
    return value.detach() if isinstance(value, Tensor) else value


@pytest.fixture
def inputs_of(tiny):
    """inputs_of(number, *settings) -> a new learner, and inputs of that many updates on rows and labels just bought."""

    def make(number: int, *settings: str) -> tuple[Learner, list]:
        return begun(tiny("budget.total=1000", *settings), number)

    return make


@pytest.fixture
def tape():
    return TapeOfOperations
