"""Which labels each member of the reward ensemble learns from while few episodes have any."""

import numpy as np
import pytest
import torch

from tandem.envs.records import Answer, Clip, Question
from tandem.worldmodel.optimizer import LaProp, OptimizerConfig
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import NO_FOLD, LabelReplay, LabelReplayConfig
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay
from tandem.worldmodel.reward import RewardConfig, RewardModel, fold_weights

MEMBERS = 3


class Market:
    """One stream with episodes of 10 rows, 0 .. 9, 10 .. 19 and so on, and labels of its rows: fold k is episode k."""

    def __init__(self, streams, capacity=1000, folds=MEMBERS, heldout=()):
        streams = streams(num=1, heldout=heldout)
        self.transitions = TransitionReplay(ReplayConfig(), streams.spaces, 1, 4, streams.deter, streams.stoch)
        for tick in streams.ticks(100):
            self.transitions.add(Tick.of(*tick))
        config = LabelReplayConfig(capacity=capacity, burn_in=0)
        self.labels = LabelReplay(config, streams.spaces, streams.deter, streams.stoch, folds=folds)

    def buy(self, *steps, value=1.0):
        for step in steps:
            clip = Clip(0, step)
            self.labels.ask(Asked(Question(str(step), clip), self.transitions.copy(clip, 0), is_uniform=True))
            self.labels.answer(Answer(str(step), value))

    def folds(self) -> set[int]:
        return set(self.labels.sample(200, np.random.default_rng(0)).fold.tolist())


@pytest.fixture
def market(address_streams):
    return lambda **settings: Market(address_streams, **settings)


@pytest.mark.parametrize("episode", [0, 1, 2, 4])
def test_labels_of_one_fold_teach_the_whole_ensemble(market, episode):
    """A reward of 1 everywhere: a member that left those labels out would say 0, and the mean be 2/3."""
    one = market()
    one.buy(*range(10 * episode + 1, 10 * episode + 9))
    torch.manual_seed(0)
    model = RewardModel(RewardConfig(MEMBERS, units=16, bins=41), feat_size=2)
    optimizer, rng = LaProp(model.parameters(), OptimizerConfig(lr=1e-2, warmup=0)), np.random.default_rng(0)
    for _ in range(150):
        batch = one.labels.sample(16, rng)
        feat, weight = batch.obs["state"][:, -1] / 100, fold_weights(batch.fold, batch.weight, MEMBERS)
        loss, _ = model(feat, batch.value, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.members(feat).detach().numpy() == pytest.approx(1.0, abs=0.02)


def test_a_label_that_has_no_fold_is_left_out_by_nobody():
    weight = fold_weights(torch.tensor([NO_FOLD, 2]), torch.tensor([0.5, 1.0]), MEMBERS)
    assert weight.tolist() == [[0.5, 0.5, 0.5], [1.0, 1.0, 0.0]]


def test_folds_are_dealt_as_soon_as_labels_of_a_second_one_are_held(market):
    one = market()
    one.buy(1, 2, 31, 62)  # episodes 0, 3 and 6: all of fold 0
    assert one.folds() == {NO_FOLD}
    one.buy(11)  # a single label of episode 1; by chance a batch may hold none of it, and folds are dealt all the same
    assert one.folds() == {0, 3, 6, 1}
    few = {tuple(one.labels.sample(1, np.random.default_rng(seed)).fold.tolist()) for seed in range(50)}
    assert few == {(0,), (3,), (6,), (1,)}


def test_heldout_labels_are_of_no_fold(market):
    one = market(heldout={(0, 1)})
    one.buy(1, 11, 12, 2)
    assert one.labels.num_heldout == 2 and one.folds() == {NO_FOLD}


def test_a_single_member_has_no_folds_to_speak_of(market):
    one = market(folds=1)
    one.buy(1, 11)
    assert one.folds() == {0, 1}


def test_labels_that_are_gone_count_in_no_fold(market):
    one = market(capacity=3)
    one.buy(1, 11, 12)
    assert one.folds() == {0, 1}
    one.buy(13)  # in the place of the only label of episode 0
    assert one.folds() == {NO_FOLD}
    steps = np.random.default_rng(1).permutation(np.setdiff1d(np.arange(20, 100), np.arange(0, 100, 10)))
    for step in steps:
        one.buy(int(step))
        held = one.labels.newest(3)[0].fold.numpy() % MEMBERS
        assert one.labels.per_fold.tolist() == np.bincount(held, minlength=MEMBERS).tolist()
