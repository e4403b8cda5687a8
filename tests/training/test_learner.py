"""One update: what an update without any label leaves alone, and what one that is not finite does."""

import copy
import importlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tandem.errors import UserError
from tandem.training.learner import Learner
from tandem.training.phases import train
from tandem.training.storage import checkpoint

begun = importlib.import_module("accidents.poison.updates").begun
COUPLED = ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0")


@pytest.fixture
def inputs_of(tiny):
    """inputs_of(number, *settings) -> a new learner, and inputs of that many updates on rows and labels just bought."""

    def make(number: int, *settings: str) -> tuple[Learner, list]:
        return begun(tiny("reward.optimizer.warmup=4", "budget.total=1000", *settings), number)

    return make


def without_labels(batch, labels, noise):
    """The same inputs while nothing has been answered."""
    if labels is None:
        return replace(batch, reward_weight=torch.zeros_like(batch.reward_weight)), None, noise
    return batch, replace(labels, weight=torch.zeros_like(labels.weight)), noise


def reward_state(learner: Learner) -> list[torch.Tensor]:
    """Parameters of the reward model, and all that its optimiser remembers."""
    moments = [value for state in learner.optimizers["reward"].state.values() for value in state.values()]
    return [value.clone() for value in (*learner.reward.state_dict().values(), *moments)]


@pytest.mark.parametrize("spectral", ["null", "0.1"])
def test_the_reward_model_learns_as_if_the_updates_before_its_first_label_had_never_been(inputs_of, spectral):
    """Warm-up and bias correction too. The features it reads are those of the same dynamics model on both sides."""
    late, inputs = inputs_of(6, f"reward.spectral={spectral}")
    prompt = copy.deepcopy(late)
    for one in inputs:
        late.update(*without_labels(*one))
    assert any(
        not torch.equal(*pair) for pair in zip(late.dynamics.parameters(), prompt.dynamics.parameters(), strict=True)
    )
    start, state = copy.deepcopy(prompt.state_dict()), late.state_dict()
    late.load_state_dict(copy.deepcopy({key: (state if "reward" in key else start)[key] for key in start}))
    for learner in (late, prompt):
        for one in inputs:
            learner.update(*one)
    ours, theirs = reward_state(late), reward_state(prompt)
    assert len(ours) >= 20 and all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    assert all(state["count"] == 6 for state in late.optimizers["reward"].state.values())
    assert any(not torch.equal(*pair) for pair in zip(late.reward.parameters(), start["reward"].values(), strict=True))


@pytest.mark.parametrize("settings", [(), COUPLED], ids=["decoupled", "coupled"])
def test_an_update_without_labels_leaves_a_trained_reward_model_and_its_optimiser_alone(inputs_of, settings):
    learner, inputs = inputs_of(4, *settings)
    for one in inputs:
        learner.update(*one)
    before = reward_state(learner)
    metrics, _ = learner.update(*without_labels(*inputs[0]))
    assert metrics["reward/loss"] == 0
    assert all(torch.equal(*pair) for pair in zip(before, reward_state(learner), strict=True))
    learner.update(*inputs[0])
    assert any(not torch.equal(*pair) for pair in zip(before, reward_state(learner), strict=True))
    counts = {name: one.state_dict()["state"][0]["count"] for name, one in learner.optimizers.items()}
    assert counts == {"dynamics": 6, "reward": 5, "actor_critic": 6}


def test_labels_that_are_mostly_noise_move_the_reward_model_by_part_of_a_step(inputs_of):
    clear, inputs = inputs_of(2)
    blurred, start = copy.deepcopy(clear), [p.detach().clone() for p in clear.reward.parameters()]
    for batch, labels, noise in inputs:  # the first step of the warm-up goes nowhere
        clear.update(batch, labels, noise)
        blurred.update(batch, replace(labels, weight=0.125 * labels.weight), noise)
    for before, far, near in zip(start, clear.reward.parameters(), blurred.reward.parameters(), strict=True):
        torch.testing.assert_close(near - before, (far - before) / 8, rtol=1e-3, atol=1e-7)
    for far, near in zip(clear.dynamics.parameters(), blurred.dynamics.parameters(), strict=True):
        assert torch.equal(far, near), "what else learns takes its whole step"


def everything(learner: Learner) -> list[torch.Tensor]:
    """All that an update may change: parameters, buffers, and what the optimisers remember."""
    moments = [v for one in learner.optimizers.values() for state in one.state.values() for v in state.values()]
    states = [value for model in learner.models() for value in model.state_dict().values()]
    return [value.clone() for value in (*states, *moments)]


def poisoned(place: str, value: float, batch, labels, noise):
    """The inputs with one number that is not finite."""
    if place == "observation":
        obs = {key: one.clone() for key, one in batch.obs.items()}
        next(iter(obs.values()))[0, 1] = value
        return replace(batch, obs=obs), labels, noise
    if place == "action":
        prev_action = batch.prev_action.clone()
        prev_action[1, 2] = value
        return replace(batch, prev_action=prev_action), labels, noise
    if place == "latent":
        start = batch.start_deter.clone()
        start[:] = value
        return replace(batch, start_deter=start, is_first=torch.zeros_like(batch.is_first)), labels, noise
    if labels is None:
        return replace(batch, reward=batch.reward + value, reward_weight=torch.ones_like(batch.reward)), None, noise
    return batch, replace(labels, value=labels.value + value), noise


@pytest.mark.parametrize("settings", [(), COUPLED])
@pytest.mark.parametrize("place", ["observation", "action", "latent", "label"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("after", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_an_update_that_is_not_finite_changes_nothing(inputs_of, settings, place, value, after):
    learner, inputs = inputs_of(after + 2, *settings)
    for one in inputs[:after]:
        learner.update(*one)
    before = everything(learner)
    metrics, _ = learner.update(*poisoned(place, value, *inputs[after]))
    assert metrics["train/skipped"] == 1 and learner.skipped == learner.skipped_in_a_row == 1
    # What the optimisers had not begun to remember they remember as nothing.
    kept = everything(learner)
    assert all(torch.equal(now, then) for now, then in zip(kept, before, strict=False))
    assert not any(value.any() for value in kept[len(before) :])
    learner.update(*inputs[after + 1])
    assert learner.skipped_in_a_row == 0 and not all(map(torch.equal, everything(learner), kept))


@pytest.mark.parametrize("model", ["dynamics", "reward", "actor_critic"])
def test_a_gradient_that_is_not_finite_changes_nothing(inputs_of, model):
    learner, inputs = inputs_of(2)
    learner.update(*inputs[0])
    before = everything(learner)
    chosen = next(p for p in getattr(learner, model).parameters() if p.requires_grad)
    hook = chosen.register_hook(lambda grad: grad * float("nan"))
    metrics, _ = learner.update(*inputs[1])
    hook.remove()
    assert metrics["train/skipped"] == 1
    assert all(map(torch.equal, everything(learner), before))


@pytest.mark.parametrize("number", [7, pytest.param(100, marks=pytest.mark.slow)])
def test_skipped_updates_are_told_and_a_run_of_them_is_stopped_and_saved(tiny, monkeypatch, capsys, number):
    """The first hundred updates, or seven of them, meet an action that is not finite; a resume without the fault goes on."""
    update, calls = Learner.update, []

    def spoilt(self, batch, labels, noise):
        calls.append(0)
        return update(
            self,
            *(
                poisoned("action", float("nan"), batch, labels, noise)
                if len(calls) <= number
                else (batch, labels, noise)
            ),
        )

    monkeypatch.setattr(Learner, "update", spoilt)
    config = tiny("train.updates=120")
    if number < 100:
        train(config)
    else:
        with pytest.raises(UserError, match=r"^train: 100 updates in a row were skipped.*saved in .*--resume"):
            train(config)
    told = re.findall(r"^warning: (\d+) updates before number \d+ were skipped", capsys.readouterr().out, re.MULTILINE)
    assert sum(map(int, told)) == number
    if number == 100:
        train(config, resume=Path(config.run.dir))
    progress = checkpoint.load(Path(config.run.dir) / "checkpoints").parts["progress"]
    assert progress["updates"] == 120
