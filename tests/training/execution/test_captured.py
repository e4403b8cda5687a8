"""Recordings of updates and of the agent's steps, played on the CPU by a stand-in: the same as without, bit for bit."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tandem.agents.actor_critic import ActorCritic, ActorCriticConfig
from tandem.agents.agent import Agent
from tandem.envs.records import ObsSpec, Spaces
from tandem.training.build import build
from tandem.training.execution import execution
from tandem.training.execution.captured import Captured
from tandem.training.execution.execution import Graphed, unchanged
from tandem.training.execution.records import mapped, tensors_of
from tandem.training.learner import Learner
from tandem.training.pace import update
from tandem.training.phases import train
from tandem.training.storage.dumps import Recorder
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel

OBS = {"pose": ObsSpec((3,)), "speed": ObsSpec((2,))}
COUPLED = ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0")
MODES = pytest.mark.parametrize("settings", [(), COUPLED], ids=["decoupled", "coupled"])
CAPS = ("dynamics.spectral_gates=0.5", "actor_critic.spectral_actor=0.02", "dynamics.straighten_scale=0.1")


def graphed(learner: Learner, tape) -> Graphed:
    return Graphed(learner.update, tape, partial(unchanged, learner))


def make_agent(factors: tuple[int, ...]) -> Agent:
    torch.manual_seed(0)
    spaces = Spaces(OBS, action_size=4, factors=factors)
    dynamics = DynamicsModel(DynamicsConfig(deter=16, hidden=8, stoch=3, classes=4, units=8), spaces)
    actor_critic = ActorCritic(ActorCriticConfig(units=8, bins=15), spaces, dynamics.config.feat_size, 0.99)
    torch.nn.init.normal_(actor_critic.actor.out.weight)  # a policy with preferences
    return Agent(dynamics, actor_critic, spaces, seed=0)


def observations(num: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {key: rng.normal(size=(num, *spec.shape)).astype(np.float32) for key, spec in OBS.items()}


def same(ours, theirs) -> bool:
    pairs = zip(tensors_of(ours), tensors_of(theirs), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def everything(learner: Learner) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in learner.tensors()]


def test_the_stand_in_refuses_a_question_and_repeats_what_the_host_knew(tape):
    value = torch.ones(2)
    with pytest.raises(RuntimeError, match="not permitted"):
        tape().record(lambda: value.sum().item())
    counted = iter((1.0, 2.0, 3.0))
    recording = tape()
    (result,) = recording.record(lambda: (value * next(counted),))  # 1 to warm up, 2 recorded
    value.fill_(5.0)
    recording.replay()
    assert result.tolist() == [10.0, 10.0]


@MODES
def test_a_recorded_update_is_the_update(inputs_of, tape, settings):
    """With a skipped one among them, and one without a label: what the host does not see, the recording does."""
    learner, inputs = inputs_of(5, *CAPS, *settings)
    other = copy.deepcopy(learner)
    play = graphed(learner, tape)
    batch, labels, noise = inputs[2]
    inputs[2] = replace(batch, prev_action=batch.prev_action * float("nan")), labels, noise
    if labels is not None:
        inputs[3] = inputs[3][0], replace(inputs[3][1], weight=torch.zeros_like(inputs[3][1].weight)), inputs[3][2]
    for number, one in enumerate(inputs):
        ours, theirs = play(*one), other.update(*one)
        assert ours[0].keys() == theirs[0].keys() and ours[0]["train/skipped"] == (number == 2)
        assert number == 2 or (same(ours[0], theirs[0]) and same(ours[1], theirs[1]))
        assert same(tuple(learner.tensors()), tuple(other.tensors()))
    assert learner.skipped == 1 and len(play.captured.recorded) == 1


def test_recording_draws_nothing_and_leaves_the_learner_as_it_was_and_where_it_was(inputs_of, tape):
    learner, inputs = inputs_of(2, "reward.optimizer.warmup=0")
    learner.update(*inputs[0])
    before, where = everything(learner), [tensor.data_ptr() for tensor in learner.tensors()]
    random = torch.get_rng_state()
    with unchanged(learner):
        graphed(learner, tape)(*inputs[1])
        assert not same(tuple(before), tuple(learner.tensors()))
    assert same(tuple(before), tuple(learner.tensors()))
    assert [tensor.data_ptr() for tensor in learner.tensors()] == where
    assert torch.equal(torch.get_rng_state(), random)


def test_moments_that_recording_began_are_those_of_an_optimiser_that_has_not_begun(inputs_of):
    learner, inputs = inputs_of(1)
    with unchanged(learner):
        learner.update(*inputs[0])
    moments = [value for one in learner.optimizers.values() for state in one.state.values() for value in state.values()]
    assert moments and not any(value.any() for value in moments)


def test_nobody_outside_holds_what_the_next_update_overwrites(inputs_of, tape):
    """Neither results nor inputs, which a dump may want later."""
    learner, inputs = inputs_of(3)
    play, recorder = graphed(learner, tape), Recorder()
    given, came, wanted = copy.deepcopy(inputs), [], []
    for number, one in enumerate(inputs):
        recorder.keep(number, *one)
        came.append(play(*one))
        wanted.append(mapped(came[-1], torch.clone))
    assert same(tuple(came), tuple(wanted))
    assert not torch.equal(came[0][1].deter, came[2][1].deter)
    for kept, one in zip(recorder.kept, given[1:], strict=True):
        assert same((kept.batch, kept.labels, kept.noise), one)


def test_a_recording_goes_on_from_a_state_that_is_loaded_later(inputs_of, tape):
    learner, inputs = inputs_of(3)
    other = copy.deepcopy(learner)
    play = graphed(learner, tape)
    saved = [copy.deepcopy(other.state_dict())]  # before the first moment
    for one in inputs[:2]:
        other.update(*one)
    saved.append(copy.deepcopy(other.state_dict()))
    play(*inputs[2])
    for state in saved:
        for one in (learner, other):
            one.load_state_dict(copy.deepcopy(state))
        play(*inputs[1])
        other.update(*inputs[1])
        assert same(tuple(learner.tensors()), tuple(other.tensors()))


def test_arguments_of_another_form_are_recorded_anew_and_the_first_ones_are_kept(tape):
    made = []

    def make():
        made.append(tape())
        return made[-1]

    double = Captured(lambda record: {key: None if value is None else value * 2 for key, value in record.items()}, make)
    two, three = torch.ones(2), torch.ones(3, dtype=torch.float64)
    for value in (two, three, two + 1, three + 1):
        assert torch.equal(double({"a": value, "b": None})["a"], value * 2)
    assert len(made) == 2
    assert double({"a": None, "b": two})["b"].tolist() == [2, 2] and len(made) == 3


@pytest.fixture
def on_tapes(tape, monkeypatch):
    """Runs take recordings although there is no GPU, and find no compiler."""
    tapes = []

    def make():
        tapes.append(tape())
        return tapes[-1]

    def no_compiler(*_):
        raise RuntimeError("no compiler\nwhatever it says then")

    monkeypatch.setattr(execution, "execution_on", lambda *_: "graph")
    monkeypatch.setattr(execution, "graphs", lambda: make)
    monkeypatch.setattr(execution.CompiledUpdate, "__call__", no_compiler)
    return tapes


def begun(run, buy) -> None:
    """Rows, labels, and updates on them."""
    buy(run, 120, 120)
    for _ in range(3):
        update(run)
    run.close()


def test_a_run_begins_on_recordings_as_it_does_without_them(tiny, buy, on_tapes, capsys, monkeypatch):
    """The agent's steps too, with the same random numbers. What cannot be done is said in one line, once."""
    played = build(tiny(folder="played"), is_resumed=False)
    begun(played, buy)
    told = [line for line in capsys.readouterr().out.splitlines() if "runtime.execution" in line]
    assert told == [
        "runtime.execution: graph: parts of the first update are compiled, which takes a minute or more",
        "warning: runtime.execution: a graph of compiled parts cannot be done here, a graph is: no compiler",
    ]
    assert len([one for one in on_tapes if one.operations]) == 2  # of the update, of the agent's step
    monkeypatch.undo()
    eager = build(tiny(folder="eager"), is_resumed=False)
    begun(eager, buy)
    assert eager.execution is eager.learner and played.transitions.fingerprint() == eager.transitions.fingerprint()
    assert same(tuple(played.learner.tensors()), tuple(eager.learner.tensors()))


@pytest.mark.slow
def test_a_whole_run_on_recordings_is_the_run_without_them(
    tiny, on_tapes, whole_run_in, differences, tmp_path, monkeypatch
):
    train(tiny(folder="played"))
    monkeypatch.undo()
    assert differences(whole_run_in(tmp_path / "whole"), tmp_path / "played") == []


def test_an_agent_steps_from_recordings_with_the_random_numbers_that_it_would_draw(tape):
    """For any number of environments, sampled or not; what it remembered earlier stays as it was."""
    agents = [make_agent(factors=(2,)) for _ in range(2)]
    agents[1].step = Captured(agents[1].step, tape)
    states, kept = [None, None], []
    for number, (num, mode) in enumerate([(3, False), (3, False), (3, True), (1, False), (3, False)]):
        obs = observations(num, number)
        if num == 3:
            came = [one.act(obs, state, np.arange(3) == 0, mode) for one, state in zip(agents, states, strict=True)]
            states = [state for _, state in came]
            kept.append((states[1], mapped(states[1], torch.clone)))
        else:
            came = [one.act(obs, mode=mode) for one in agents]
        assert np.array_equal(came[0][0], came[1][0]) and same(came[0][1], came[1][1])
    assert len(agents[1].step.recorded) == 3 and all(same(*pair) for pair in kept)


def test_an_error_of_a_later_update_is_the_callers(tiny, on_tapes, monkeypatch):
    run = build(tiny(), is_resumed=False)
    run.collector.open(120)
    for _ in range(40):
        run.collector.tick(run.agent)
    update(run)
    monkeypatch.setattr(type(on_tapes[-1]), "replay", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        update(run)
    run.close()
