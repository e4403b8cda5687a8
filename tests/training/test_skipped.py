"""An update that is not finite, whatever made it so: each loss, each gradient, each input. It changes nothing, and is told."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import tandem.agents.actor_critic
from tandem.training.build import build
from tandem.training.learner import Learner
from tandem.training.pace import draw_inputs

DECOUPLED = ("dynamics.straighten_scale=0.1", "dynamics.spectral_gates=0.5", "dynamics.spectral_prior=0.5")
DECOUPLED += ("reward.spectral=0.02", "actor_critic.spectral_actor=0.02")  # reached after an update or two
COUPLED = ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0", *DECOUPLED)
MODES = pytest.mark.parametrize("settings", [DECOUPLED, COUPLED], ids=["decoupled", "coupled"])
NUMBERS = pytest.mark.parametrize("number", [float("nan"), float("inf")])


@pytest.fixture
def trained(tiny):
    """trained(settings) -> a learner of every term and every cap after three updates, and the inputs of three more."""

    def make(settings: tuple[str, ...]) -> tuple[Learner, list]:
        rate = [f"{part}.optimizer.warmup=0" for part in ("dynamics", "reward", "actor_critic")]
        run = build(tiny("budget.total=1000", *rate, *settings), is_resumed=False)
        run.collector.open(120)
        for _ in range(40):
            run.collector.tick(run.agent)
        run.collector.close()
        run.desk.ask(120, run.numpy_rng)  # every row, so that every batch has labels
        run.desk.collect()
        inputs = [draw_inputs(run)[1:] for _ in range(6)]
        run.close()
        for one in inputs[:3]:
            run.learner.update(*one)
        assert run.learner.skipped == 0 and run.learner.is_finite()
        return run.learner, inputs[3:]

    return make


def everything(learner: Learner) -> dict[str, torch.Tensor]:
    """All that an update may change but the counters of skipped ones, by name."""
    state = learner.state_dict()
    kept = {f"{name}.{key}": value for name in learner.models_by_name() for key, value in state[name].items()}
    for name in learner.optimizers:
        for place, moments in state[f"{name}_optimizer"]["state"].items():
            kept |= {f"{name}_optimizer.{place}.{key}": value for key, value in moments.items()}
    return {name: value.clone() for name, value in kept.items()}


def assert_skipped(learner: Learner, inputs: tuple, what: str) -> None:
    """The update with these inputs changes no number, and is counted."""
    before, skipped = everything(learner), int(learner.skipped)
    metrics, _ = learner.update(*inputs)
    after = everything(learner)
    assert metrics["train/skipped"] == 1 and learner.skipped == skipped + 1, what
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == [], what


def assert_learns(learner: Learner, inputs: tuple) -> None:
    before = everything(learner)
    metrics, _ = learner.update(*inputs)
    after = everything(learner)
    assert metrics["train/skipped"] == 0 and learner.skipped_in_a_row == 0
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {*learner.models_by_name(), *(f"{name}_optimizer" for name in learner.optimizers)}


def test_every_part_of_a_learner_is_there_to_be_changed(trained):
    """What the tests below compare: caps and statistics too."""
    learner, inputs = trained(DECOUPLED)
    before = everything(learner)
    assert_learns(learner, inputs[0])
    changed = {name for name, value in everything(learner).items() if not torch.equal(before[name], value)}
    caps = {"dynamics.caps.gates.direction", "dynamics.caps.prior.direction", "reward.cap.direction"}
    assert caps | {"actor_critic.actor_cap.direction", "actor_critic.return_scale.high"} <= changed
    assert any(name.startswith("actor_critic.slow_critic") for name in changed)


@MODES
@NUMBERS
def test_no_loss_term_that_is_not_finite_changes_anything(trained, monkeypatch, settings, number):
    learner, inputs = trained(settings)
    terms = learner.dynamics.scales.keys()
    assert {"rec_state", "cont", "dyn", "rep", "straighten"} <= terms

    def spoilt(make: Callable, key: str | int | None = None) -> Callable:
        """`make` with this part of its answer, or all of it, times the number."""

        def made(*arguments):
            answer = make(*arguments)
            if isinstance(answer, dict):
                return answer | {key: answer[key] * number}
            return (answer[0] * number, *answer[1:]) if isinstance(answer, tuple) else answer * number

        return made

    places = [(learner.dynamics, "losses", term) for term in terms]
    places += [(learner.reward, "forward", None), (learner.actor_critic, "replay_value_loss", None)]
    places += [(tandem.agents.actor_critic, name, None) for name in ("weighted_policy_loss", "value_losses")]
    for owner, name, term in places:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, spoilt(getattr(owner, name), term))
            assert_skipped(learner, inputs[0], f"{name} {term or ''}")
    assert learner.skipped == learner.skipped_in_a_row == len(places)
    assert_learns(learner, inputs[1])


@MODES
@NUMBERS
def test_no_gradient_that_is_not_finite_changes_anything(trained, settings, number):
    """One number in the gradient of each parameter tensor in turn."""
    learner, inputs = trained(settings)
    trainable = {
        f"{name}.{key}": p
        for name, model in learner.models_by_name().items()
        for key, p in model.named_parameters()
        if p.requires_grad
    }
    assert len(trainable) > 40

    def spoilt(grad: torch.Tensor) -> torch.Tensor:
        grad = grad.clone()
        grad.view(-1)[-1] = number
        return grad

    for name, p in trainable.items():
        hook = p.register_hook(spoilt)
        assert_skipped(learner, inputs[0], name)
        hook.remove()
    assert learner.skipped == len(trainable)
    assert_learns(learner, inputs[1])


@MODES
@NUMBERS
def test_no_input_that_is_not_finite_changes_anything(trained, settings, number):
    """One number in observations, actions, the latent before the batch, answers: of the batch and of the labels."""
    learner, inputs = trained(settings)
    batch, labels, noise = inputs[0]

    def one_wrong(value: torch.Tensor, where: tuple = (0, -1)) -> torch.Tensor:
        value = value.clone()
        value[where] = number
        return value

    def wrong_windows(windows) -> list:
        shown = [replace(windows, obs=windows.obs | {key: one_wrong(value)}) for key, value in windows.obs.items()]
        shown += [replace(windows, prev_action=one_wrong(windows.prev_action))]
        begun = {"start_deter": one_wrong(windows.start_deter), "is_first": torch.zeros_like(windows.is_first)}
        return [*shown, replace(windows, **begun)]

    spoilt = [(one, labels, noise) for one in wrong_windows(batch)]
    if labels is None:
        spoilt += [(replace(batch, reward=one_wrong(batch.reward)), None, noise)]
    else:
        answers = replace(labels, value=one_wrong(labels.value, (0,)))
        spoilt += [(batch, one, noise) for one in (*wrong_windows(labels), answers)]
    for place, one in enumerate(spoilt):
        assert_skipped(learner, one, f"input {place}")
    assert_learns(learner, inputs[1])


def test_a_learner_knows_a_number_that_is_not_finite_wherever_it_lies(trained):
    learner, _ = trained(DECOUPLED)
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
