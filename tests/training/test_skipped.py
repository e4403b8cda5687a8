"""An update that is not finite, whatever made it so: each loss, each gradient, each input. It changes nothing, and is told."""

import importlib
import math
from pathlib import Path

import pytest
import torch

from tandem.errors import UserError
from tandem.training.learner import Learner
from tandem.training.phases import train
from tandem.training.storage import checkpoint

updates = importlib.import_module("accidents.poison.updates")  # conftest.py has put benchmarks/ on the path

MODES = pytest.mark.parametrize("mode", updates.MODES)
NUMBERS = pytest.mark.parametrize(
    "number",
    [pytest.param(one, marks=() if math.isnan(one) else pytest.mark.slow) for one in updates.NUMBERS],
)


@MODES
@pytest.mark.run
def test_every_part_of_a_learner_is_there_to_be_changed(tmp_path, mode):
    """What the test below compares: caps and statistics too."""
    learner, inputs, _ = updates.trained(tmp_path, updates.MODES[mode], 3)
    before = updates.numbers(learner)
    learner.update(*inputs)
    after = updates.numbers(learner)
    changed = {name for name, value in after.items() if not torch.equal(before[name], value)}
    caps = {"dynamics.caps.gates.direction", "dynamics.caps.prior.direction", "reward.cap.direction"}
    assert caps | {"actor_critic.actor_cap.direction", "actor_critic.return_scale.high"} <= changed
    assert any(name.startswith("actor_critic.slow_critic") for name in changed)
    parts = {*learner.models_by_name(), *(f"{name}_optimizer" for name in learner.optimizers)}
    assert {name.split(".")[0] for name in changed} == parts


@MODES
@NUMBERS
@pytest.mark.run
def test_no_input_loss_term_or_gradient_that_is_not_finite_changes_anything(tmp_path, mode, number):
    """One number in each input, each term and the gradient of each parameter tensor in turn; then it learns again."""
    count = updates.Count()
    updates.poison_learner(count, tmp_path, mode, number, num_updates=3)
    assert count.faults == [] and count.changed == 0 and count.skipped == count.cases
    assert count.parameters[mode] > 40 and count.cases > count.parameters[mode] + 10
    assert count.learns_after == 1


@pytest.mark.run
def test_a_learner_knows_a_number_that_is_not_finite_wherever_it_lies(tmp_path):
    learner, _, _ = updates.trained(tmp_path, updates.TERMS, 3)
    moment = next(iter(learner.optimizers["reward"].state.values()))["nu"]
    places = [next(learner.reward.parameters()), learner.actor_critic.return_scale.low, moment]
    places += [learner.dynamics.caps["gates"].direction, next(learner.actor_critic.slow_critic.parameters())]
    for place in places:
        for number in (float("nan"), float("inf"), -float("inf")):
            value = place.detach().view(-1)
            before = value[-1].clone()
            value[-1] = number
            assert not learner.is_finite()
            value[-1] = before
            assert learner.is_finite()
    next(learner.reward.parameters()).detach().fill_(1e30)
    assert learner.is_finite(), "large numbers are finite, whatever their norm is"


def at_update(monkeypatch, number: int, spoil) -> None:
    """spoil(learner) before the update of this number, counted from 1."""
    update, calls = Learner.update, []

    def spoiling(self, *inputs):
        calls.append(0)
        if len(calls) == number:
            spoil(self)
        return update(self, *inputs)

    monkeypatch.setattr(Learner, "update", spoiling)


def test_a_skipped_update_is_said_at_the_end_of_its_phase(tiny, capsys, monkeypatch):
    """A run of sixteen updates never comes to the hundredth, at which they are counted."""

    def spoil(learner):
        hook = next(learner.reward.parameters()).register_hook(lambda grad: hook.remove() or grad * math.nan)

    at_update(monkeypatch, 4, spoil)
    config = tiny()
    train(config)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 1 and lines[0].startswith("warning: 1 updates before number ")
    learner = checkpoint.load(Path(config.run.dir) / "checkpoints").parts["learner"]
    assert learner["skipped"].tolist() == [0, 0]


@pytest.mark.slow
def test_what_a_poisoned_model_does_is_not_kept_and_the_run_goes_on_without_it(
    tiny, differences, whole_run_in, tmp_path, monkeypatch
):
    """As broken memory would, past every guard: in the middle of a chunk an action is no number."""

    def spoil(learner):
        next(learner.dynamics.parameters()).detach().view(-1)[0] = math.nan

    config = tiny()
    at_update(monkeypatch, 6, spoil)
    with pytest.raises(UserError, match="not saved, a model holds numbers that are not finite; --resume goes on"):
        train(config)
    monkeypatch.undo()
    train(config, Path(config.run.dir))
    assert differences(whole_run_in(tmp_path / "whole"), Path(config.run.dir)) == []
