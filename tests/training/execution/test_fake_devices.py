"""Updates on tensors that have no numbers: no device is mixed with another, and no value is asked for."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

from tandem.training.learner import Learner

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks" / "gpu"))
fake_cuda = importlib.import_module("fake_cuda")

DEVICES = [
    "meta",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.skipif(torch.version.cuda is None, reason="this build of torch knows no fake CUDA tensors"),
            pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: tests/training/test_gpu.py asks it"),
        ],
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mode, obs, action", [("decoupled", "both", "mixed"), ("coupled", "strided", "continuous")])
def test_an_update_keeps_to_its_device_and_asks_it_for_nothing(device, mode, obs, action):
    assert fake_cuda.fault(device, mode, obs, action) == ""


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "spoil",
    [lambda loss: loss + torch.ones(1), lambda loss: loss * loss.item(), lambda loss: loss if loss > 0 else -loss],
    ids=["a tensor of the CPU", "a question", "a branch"],
)
def test_a_mixed_device_and_a_question_are_found(monkeypatch, device, spoil):
    losses = Learner._losses

    def spoilt(self, *inputs):
        loss, *others = losses(self, *inputs)
        return spoil(loss), *others

    monkeypatch.setattr(Learner, "_losses", spoilt)
    assert "FAILED at" in fake_cuda.fault(device, "coupled", "vector", "discrete")
