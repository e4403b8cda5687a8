"""Coupled mode's answers meet exactly the rows they are about."""

import numpy as np
import pytest
import torch

from tandem.worldmodel.replay.label_column import LabelColumn
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay


def batch_of(streams, ticks):
    replay = TransitionReplay(ReplayConfig(online=False), streams.spaces, streams.num, 8, streams.deter, streams.stoch)
    for tick in streams.ticks(ticks):
        replay.add(Tick.of(*tick))
    return replay.sample(200, np.random.default_rng(0))


def test_answers_join_their_rows_and_unanswered_rows_weigh_nothing(address_streams):
    batch = batch_of(address_streams(num=2), 3000)
    column = LabelColumn(2)
    for env in range(2):
        for step in range(0, 3000, 3):
            if step % 10:  # first rows are never sold
                column.put(env, step, 10_000 * env + step)
    joined = column.join(batch)
    env = batch.address.stream[:, None].expand_as(batch.address.step)
    is_answered = (batch.address.step % 3 == 0) & ~batch.is_first
    torch.testing.assert_close(joined.reward, torch.where(is_answered, 10_000 * env + batch.address.step, 0).float())
    torch.testing.assert_close(joined.reward_weight, (is_answered | batch.is_first).float())
    assert column.received == 2 * 900 and batch.address.step.max() > 2000
    assert joined.address is batch.address and batch.reward is None


def test_rows_beyond_every_answer_are_unanswered(address_streams):
    joined = LabelColumn(1).join(batch_of(address_streams(num=1), 3000))
    assert not joined.reward.any() and torch.equal(joined.reward_weight.bool(), joined.is_first)


def test_an_answer_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"env 1, step 5: .*nan"):
        LabelColumn(2).put(1, 5, float("nan"))
