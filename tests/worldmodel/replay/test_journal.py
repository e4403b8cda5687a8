"""The journals on disk: what was received comes back whole and in order, or the damaged file is named."""

import numpy as np
import pytest
import torch

from tandem.envs.records import Answer, Clip, Declined, Question
from tandem.frames import DamagedLog
from tandem.worldmodel.replay.journal.labels import Entry, LabelJournal
from tandem.worldmodel.replay.journal.transitions import TransitionJournal, read_ticks, refill
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig
from tandem.worldmodel.replay.tick import Tick, Ticks
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay


def replay_of(streams, capacity=1000):
    config = ReplayConfig(capacity=capacity, heldout_capacity=20)
    return TransitionReplay(config, streams.spaces, streams.num, 4, streams.deter, streams.stoch)


def opened(folder):
    journal = TransitionJournal(folder)
    for _ in journal.read():
        pass
    return journal


def collect(streams, journal, replay, chunks, ticks, first_key=1):
    for key in range(first_key, first_key + chunks):
        for tick in streams.ticks(ticks):
            replay.add(Tick.of(*tick))
            journal.append(Tick.of(*tick))
        journal.write(f"{key:08d}")
        journal.log.sync()


def same_rings(one, two):
    for rings, other in ((one.training, two.training), (one.heldout, two.heldout)):
        assert np.array_equal(rings.count, other.count)
        slot = rings.slot(*rings.every_row())
        assert np.array_equal(slot, other.slot(*other.every_row()))
        for name in rings.columns:
            assert np.array_equal(rings.columns[name][slot], other.columns[name][slot]), name
    return True


@pytest.mark.parametrize("rows", [1, 40, 10_000])  # taken in at once: a frame at a time, two, all
def test_a_refill_holds_the_same_rows_in_the_same_slots(address_streams, tmp_path, monkeypatch, rows):
    monkeypatch.setattr("tandem.worldmodel.replay.journal.transitions.REFILL_ROWS", rows)
    streams = address_streams(num=2, heldout={(0, 1), (1, 3)})
    replay = replay_of(streams, capacity=60)
    collect(streams, opened(tmp_path), replay, chunks=5, ticks=13)
    again, journal = replay_of(streams, capacity=60), TransitionJournal(tmp_path)
    assert refill(again, journal, None) == []
    assert same_rings(replay, again) and again.received == replay.received == journal.received == 2 * (65 - 7)
    assert journal.count == 65 and journal.bought.sum() == 2 * (65 - 7)
    steps = [tick.transition.step.tolist() for tick in read_ticks(tmp_path)]
    assert steps == [[t, t] for t in range(65)]


def test_a_refill_up_to_a_tick_leaves_the_later_ones_for_later(address_streams, tmp_path):
    streams = address_streams(num=2)
    collect(streams, opened(tmp_path), replay_of(streams), chunks=3, ticks=7)
    replay = replay_of(streams)
    later = refill(replay, TransitionJournal(tmp_path), 10)
    assert replay.next_step.tolist() == [10, 10]
    assert sum(len(block) for block in later) == 11 and later[0].step[0].tolist() == [10, 10]
    with pytest.raises(DamagedLog, match="21 ticks, 22 were written"):
        refill(replay_of(streams), TransitionJournal(tmp_path), 22)


def test_a_chunk_knows_how_many_transitions_were_bought_in_it(address_streams, tmp_path):
    streams, journal = address_streams(num=3), opened(tmp_path)
    for tick in streams.ticks(12):  # rows 0 and 10 are first rows
        journal.append(Tick.of(*tick))
    assert journal.write("00000004") == 3 * 10 and journal.write("00000005") == 0
    for tick in streams.ticks(2):
        journal.append(Tick.of(*tick))
    journal.write("00000004")  # the rest of a chunk that was saved half way
    assert opened(tmp_path).units == {"00000004": 3 * 12}


def test_open_episodes_come_back_with_all_their_rows(address_streams, tmp_path):
    streams = address_streams(num=2)
    collect(
        streams, opened(tmp_path), replay_of(streams), chunks=3, ticks=6
    )  # episodes have 10 rows: row 10 begins one
    ticks, journal = list(read_ticks(tmp_path)), opened(tmp_path)
    episodes = journal.open_episodes(np.array([2, 2]))
    assert [(one.env, one.episode, len(one.action)) for one in episodes] == [(0, 1, 8), (1, 1, 8)]
    expected = np.stack([tick.transition.obs["state"][1] for tick in ticks[10:]])
    np.testing.assert_array_equal(episodes[1].obs["state"], expected)
    np.testing.assert_array_equal(episodes[0].action, np.stack([tick.action[0] for tick in ticks[10:]]))


def test_an_episode_that_has_ended_is_not_open(address_streams, tmp_path):
    streams = address_streams(num=1)
    collect(streams, opened(tmp_path), replay_of(streams), chunks=1, ticks=10)
    assert opened(tmp_path).open_episodes(np.array([1])) == []


def test_blocks_of_ticks_are_the_ticks(address_streams):
    ticks = [Tick.of(*tick) for tick in address_streams(num=2).ticks(9)]
    block = Ticks.of(ticks)
    assert len(block) == 9 and len(block[2:5]) == 3
    for one, other in zip(ticks[2:5], block[2:5], strict=True):
        np.testing.assert_array_equal(one.deter, other.deter)
        np.testing.assert_array_equal(one.transition.obs["state"], other.transition.obs["state"])


def test_replies_come_back_in_their_order_with_the_call_they_came_at(address_streams, tmp_path):
    streams = address_streams(num=2, heldout={(0, 1)})
    replay = replay_of(streams)
    for tick in streams.ticks(30):
        replay.add(Tick.of(*tick))
    journal, labels = LabelJournal(tmp_path), labels_of(streams)
    clips = replay.open.draw(20, np.random.default_rng(0))
    asked = tuple(
        Asked(Question(f"q{i}", s), c, i % 2 == 0)
        for i, (s, c) in enumerate(zip(clips, replay.copies(clips, 3), strict=True))
    )
    answers = tuple(Answer(f"q{i}", 0.1 * i) for i in (4, 0, 17, 9))
    journal.write(Entry(0, asked[:12]))
    journal.write(Entry(3, (), answers[:2], (Declined("q5", "dark"),)))
    LabelJournal(tmp_path).write(Entry(3, asked[12:]))
    given_up = (Declined("q6", "dark"), Declined("q7", "late", is_given_up=True))
    LabelJournal(tmp_path).write(Entry(4, (), answers[2:], given_up))
    for item in asked:
        labels.ask(item)
    for answer in answers:
        labels.answer(answer)

    entries = list(LabelJournal(tmp_path).read())
    assert [entry.call for entry in entries] == [0, 3, 3, 4]
    assert entries[1].declined == (Declined("q5", "dark"),) and entries[3].answers == answers[2:]
    assert entries[3].declined == given_up
    again = labels_of(streams)
    for entry in entries:
        for item in entry.asked:
            again.ask(item)
        for answer in entry.answers:
            again.answer(answer)
    assert [item.question for item in again.pending.values()] == [item.question for item in labels.pending.values()]
    one, two = (x.sample(64, np.random.default_rng(0)) for x in (labels, again))
    for name in ("value", "prev_action", "is_first", "start_deter", "start_stoch"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name


def labels_of(streams):
    return LabelReplay(LabelReplayConfig(burn_in=3), streams.spaces, streams.deter, streams.stoch)


def test_questions_without_copies_survive_too(tmp_path):
    asked = tuple(Asked(Question(f"{i}", Clip(0, i, 1), "expert"), None, False) for i in range(3))
    LabelJournal(tmp_path).write(Entry(7, asked))
    assert list(LabelJournal(tmp_path).read()) == [Entry(7, asked)]
