"""Episodes that were there before: each row under its name at the beginning of its stream, none of them fresh."""

import numpy as np
import pytest

from tandem.envs.records import Clip, ObsSpec, Spaces
from tandem.worldmodel.replay.journal.stock import StockJournal
from tandem.worldmodel.replay.rows.rings import Rings
from tandem.worldmodel.replay.stock import StockEpisode, restock
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay

SPACES = Spaces({"state": ObsSpec((2,))}, 1)


def episode(env: int, step: int, number: int, length: int, is_heldout: bool = False, is_terminal: bool = False):
    """Observations say where they were stored: (env, step)."""
    obs = np.stack([np.full(length + 1, env), step + np.arange(length + 1)], 1).astype(np.float32)
    action = np.arange(length, dtype=np.float32)[:, None] + 1
    return StockEpisode(env, step, number, is_heldout, is_terminal, f"{env}/{step}", {"state": obs}, action)


EPISODES = [episode(0, 0, 0, 4), episode(1, 0, 0, 3, is_heldout=True), episode(1, 4, 1, 5, is_terminal=True)]


@pytest.fixture
def replay() -> TransitionReplay:
    return TransitionReplay(ReplayConfig(capacity=100, heldout_capacity=100), SPACES, 2, 2, 3, 1)


def test_every_row_lies_under_its_name(replay):
    rows = restock(replay, EPISODES)
    for rings, held in ((replay.training, (EPISODES[0], EPISODES[2])), (replay.heldout, (EPISODES[1],))):
        for one in held:
            steps = one.step + np.arange(len(one) + 1)
            found = rings.find(np.full(len(steps), one.env), steps)
            slot = rings.slot(np.full(len(steps), one.env), found)
            assert np.array_equal(rings.read("obs/state", slot), one.obs["state"])
            assert rings.read("is_first", slot).tolist() == [True] + [False] * len(one)
            assert rings.read("is_last", slot).tolist() == [False] * len(one) + [True]
            assert rings.read("is_terminal", slot).tolist() == [False] * len(one) + [one.is_terminal]
            assert rings.read("is_open", slot).tolist() == [False] + [True] * len(one)  # a first row has no reward
            assert rings.read("action", slot)[:, 0].tolist() == [*one.action[:, 0].tolist(), 0.0]
            assert not rings.read("deter", slot).any()
    assert rows.bought.tolist() == [9, 3] and rows.next_step.tolist() == [5, 10] and rows.num_transitions == 12
    assert replay.received == 12 and replay.next_episode.tolist() == [1, 2] and len(replay.open) == 12


def test_no_window_of_them_is_queued_as_fresh_but_all_can_be_drawn(replay):
    restock(replay, EPISODES)
    assert len(replay.online) == 0 and replay.online.next_row.tolist() == [5, 6]
    batch = replay.sample(64, np.random.default_rng(0))
    seen = set(
        zip(batch.address.stream.repeat_interleave(2).tolist(), batch.address.step.flatten().tolist(), strict=True)
    )
    assert seen == {*((0, step) for step in range(1, 5)), *((1, step) for step in range(5, 10))}


def test_a_clip_lies_in_the_stock_up_to_its_last_row(replay):
    rows = restock(replay, EPISODES)
    assert (
        rows.holds(Clip(0, 4)) and not rows.holds(Clip(0, 5)) and rows.holds(Clip(1, 9)) and not rows.holds(Clip(2, 0))
    )
    assert replay.open.before(rows.next_step) == 12 and replay.open.before(np.array([5, 4])) == 4 + 3


def test_rows_that_no_update_has_seen_are_no_candidates(replay):
    """Nobody has made a latent of them: that of a window that was written back is one."""
    restock(replay, EPISODES)
    rng = np.random.default_rng(0)
    assert replay.open.candidates(100, rng).clips == []
    rings = replay.training
    rings.write("deter", rings.slot(np.array([0, 1]), np.array([2, 3])), np.ones((2, 3), np.float32))
    assert sorted((clip.env, clip.step) for clip in replay.open.candidates(100, rng).clips) == [(0, 2), (1, 7)]


def test_a_stream_that_is_longer_than_its_ring_keeps_its_newest_rows():
    rings = Rings({"step": ((), np.int64)}, 2, 4)
    rings.extend_one(1, {"step": np.arange(3)})
    rings.extend_one(1, {"step": np.arange(3, 9)})
    slot = rings.slot(*rings.every_row())
    assert rings.count.tolist() == [0, 9] and rings.columns["step"][slot].tolist() == [5, 6, 7, 8]


def test_the_log_gives_back_what_was_written(tmp_path):
    journal = StockJournal(tmp_path)
    for one in EPISODES:
        journal.write(one)
    journal.close()
    for one, found in zip(EPISODES, StockJournal(tmp_path).read(), strict=True):
        assert np.array_equal(one.obs["state"], found.obs["state"]) and np.array_equal(one.action, found.action)
        assert (one.env, one.step, one.is_heldout, one.origin) == (
            found.env,
            found.step,
            found.is_heldout,
            found.origin,
        )
