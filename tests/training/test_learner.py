"""One update: what an update without any label leaves alone."""

import copy
from dataclasses import replace

import pytest
import torch

from tandem.training.build import build
from tandem.training.learner import Learner
from tandem.training.pace import draw_inputs

COUPLED = ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0")


@pytest.fixture
def inputs_of(tiny):
    """inputs_of(number, *settings) -> a new learner, and inputs of that many updates on rows and labels just bought."""

    def make(number: int, *settings: str) -> tuple[Learner, list]:
        run = build(tiny("reward.optimizer.warmup=4", "budget.total=1000", *settings), is_resumed=False)
        run.collector.open(120)
        for _ in range(40):
            run.collector.tick(run.agent)
        run.collector.close()
        run.desk.ask(120, run.numpy_rng)  # every row, so that every batch has labels
        run.desk.collect()
        inputs = [draw_inputs(run)[1:] for _ in range(number)]
        run.close()
        return run.learner, inputs

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
