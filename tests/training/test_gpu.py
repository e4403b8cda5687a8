"""What only a GPU can show; everything else runs on the CPU."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tandem.training.build import build
from tandem.training.execution.execution import RuntimeConfig, make_execution
from tandem.training.learner import Learner
from tandem.training.pace import draw_inputs
from tandem.training.phases import train
from tandem.training.settings import load_config

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

COUPLED = ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0")
MODES = pytest.mark.parametrize("settings", [(), COUPLED], ids=["decoupled", "coupled"])
EXECUTIONS = ("eager", "compile", "graph")


@pytest.fixture
def begun(tiny, buy):
    """begun(number, *settings) -> a learner on the GPU, and inputs of that many updates."""

    def make(number: int, *settings: str) -> tuple[Learner, list]:
        run = build(tiny("device=cuda", "budget.total=1000", "runtime.execution=eager", *settings), is_resumed=False)
        buy(run, 200, 8)
        inputs = [draw_inputs(run)[1:] for _ in range(number)]
        run.close()
        return run.learner, inputs

    return make


def execution_of(name: str, learner: Learner):
    """Without a fallback: whatever cannot be done here fails the test."""

    def refuse(line: str) -> None:
        raise AssertionError(line)

    return make_execution(RuntimeConfig(name), learner, torch.device("cuda"), refuse)


def gradients(learner: Learner) -> list[torch.Tensor]:
    return [p.grad for model in learner.models() for p in model.parameters() if p.grad is not None]


def furthest(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    """The largest distance of two tensors, as a share of their norm."""
    pairs = zip(ours, theirs, strict=True)
    return max(float((one - other).norm() / other.norm().clamp(min=1e-8)) for one, other in pairs)


@MODES
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_an_update_never_waits_for_the_device_and_reaches_every_number(begun, settings, execution):
    learner, inputs = begun(3, *settings)
    way = execution_of(execution, learner)
    for one in inputs[:2]:
        way.update(*one)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        metrics, latent = way.update(*inputs[2])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert latent.deter.is_cuda and all(torch.isfinite(value) for value in metrics.values())
    grads = gradients(learner)
    assert grads and all(torch.isfinite(grad).all() for grad in grads)


@MODES
@pytest.mark.parametrize("execution", ["compile", "graph"])
@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-4), ("bfloat16", 5e-2)])
def test_losses_and_gradients_of_one_update_are_those_of_the_eager_one(
    begun, settings, execution, precision, tolerance
):
    """bfloat16: compiled code keeps more digits between two operations, so draws and losses differ a little."""
    learner, (inputs,) = begun(1, f"precision={precision}", *settings)
    other = copy.deepcopy(learner)
    ours, latent = execution_of(execution, learner).update(*inputs)
    theirs, expected = other.update(*inputs)
    assert ours.keys() == theirs.keys()
    assert all(ours[key].isclose(theirs[key], rtol=tolerance, atol=tolerance) for key in ours), (ours, theirs)
    if precision == "float32":
        assert furthest(gradients(learner), gradients(other)) < tolerance
        assert furthest([latent.deter], [expected.deter]) < tolerance


@MODES
def test_fifty_replays_are_fifty_updates(begun, settings):
    """In float32, warm-up and bias corrections included; a sum in another order may turn a draw."""
    learner, inputs = begun(50, "precision=float32", *settings)
    other = copy.deepcopy(learner)
    way = execution_of("graph", learner)
    for one in inputs:
        way.update(*one)
        other.update(*one)
    counts = [
        {float(state["count"]) for state in one.optimizers["dynamics"].state.values()} for one in (learner, other)
    ]
    assert counts == [{50.0}, {50.0}]
    assert (
        furthest([t.detach().float() for t in learner.tensors()], [t.detach().float() for t in other.tensors()]) < 1e-2
    )


def test_a_graph_takes_at_most_three_times_the_memory(begun):
    learner, inputs = begun(2)
    peaks = []
    for name in ("eager", "graph"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        way = execution_of(name, copy.deepcopy(learner))
        for one in inputs:
            way.update(*one)
        peaks.append(torch.cuda.max_memory_reserved())
    assert peaks[1] < 3 * peaks[0], peaks


@pytest.mark.parametrize("execution", ["eager", "graph"])
def test_a_run_on_the_gpu_finishes_and_goes_on_after_a_resume(tiny, audit, execution):
    config = tiny("device=cuda", f"runtime.execution={execution}")
    train(config)
    more = replace(config, budget=replace(config.budget, total=400.0))
    train(more, resume=Path(config.run.dir))
    assert audit(Path(config.run.dir))["spent"] == 400


@MODES
@pytest.mark.run
def test_the_smoke_preset_runs_on_graphs(tmp_path, settings, capsys):
    train(load_config(["smoke", "device=cuda", f"run.dir={tmp_path / 'run'}", *settings]))
    told = capsys.readouterr().out
    assert "done: " in told and "runtime.execution" not in told
