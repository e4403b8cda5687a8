"""Blocks of ticks: a replay that takes them whole holds what one holds that took them tick by tick, bit for bit."""

from itertools import pairwise

import numpy as np
import pytest

from tandem.envs.records import Answer, Clip, ObsSpec, Question, Spaces, Transition
from tandem.worldmodel.replay.counts import Counts
from tandem.worldmodel.replay.label_column import LabelColumn
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.online import OnlineWindows
from tandem.worldmodel.replay.tick import Tick, Ticks
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay

SPACES = Spaces({"state": ObsSpec((2,)), "kind": ObsSpec((), classes=5)}, action_size=2)
LENGTH, DETER, STOCH = 3, 4, 2


def random_ticks(seed: int, number: int, num_streams: int, heldout: float = 0.3) -> list[Tick]:
    """Streams with episodes of 1 to 12 rows, some of which break off without a last row, and with gaps in their steps."""
    rng = np.random.default_rng(seed)
    step, left = np.zeros(num_streams, np.int64), np.zeros(num_streams, np.int64)
    is_heldout, ticks = np.zeros(num_streams, bool), []
    for _ in range(number):
        is_first = (left == 0) | (rng.random(num_streams) < 0.05)
        left = np.where(is_first, rng.integers(1, 13, num_streams), left) - 1
        is_heldout = np.where(is_first, rng.random(num_streams) < heldout, is_heldout)
        is_last = left == 0
        transition = Transition(
            obs={
                "state": rng.standard_normal((num_streams, 2)).astype(np.float32),
                "kind": rng.integers(0, 5, num_streams).astype(np.int32),
            },
            is_first=is_first,
            is_last=is_last,
            is_terminal=is_last & (rng.random(num_streams) < 0.5),
            step=step.copy(),
            is_heldout=is_heldout,
        )
        action, deter = (rng.standard_normal((num_streams, width)).astype(np.float32) for width in (2, DETER))
        ticks.append(Tick(transition, action, deter, rng.integers(0, 9, (num_streams, STOCH)).astype(np.uint8)))
        step += rng.choice([1, 1, 1, 4], num_streams)
    return ticks


def empty(num_streams: int, **config) -> TransitionReplay:
    return TransitionReplay(ReplayConfig(**config), SPACES, num_streams, LENGTH, DETER, STOCH)


def blocks(ticks: list[Tick], rng: np.random.Generator, most: int) -> list[Ticks]:
    """In pieces of random lengths."""
    end = [0, *np.cumsum(rng.integers(1, most + 1, len(ticks)))]
    return [Ticks.of(ticks[a:b]) for a, b in pairwise(end) if a < len(ticks)]


def assert_equal(one: TransitionReplay, other: TransitionReplay) -> None:
    assert one.counts.arrays().keys() == {"rows", "received", "next_step", "next_episode"}
    for name, value in one.counts.arrays().items():
        assert np.array_equal(value, other.counts.arrays()[name]), name
    assert one.online.queue == other.online.queue and np.array_equal(one.online.next_row, other.online.next_row)
    for ours, theirs in ((one.training, other.training), (one.heldout, other.heldout)):
        assert ours.length == theirs.length and np.array_equal(ours.count, theirs.count)
        for name, column in ours.columns.items():  # rows not written yet too
            assert column.dtype == theirs.columns[name].dtype and column.tobytes() == theirs.columns[name].tobytes(), (
                name
            )
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize("seed", range(30))
def test_a_block_leaves_what_its_ticks_leave_one_by_one(seed):
    """Small rings wrap several times, inside one block too; with large ones the columns grow from 1,024 rows."""
    rng = np.random.default_rng(seed)
    num_streams, is_large = int(rng.integers(1, 5)), seed % 10 == 0
    config = {
        "capacity": 10_000 if is_large else int(rng.integers(1, 60)),
        "heldout_capacity": 10_000 if is_large else int(rng.integers(1, 40)),
        "online": seed % 3 > 0,
        "latents": "bfloat16" if seed % 4 == 1 else "float32",
    }
    one_by_one, in_blocks = empty(num_streams, **config), empty(num_streams, **config)
    for block in blocks(random_ticks(seed, 2500 if is_large else 300, num_streams), rng, most=1200 if is_large else 90):
        for tick in block:
            one_by_one.add(tick)
        in_blocks.extend(block)
        if one_by_one.num_starts:
            first, second = (one.sample(3, np.random.default_rng(seed)) for one in (one_by_one, in_blocks))
            assert first.address.row.tolist() == second.address.row.tolist()
        asked = [one.open.draw(4, np.random.default_rng(seed)) for one in (one_by_one, in_blocks)]
        assert asked[0] == asked[1]
        assert_equal(one_by_one, in_blocks)


def test_ticks_and_blocks_alternate_and_an_empty_block_is_none():
    ticks = random_ticks(1, 200, 3)
    one_by_one, mixed = empty(3, capacity=50), empty(3, capacity=50)
    for tick in ticks:
        one_by_one.add(tick)
    whole = Ticks.of(ticks)
    mixed.extend(whole[:80])
    mixed.extend(whole[80:80])
    for tick in whole[80:120]:
        mixed.add(tick)
    mixed.extend(whole[120:])
    assert_equal(one_by_one, mixed)


def test_a_block_without_any_row_for_a_ring_leaves_it_alone():
    replay = empty(2, heldout_capacity=20)
    replay.extend(Ticks.of(random_ticks(0, 50, 2, heldout=0.0)))
    assert replay.num_heldout_rows == 0 and replay.num_training_rows == 100
    assert not any(column.any() for column in replay.heldout.columns.values())


def test_an_episode_that_broke_off_in_an_earlier_block_ends_there():
    """A first row, which the next block brings, follows a row that was none."""
    ticks = random_ticks(3, 200, 1, heldout=0.0)
    firsts = [number for number, tick in enumerate(ticks) if tick.transition.is_first[0]]
    broken = [number for number in firsts if number and not ticks[number - 1].transition.is_last[0]]
    assert broken, "the streams have episodes without a last row"
    replay = empty(1)
    replay.extend(Ticks.of(ticks[: broken[0]]))
    before = broken[0] - 1
    assert not replay.training.columns["is_last"][before] and replay.training.columns["action"][before].any()
    replay.extend(Ticks.of(ticks[broken[0] :]))
    assert replay.training.columns["is_last"][before] and not replay.training.columns["action"][before].any()


def test_blocks_keep_ticks_their_order_and_their_parts():
    ticks = random_ticks(2, 9, 2)
    block = Ticks.of(ticks)
    assert len(block) == 9 and len(block[2:5]) == 3
    assert block.num_bought == sum(tick.transition.num_bought for tick in ticks)
    for ours, theirs in zip(block[2:5], ticks[2:5], strict=True):
        assert ours.transition.step.tolist() == theirs.transition.step.tolist()
        for name in ("action", "deter", "stoch"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))
        for name, value in theirs.transition.obs.items():
            assert np.array_equal(ours.transition.obs[name], value)


def test_counts_after_a_block_are_those_after_its_ticks():
    ticks = random_ticks(5, 30, 3)
    counts = Counts.zero(3)
    for tick in ticks:
        counts = counts.after(tick.transition)
    for name, value in Counts.zero(3).after_all(Ticks.of(ticks[:11])).after_all(Ticks.of(ticks[11:])).arrays().items():
        assert np.array_equal(value, counts.arrays()[name]), name
    with pytest.raises(AssertionError):
        counts.after_all(Ticks.of(ticks[:1]))


def test_windows_that_nobody_queued_before_a_block_come_first():
    """Stream 0 has 5 rows and stream 1 has 3, none queued; windows take 2. The first tick finds all of them, a round over
    the streams at a time; the third tick completes row 6 of stream 0."""
    online = OnlineWindows(2, rows=2)
    online.advance_each(np.array([[5, 3], [5, 4], [6, 4]]))
    assert list(online.queue) == [(0, 0), (1, 0), (0, 2), (1, 2), (0, 4)]
    assert online.next_row.tolist() == [6, 4]
    again = OnlineWindows(2, rows=2)
    for count in ([5, 3], [5, 4], [6, 4]):
        again.advance(np.array(count))
    assert again.queue == online.queue


def test_a_fingerprint_tells_any_change():
    replay = empty(2, heldout_capacity=30)
    replay.extend(Ticks.of(random_ticks(4, 60, 2)))
    seen = {replay.fingerprint()}
    replay.training.columns["deter"][0, 0] += 1e-6
    seen.add(replay.fingerprint())
    replay.heldout.columns["obs/kind"][0] += 1
    seen.add(replay.fingerprint())
    replay.open.draw(1, np.random.default_rng(0))
    seen.add(replay.fingerprint())
    replay.sample(1, np.random.default_rng(0))  # takes a window out of the queue
    seen.add(replay.fingerprint())
    assert len(seen) == 5 and {len(one) for one in seen} == {64}
    again = replay.fingerprint()
    assert again in seen


def test_a_column_of_answers_has_the_fingerprint_of_its_answers_alone():
    """However far it has grown."""
    columns = [LabelColumn(2) for _ in range(2)]
    for column in columns:
        for step in (3, 7):
            column.ask(Asked(Question(f"{step}", Clip(1, step)), None, True))
        column.answer(Answer("3", 0.5))
    columns[0].values = np.pad(columns[0].values, ((0, 0), (0, 100)), constant_values=np.nan)
    assert columns[0].fingerprint() == columns[1].fingerprint()
    columns[0].decline("7")
    assert columns[0].fingerprint() != columns[1].fingerprint()
    columns[1].decline("7")
    columns[1].put(0, 1, 2.0)
    assert columns[0].fingerprint() != columns[1].fingerprint()
