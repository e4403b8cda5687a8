"""Windows of the transition replay: what they hold, what they never hold, and what outlives eviction."""

import numpy as np
import pytest
import torch

from tandem.envs.records import Clip
from tandem.worldmodel.records import Address
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay

LENGTH = 4


def replay_of(streams, ticks=0, length=LENGTH, **config):
    replay = TransitionReplay(ReplayConfig(**config), streams.spaces, streams.num, length, streams.deter, streams.stoch)
    for tick in streams.ticks(ticks):
        replay.add(Tick.of(*tick))
    return replay


def check_addresses(batch, rows):
    """Every number in the batch is the one of its own (env, step); rows = episode rows of the streams."""
    env = batch.address.stream[:, None].expand_as(batch.address.step)
    torch.testing.assert_close(batch.obs["state"], torch.stack([env, batch.address.step], -1).float())
    torch.testing.assert_close(batch.obs["kind"][..., 0], (batch.address.step % 7).int())
    assert (batch.is_first == (batch.address.step % rows == 0)).all()
    assert (batch.is_last == (batch.address.step % rows == rows - 1)).all()


def test_every_number_of_a_window_belongs_to_its_row(address_streams):
    streams = address_streams(num=3)
    replay = replay_of(streams, 200, online=False)
    batch = replay.sample(64, np.random.default_rng(0))
    check_addresses(batch, streams.rows)
    assert batch.address.step.shape == (64, LENGTH)
    assert (batch.address.step.diff(dim=1) == 1).all()
    context = batch.address.step[:, 0] - 1
    assert (batch.start_deter == torch.stack([batch.address.stream, context], 1)).all()
    assert (batch.start_stoch[:, 1] == context % 256).all() and batch.start_stoch.dtype == torch.int64


def test_prev_action_is_the_one_chosen_a_row_earlier_and_zero_after_a_last_row(address_streams):
    streams = address_streams()
    batch = replay_of(streams, 200, online=False).sample(64, np.random.default_rng(0))
    expected = (batch.address.step - 1) + batch.address.stream[:, None] / 100
    expected = torch.where(batch.is_first, 0, expected)  # the row before is_first is is_last
    torch.testing.assert_close(batch.prev_action[..., 0], expected.float())
    assert batch.is_first.any()


def test_starts_are_uniform_over_all_streams(address_streams):
    replay = replay_of(address_streams(num=2), 14, online=False)
    # 14 rows a stream hold 14 - 4 = 10 windows of 4 rows and a context row: 20 in all, the first rows are 1 .. 10
    assert replay.num_starts == 20
    batch = replay.sample(20_000, np.random.default_rng(0))
    start = batch.address.stream * 10 + batch.address.step[:, 0] - 1
    counts = torch.bincount(start, minlength=20)
    assert len(counts) == 20 and (counts - 1000).abs().max() < 150  # five standard deviations of 31


def test_evicted_rows_are_never_drawn_and_windows_never_cross_the_write_cursor(address_streams):
    streams = address_streams(num=2)
    replay = replay_of(streams, 1000, capacity=100, online=False)
    # 50 start positions a stream take 50 + 4 rows: the rows 946 .. 999 are left
    assert replay.num_starts == 100 and replay.num_training_rows == 108
    batch = replay.sample(5000, np.random.default_rng(0))
    check_addresses(batch, streams.rows)
    assert batch.address.step[:, 0].min() == 947 and batch.address.step[:, -1].max() == 999
    assert replay.received == 2 * 900, "eviction does not take back what was received"


def test_growing_moves_no_row(address_streams):
    streams = address_streams(num=1)
    replay = replay_of(streams, 3000, online=False)
    batch = replay.sample(2000, np.random.default_rng(0))
    check_addresses(batch, streams.rows)
    assert batch.address.step.min() < 50 and batch.address.step.max() > 2950


def test_fresh_windows_come_first_in_order_and_do_not_overlap(address_streams):
    replay = replay_of(address_streams(num=2), 16)
    # 5 rows a window: rows 0-4, 5-9, 10-14 of both streams; the first of each is the context
    batch = replay.sample(4, np.random.default_rng(0))
    assert batch.address.stream.tolist() == [0, 1, 0, 1]
    assert batch.address.step.tolist() == [[1, 2, 3, 4]] * 2 + [[6, 7, 8, 9]] * 2
    batch = replay.sample(4, np.random.default_rng(0))
    assert batch.address.step[:2].tolist() == [[11, 12, 13, 14]] * 2
    assert len(replay.online) == 0


def test_fresh_windows_that_were_evicted_unseen_are_dropped(address_streams):
    streams = address_streams(num=1)
    batch = replay_of(streams, 100, capacity=10).sample(1, np.random.default_rng(0))
    # 14 rows are left, 86 .. 99; the windows begin at multiples of 5, the first whole one at 90
    assert batch.address.step[0].tolist() == [91, 92, 93, 94]


def test_write_back_reaches_the_row_it_names_and_skips_rows_overwritten_since(address_streams):
    streams = address_streams(num=2)
    replay = replay_of(streams, 60, capacity=100, online=False)
    # 54 rows a stream: 6 .. 59 are held. Three more ticks overwrite 6, 7, 8.
    rows = torch.tensor([[6, 7, 8, 9], [50, 51, 52, 53]])
    address = Address(torch.tensor([0, 1]), rows, rows)
    for tick in streams.ticks(3):
        replay.add(Tick.of(*tick))
    replay.write_back(address, torch.full((2, 4, 2), -5.0, dtype=torch.bfloat16), torch.full((2, 4, 3), 250))
    kept = {}
    for env in (0, 1):
        found, deter, stoch = replay.latents(np.full(63, env), np.arange(63), is_heldout=False)
        steps = np.flatnonzero(found)
        assert steps[0] == 9
        kept[env] = steps[deter[:, 0] == -5].tolist()
        assert kept[env] == steps[stoch[:, 0] == 250].tolist()
        others = deter[:, 0] != -5
        assert (deter[others] == np.stack([np.full(others.sum(), env), steps[others]], 1)).all()
    assert kept == {0: [9], 1: [50, 51, 52, 53]}


def test_the_newest_of_overlapping_write_backs_wins(address_streams):
    replay = replay_of(address_streams(num=1), 20)
    rows = torch.tensor([[5, 6], [6, 7]])
    address = Address(torch.tensor([0, 0]), rows, rows)
    deter = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[..., None].expand(2, 2, 2)
    replay.write_back(address, deter, torch.zeros(2, 2, 3))
    assert replay.latents(np.zeros(3, int), np.array([5, 6, 7]), False)[1][:, 0].tolist() == [1, 3, 4]


def test_no_heldout_row_is_ever_in_a_training_window(address_streams):
    streams = address_streams(num=2, heldout={(0, 1), (1, 3), (0, 4), (1, 4)})
    replay = replay_of(streams, 80)
    rng = np.random.default_rng(0)
    for _ in range(50):
        batch = replay.sample(16, rng)
        number = batch.address.step // streams.rows
        env = batch.address.stream[:, None].expand_as(number)
        assert not {(int(e), int(k)) for e, k in zip(env.flatten(), number.flatten(), strict=True)} & streams.heldout
        is_jump = batch.address.step.diff(dim=1) != 1
        assert batch.is_first[:, 1:][is_jump].all() and batch.is_last[:, :-1][is_jump].all()
    assert replay.num_heldout_rows == 40 and replay.received == 2 * 72


def test_heldout_windows_and_episodes_hold_only_heldout_rows(address_streams):
    streams = address_streams(num=2, heldout={(0, 1), (1, 3), (0, 7)})
    replay = replay_of(streams, 75)
    batch = replay.heldout_windows(3, 100, np.random.default_rng(0))
    check_addresses(batch, streams.rows)
    # stream 0 holds 10 rows and the running episode's 5, stream 1 holds 10: 15 - 3 and 10 - 3 starts
    assert {int(s) for s in batch.address.step[batch.address.stream == 1].flatten()} == set(range(31, 40))
    episodes = replay.heldout_episodes(5)
    assert [e.address.step[0].tolist() for e in episodes] == [list(range(10, 20)), list(range(30, 40))]
    assert [e.address.stream.tolist() for e in episodes] == [[0], [1]]
    for episode in episodes:
        check_addresses(episode, streams.rows)
        assert not episode.start_deter.any() and not episode.prev_action[0, 0].any()
    assert [e.address.step[0, 0] for e in replay.heldout_episodes(1)] == [30]
    assert replay.heldout_episodes(0) == [] and replay.heldout_windows(20, 1, np.random.default_rng(0)) is None


def test_a_heldout_episode_that_broke_off_at_its_reset_is_none(address_streams):
    streams = address_streams(num=1, heldout={(0, 0)})
    replay = replay_of(streams, 1)
    replay.add(Tick.of(*streams.tick(cut=[0])))  # a restart: the row before becomes first and last at once
    for tick in streams.ticks(8):
        replay.add(Tick.of(*tick))
    assert [episode.address.step[0].tolist() for episode in replay.heldout_episodes(5)] == [list(range(1, 10))]


def test_the_oldest_row_of_a_wrapped_heldout_ring_has_no_action_before_it(address_streams):
    """Its predecessor is gone, and in the slot of that one lies the newest row, with another action."""
    streams = address_streams(num=1, heldout={(0, 0), (0, 1), (0, 2)})
    replay = replay_of(streams, 27, heldout_capacity=8)
    pieces = list(replay.heldout_pieces(5))
    rows = [step for piece in pieces for step in piece.address.step[0].tolist()]
    assert rows == list(range(19, 27)), "8 rows are held, and the last piece is of what is left"
    assert pieces[0].is_first[0].tolist() == [True, True, False, False, False]
    assert not pieces[0].prev_action[0, 0].any() and pieces[0].prev_action[0, 3].any()
    assert pieces[1].prev_action[0, 0].any() and not pieces[1].is_first[0, 0]


def test_the_last_heldout_piece_is_as_long_as_the_longest_stream_and_padding_is_not_written_back(address_streams):
    replay = replay_of(address_streams(num=2, heldout={(0, 0), (0, 1), (1, 0)}), 30)
    pieces = list(replay.heldout_pieces(8))
    assert [piece.is_first.shape for piece in pieces] == [(2, 8), (2, 8), (2, 4)]
    for piece in pieces:
        shape = piece.is_first.shape
        replay.write_back(piece.address, torch.full((*shape, 2), -5.0), torch.zeros(*shape, 3))
    env, step = np.repeat([0, 1], 30), np.tile(np.arange(30), 2)
    is_found, deter, _ = replay.latents(env, step, True)
    assert is_found.sum() == 30 and (deter == -5).all()
    assert (replay.latents(env, step, False)[1] != -5).all()


def test_write_back_of_heldout_windows_leaves_training_rows_alone(address_streams):
    replay = replay_of(address_streams(num=1, heldout={(0, 1)}), 40)
    batch = replay.heldout_windows(3, 50, np.random.default_rng(0))
    replay.write_back(batch.address, torch.full((50, 3, 2), -5.0), torch.zeros(50, 3, 3))
    training = replay.latents(np.zeros(40, int), np.arange(40), False)[1]
    assert len(training) == 30 and (training[:, 0] == 0).all()
    assert (replay.latents(np.zeros(9, int), np.arange(11, 20), True)[1] == -5).all()


def test_a_first_row_makes_the_row_before_it_a_last_row(address_streams):
    streams = address_streams(num=2)
    replay = replay_of(streams, 5, online=False)
    replay.add(Tick.of(*streams.tick(cut=[1])))  # a rebuilt worker: environment 1 starts again without having ended
    for tick in streams.ticks(3):
        replay.add(Tick.of(*tick))
    batch = replay.sample(200, np.random.default_rng(0))
    env = batch.address.stream[:, None].expand_as(batch.address.step)
    assert (
        batch.is_last[(env == 1) & (batch.address.step == 4)].all()
        and not batch.is_last[(env == 0) & (batch.address.step == 4)].any()
    )
    assert not batch.prev_action[(env == 1) & (batch.address.step == 5)].any()
    assert replay.next_episode.tolist() == [1, 2] and replay.next_step.tolist() == [9, 9]
    assert replay.received == 9 + 9 - 3


def test_unlabelled_rows_are_drawn_once_each_and_never_a_first_row(address_streams):
    streams = address_streams(num=2, heldout={(0, 1)})
    replay = replay_of(streams, 30)
    assert len(replay.open) == replay.received == 54
    rng = np.random.default_rng(0)
    drawn = replay.open.draw(20, rng) + replay.open.draw(100, rng)
    assert len(drawn) == len(set(drawn)) == 54
    assert all(clip.step % streams.rows for clip in drawn)
    assert Clip(0, 15) in drawn, "held-out rows are asked about too"
    assert len(replay.open) == 0 and replay.open.draw(3, rng) == []


def test_candidates_are_drawn_uniformly_over_both_kinds(address_streams):
    counts = np.zeros((2, 30))
    replay = replay_of(address_streams(num=2, heldout={(0, 1)}), 30)
    is_open = [rings.columns["is_open"].copy() for rings in (replay.training, replay.heldout)]
    rng = np.random.default_rng(0)
    for _ in range(1000):
        for rings, saved in zip((replay.training, replay.heldout), is_open, strict=True):
            rings.columns["is_open"][:] = saved
        for clip in replay.open.draw(27, rng):
            counts[clip.env, clip.step] += 1
    drawn = counts[:, np.arange(30) % 10 != 0]
    assert drawn.shape == (2, 27) and (abs(drawn - 500) < 80).all()  # five standard deviations of 16


def test_evicted_rows_are_no_candidates(address_streams):
    replay = replay_of(address_streams(num=1), 100, capacity=10)
    # rows 86 .. 99 are left, one of which (90) is a first row
    assert len(replay.open) == 13
    assert min(s.step for s in replay.open.draw(13, np.random.default_rng(0))) == 86


def test_marked_segments_are_not_drawn_again(address_streams):
    replay = replay_of(address_streams(num=2, heldout={(0, 1)}), 30)
    marked = [Clip(0, 3), Clip(0, 15), Clip(1, 29), Clip(1, 500)]
    replay.open.mark_asked(marked)
    assert not set(marked) & set(replay.open.draw(100, np.random.default_rng(0)))


def test_a_refill_and_the_saved_state_continue_like_the_original(address_streams):
    streams = address_streams(num=2, heldout={(0, 1)})
    replay = replay_of(streams, 40, capacity=30)
    batch = replay.sample(3, np.random.default_rng(0))
    replay.write_back(batch.address, -batch.address.row[..., None].float().expand(3, 4, 2), torch.zeros(3, 4, 3))
    asked = replay.open.draw(9, np.random.default_rng(0))
    state = replay.state_dict()
    again = replay_of(address_streams(num=2, heldout={(0, 1)}), 40, capacity=30)
    again.open.mark_asked(asked)
    again.load_state_dict(state)
    for rings, other in ((replay.training, again.training), (replay.heldout, again.heldout)):
        for name in rings.columns:
            assert np.array_equal(rings.columns[name], other.columns[name]), name
    drawn = [one.open.draw(5, np.random.default_rng(1)) for one in (replay, again)]
    assert drawn[0] == drawn[1]
    first, second = replay.sample(8, np.random.default_rng(2)), again.sample(8, np.random.default_rng(2))
    assert torch.equal(first.address.step, second.address.step) and torch.equal(first.start_deter, second.start_deter)
    assert again.received == replay.received and (again.next_step == 40).all()


def test_rows_newer_than_the_saved_state_stay_and_queue_as_fresh(address_streams):
    replay = replay_of(address_streams(num=1), 20)
    replay.sample(3, np.random.default_rng(0))  # rows 0 .. 14 have been seen
    state = replay.state_dict()
    longer = replay_of(address_streams(num=1), 30)
    longer.load_state_dict(state, is_exact=False)
    assert longer.sample(3, np.random.default_rng(0)).address.step[:, 0].tolist() == [16, 21, 26]


@pytest.mark.parametrize("damage", ["shape", "key", "rows"])
def test_a_state_that_does_not_fit_is_refused(address_streams, damage):
    state = replay_of(address_streams(num=1), 20).state_dict()
    if damage == "shape":
        state["training"]["deter"] = state["training"]["deter"][:, :1]
    if damage == "key":
        state["training"]["more"] = torch.zeros(1)
    replay = replay_of(address_streams(num=1), 10 if damage == "rows" else 20)
    with pytest.raises(ValueError, match="replay: "):
        replay.load_state_dict(state)


def test_a_capacity_below_one_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^capacity: must be at least 1, got 0"):
        ReplayConfig(capacity=0)


def test_candidates_are_open_training_rows_with_their_latents_and_age(address_streams):
    replay = replay_of(address_streams(num=2, heldout={(0, 1)}), 30)
    asked = replay.open.draw(10, np.random.default_rng(0))
    found = replay.open.candidates(100, np.random.default_rng(1))
    rows = {(s.env, s.step) for s in found.clips}
    held_out = {(0, step) for step in range(10, 20)}
    is_open = {(env, step) for env in (0, 1) for step in range(30) if step % 10} - held_out
    assert len(rows) == len(found.clips) and rows == is_open - {(s.env, s.step) for s in asked}
    assert found.deter.tolist() == [[s.env, s.step] for s in found.clips]
    assert found.stoch.tolist() == [[s.env, s.step, 0] for s in found.clips] and found.stoch.dtype == torch.int64
    # stream 1 holds 30 rows, of which row 20 has 9 newer ones; stream 0 holds 20, of which row 5 has 14 newer ones
    age = {(s.env, s.step): a for s, a in zip(found.clips, found.age, strict=True)}
    assert all(age[1, step] == (29 - step) / 30 for env, step in rows if env == 1)
    assert all(age[0, step] == (29 - step - 10 * (step < 10)) / 20 for env, step in rows if env == 0)
    assert len(replay.open.candidates(7, np.random.default_rng(1)).clips) == 7


def test_candidates_of_a_full_ring_are_the_rows_it_still_holds(address_streams):
    replay = replay_of(address_streams(num=1), 100, capacity=10)
    found = replay.open.candidates(50, np.random.default_rng(0))
    # rows 86 .. 99 are left, one of which (90) is a first row
    assert sorted(s.step for s in found.clips) == [*range(86, 90), *range(91, 100)]
    assert {s.step: a for s, a in zip(found.clips, found.age, strict=True)}[99] == 0
    assert max(found.age) == 13 / 14
    empty = replay_of(address_streams(num=1)).open.candidates(5, np.random.default_rng(0))
    assert empty.clips == [] and empty.deter.shape == (0, 2)
