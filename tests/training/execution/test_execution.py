"""Which execution is taken, and that compiled updates are updates."""

import copy

import pytest
import torch

from tandem.training.build import build
from tandem.training.config import ConfigError
from tandem.training.execution.attempts import Attempts
from tandem.training.execution.compiled import CompiledUpdate
from tandem.training.execution.execution import RuntimeConfig, execution_on, make_execution
from tandem.training.learner import Learner
from tandem.worldmodel.rssm import RSSM

COUPLED = ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0")
MODES = pytest.mark.parametrize("settings", [(), COUPLED], ids=["decoupled", "coupled"])


def gradients(learner: Learner) -> list[torch.Tensor]:
    return [p.grad for model in learner.models() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    "asked, device, taken",
    [
        ("auto", "cpu", "eager"),
        ("auto", "cuda", "graph"),
        ("eager", "cuda", "eager"),
        ("compile", "cpu", "compile"),
        ("graph", "cuda", "graph"),
    ],
)
def test_auto_is_a_graph_on_a_gpu_alone(asked, device, taken):
    assert execution_on(RuntimeConfig(asked), torch.device(device)) == taken


def test_a_graph_without_a_gpu_is_refused_before_anything_is_made(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"^runtime\.execution: graph needs a GPU, got device=cpu"):
        build(tiny("device=cpu", "runtime.execution=graph"), is_resumed=False)
    assert not (tmp_path / "run").exists()


def test_the_first_way_that_works_is_taken_and_each_that_does_not_is_told_once():
    told, undone = [], []

    class Undoing:
        def __enter__(self):
            pass

        def __exit__(self, *_):
            undone.append(state.pop())

    def broken(_):
        state.append("broken")
        raise RuntimeError("no such thing\nand more")

    def works(value):
        state.append(value)
        return value + 1

    state: list = []
    way = Attempts([("one", broken), ("two", works), ("three", broken)], told.append, Undoing)
    assert [way(1), way(2)] == [2, 3] and way.name == "two"
    assert told == ["warning: runtime.execution: one cannot be done here, two is: no such thing"]
    assert undone == ["broken", 1] and state == [1, 2]


def test_the_last_way_is_not_tried_and_its_errors_are_the_callers():
    def broken():
        raise RuntimeError("broken")

    told: list[str] = []
    way = Attempts([("one", broken), ("two", broken)], told.append)
    with pytest.raises(RuntimeError, match="broken"):
        way()
    assert len(told) == 1 and way.name == "two"


@pytest.mark.slow
@MODES
def test_the_whole_forward_pass_is_one_graph_without_a_break(inputs_of, settings):
    """No branch on a value, and nothing that a compiler would have to leave to Python: three models, scans and dreams."""
    learner, (inputs,) = inputs_of(1, *settings)
    traced = torch.compile(learner._losses, fullgraph=True, dynamic=False, backend="eager")
    loss, metrics, latent = traced(*inputs)
    expected, told, after = learner._losses(*inputs)
    assert loss.isclose(expected, rtol=1e-5) and metrics.keys() == told.keys()
    assert latent.deter.allclose(after.deter, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, settings",
    [
        ("aot_eager", ()),
        ("aot_eager", COUPLED),
        ("inductor", ()),  # some minutes
    ],
)
def test_a_compiled_update_is_the_update_to_a_ten_thousandth(monkeypatch, inputs_of, settings, backend):
    """Losses and gradients, from the same noise. Whoever asks the learner later finds its own methods."""
    learned, inner = [], RSSM.scan_by_steps
    monkeypatch.setattr(RSSM, "scan_by_steps", lambda *args: learned.append(torch.is_grad_enabled()) or inner(*args))
    if backend == "inductor":
        cpp_builder = pytest.importorskip("torch._inductor.cpp_builder")
        try:
            cpp_builder.get_cpp_compiler()
        except RuntimeError as error:
            pytest.skip(f"no C++ compiler here: {error}")
    learner, inputs = inputs_of(2, *settings)
    other = copy.deepcopy(learner)
    update = CompiledUpdate(learner, backend)
    for one in inputs:
        learned.clear()
        ours, latent = update(*one)
        assert True in learned, "it learns without its compiled steps"
        theirs, expected = other.update(*one)
        assert all(ours[key].isclose(theirs[key], rtol=1e-4, atol=1e-5) for key in theirs)
        for grad, wanted in zip(gradients(learner), gradients(other), strict=True):
            assert (grad - wanted).norm() <= 1e-4 * wanted.norm().clamp(min=1e-6)
        assert latent.deter.allclose(expected.deter, rtol=1e-4, atol=1e-5)
    assert not {"observe_step", "scan"} & vars(learner.dynamics.rssm).keys() and "forward" not in vars(
        learner.actor_critic
    )


def test_an_eager_execution_is_the_learner_itself(inputs_of):
    learner, _ = inputs_of(1)
    assert make_execution(RuntimeConfig(), learner, torch.device("cpu"), print) is learner
