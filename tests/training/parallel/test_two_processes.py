"""Two processes that share each update learn what one learns from the same batches, and end together."""

import copy
import importlib
import os
import socket
import time
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tandem.training.learner import Learner
from tandem.training.parallel import group as groups
from tandem.training.parallel.follower import follow
from tandem.training.parallel.group import Group, RankLost
from tandem.training.parallel.place import Place
from tandem.training.parallel.team import Team

begun = importlib.import_module("accidents.poison.updates").begun
PARTS = ("dynamics", "reward", "actor_critic")
LEARNING = [f"{part}.optimizer.{key}" for part in PARTS for key in ("lr=1e-3", "warmup=5")]
MODES = {"decoupled": (), "coupled": ("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0")}


@pytest.fixture(params=["decoupled", pytest.param("coupled", marks=pytest.mark.slow)])
def settings(request):
    return MODES[request.param]


@pytest.fixture
def begin(tiny):
    """begin(number, *settings) -> a configuration, its learner, and inputs of so many updates."""

    def make(number: int, *settings: str):
        config = tiny("budget.total=1000", "train.batch=4", "dynamics.free_nats=0.1", *LEARNING, *settings)
        learner, inputs = begun(config, number)
        make_outer_bins_unlikely(learner)
        return config, learner, [weighed_unequally(*one, seed=seed) for seed, one in enumerate(inputs)]

    return make


@torch.no_grad()
def make_outer_bins_unlikely(learner: Learner) -> None:
    """As training does: with even odds for bins up to 5e8 on both sides, the mean is what rounding leaves of their sum."""
    ours, reward = learner.actor_critic, learner.reward
    biases = ((ours.critic.out.bias, ours), (ours.slow_critic.out.bias, ours), (reward.out_bias, reward))
    for bias, model in biases:
        bias.copy_(-2 * model.bins.abs().log1p())


def weighed_unequally(batch, labels, noise, seed: int):
    """The labels of the first half weigh a tenth of those of the second."""
    generator = torch.Generator().manual_seed(seed)

    def weighed(weight: Tensor) -> Tensor:
        factor = torch.rand(weight.shape, generator=generator)
        factor[: len(factor) // 2] *= 0.1
        return weight * factor

    if labels is None:
        return replace(batch, reward_weight=weighed(batch.reward_weight)), None, noise
    return batch, replace(labels, weight=weighed(labels.weight)), noise


def in_a_process(work) -> int:
    """A forked child does it, and ends with 0 where it raised nothing -> its id"""
    if not (child := os.fork()):
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


@pytest.fixture
def two_processes(monkeypatch):
    """two_processes(lead, second=follow) -> how both ended: `lead(team)` at rank 0, `second(place)` at rank 1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)

    def play(lead, second=follow) -> list[int]:
        def leading() -> None:
            team = Team(Group(Place(0, 2, 0, 2)))
            try:
                lead(team)
            finally:
                team.dismiss()

        children = [in_a_process(leading), in_a_process(lambda: second(Place(1, 2, 1, 2)))]
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    return play


def test_fifty_shared_updates_are_those_of_one_process(begin, settings, two_processes, tmp_path):
    config, learner, inputs = begin(50, *settings)
    start, alone = copy.deepcopy(learner), copy.deepcopy(learner)
    metrics, latents = zip(*[alone.update(*one) for one in inputs], strict=True)

    def lead(team: Team) -> None:
        team.begin(learner, config, learner.actor_critic.spaces)
        shared = [team.update(learner, *one) for one in inputs]
        team.check(learner)  # both ranks are equal, bit for bit
        states = [model.state_dict() for model in learner.models()]
        torch.save([states, [one for one, _ in shared], [vars(latent) for _, latent in shared]], tmp_path / "shared.pt")

    assert two_processes(lead) == [0, 0]
    states, shared_metrics, shared_latents = torch.load(tmp_path / "shared.pt")
    for before, ours, theirs in zip(start.models(), alone.models(), states, strict=True):
        for name, value in ours.state_dict().items():
            torch.testing.assert_close(theirs[name], value, rtol=0, atol=1e-5, msg=lambda text, name=name: name + text)
            assert not torch.equal(value, before.state_dict()[name]), f"{name} learns"
    for ours, theirs in zip(metrics, shared_metrics, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(abs(float(ours[name] - theirs[name])) < 1e-5 for name in ours)
    for ours, theirs in zip(latents, shared_latents, strict=True):
        torch.testing.assert_close(theirs["deter"], ours.deter, rtol=0, atol=1e-5)
        assert torch.equal(theirs["stoch"], ours.stoch)


def test_a_number_that_is_none_in_the_others_half_changes_nothing_anywhere(begin, two_processes):
    config, learner, [inputs, (batch, labels, noise), last] = begin(3)
    value = labels.value.clone()
    value[-1] = float("nan")  # at rank 1

    def lead(team: Team) -> None:
        team.begin(learner, config, learner.actor_critic.spaces)
        team.update(learner, *inputs)
        before = copy.deepcopy([model.state_dict() for model in learner.models()])
        metrics, _ = team.update(learner, batch, replace(labels, value=value), noise)
        team.check(learner)
        assert metrics["train/skipped"] == 1 == learner.skipped_in_a_row
        for was, model in zip(before, learner.models(), strict=True):
            assert all(torch.equal(was[name], now) for name, now in model.state_dict().items())
        metrics, _ = team.update(learner, *last)
        assert metrics["train/skipped"] == 0 == learner.skipped_in_a_row

    assert two_processes(lead) == [0, 0]


@pytest.mark.parametrize("is_dead", [True, False], ids=["dead", "hanging"])
def test_a_rank_that_is_gone_ends_the_others_soon(begin, two_processes, monkeypatch, is_dead):
    config, learner, [inputs] = begin(1)
    monkeypatch.setattr(groups, "ANSWER_SECONDS", 1.0)

    def second(place: Place) -> None:
        group = Group(place)
        assert [group.hear()[0] for _ in range(2)] == ["begin", "update"]
        time.sleep(0 if is_dead else 4)

    def lead(team: Team) -> None:
        team.begin(learner, config, learner.actor_critic.spaces)
        start = time.monotonic()
        with pytest.raises(RankLost, match=r"has ended, or has not answered for 1 s .* --resume goes on"):
            team.update(learner, *inputs)
        assert time.monotonic() - start < 3.5
        team.check(learner)  # nobody is left to differ: the last whole update can be saved

    assert two_processes(lead, second) == [0, 0]
