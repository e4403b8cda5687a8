"""Rows that several copies of labels need: kept once, written once, gone with the last label, and never lost before."""

import numpy as np
import pytest

from tandem.envs.records import Answer, Clip, Question
from tandem.frames import FrameLog
from tandem.worldmodel.replay.journal import rows as journal_rows
from tandem.worldmodel.replay.journal.labels import Entry, LabelJournal, entry_of
from tandem.worldmodel.replay.journal.rows import ReadRows
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay

BURN_IN = 3


@pytest.fixture
def world(address_streams):
    """Episodes of ten rows, 0 .. 9, 10 .. 19 and so on, of one environment."""
    streams = address_streams(num=1)
    transitions = TransitionReplay(ReplayConfig(), streams.spaces, 1, 4, streams.deter, streams.stoch)
    for tick in streams.ticks(60):
        transitions.add(Tick.of(*tick))
    return transitions


def labels_of(transitions, capacity=100):
    config = LabelReplayConfig(capacity=capacity, burn_in=BURN_IN)
    return LabelReplay(config, transitions.spaces, deter=2, stoch=3)


def asked(transitions, *steps):
    clips = [Clip(0, step) for step in steps]
    copies = transitions.copies(clips, BURN_IN)
    return [Asked(Question(f"{c.step}", c), copy, True) for c, copy in zip(clips, copies, strict=True)]


def buy(labels, transitions, *steps):
    for item in asked(transitions, *steps):
        labels.ask(item)
        labels.answer(Answer(item.question.key, float(item.question.clip.step)))


def test_labels_of_one_episode_share_the_rows_that_they_have_in_common(world):
    labels = labels_of(world)
    buy(labels, world, 16)  # rows 13 .. 16
    assert len(labels.shared) == 4
    buy(labels, world, 18)  # 15 .. 18: two are new
    assert len(labels.shared) == 6
    buy(labels, world, 11)  # 10 and 11, behind two rows of padding that cost nothing
    assert len(labels.shared) == 8
    # state 2 x 4 bytes, kind 4, action 4, is_first 1, and the count of users 4
    assert labels.shared.row_bytes == 21
    last = labels.newest(3)[0].obs["state"][:, :, 1]
    assert last.tolist() == [[13, 14, 15, 16], [15, 16, 17, 18], [0, 0, 10, 11]]


def test_a_row_goes_with_the_last_label_that_needs_it_and_makes_room(world):
    labels = labels_of(world, capacity=2)
    buy(labels, world, 16, 18)
    buy(labels, world, 29)  # the label of row 16 goes: rows 13 and 14 with it, 15 and 16 stay for the other
    assert len(labels.shared) == 4 + 4
    assert labels.newest(2)[0].obs["state"][:, :, 1].tolist() == [[15, 16, 17, 18], [26, 27, 28, 29]]
    buy(labels, world, 39, 49)
    assert len(labels.shared) == 8 and labels.shared.used == 1 + 4 + 4 + 4  # 39 lies where others were, 49 too
    assert labels.newest(2)[0].obs["state"][:, -1].tolist() == [[0, 39], [0, 49]]


def test_a_question_holds_its_rows_until_it_is_declined(world):
    labels = labels_of(world)
    for item in asked(world, 16, 17):
        labels.ask(item)
    assert len(labels.shared) == 5
    labels.decline("16")
    assert len(labels.shared) == 4
    labels.answer(Answer("17", 1.0))
    assert labels.newest(1)[0].obs["state"][0, :, 1].tolist() == [14, 15, 16, 17]


def test_a_row_of_the_same_name_and_other_content_is_kept_beside(world):
    labels = labels_of(world)
    buy(labels, world, 16)
    item = asked(world, 17)[0]
    item.copy.obs["state"][1] = -0.0  # row 15 as another life of the run had it
    labels.ask(item)
    labels.answer(Answer("17", 1.0))
    assert len(labels.shared) == 4 + 2  # 15 again, and 17
    assert labels.newest(2)[0].obs["state"][:, :, 1].tolist() == [[13, 14, 15, 16], [14, 0, 16, 17]]
    buy(labels, world, 14)  # 13 and 14 are held; 11 and 12 are new
    assert len(labels.shared) == 8


def test_rows_outgrow_their_first_room(world, monkeypatch):
    monkeypatch.setattr("tandem.worldmodel.replay.rows.shared_rows.FIRST_ROWS", 4)
    labels = labels_of(world)
    steps = [step for step in range(60) if step % 10]
    buy(labels, world, *steps)
    assert len(labels.shared) == 60 and labels.newest(60)[0].obs["state"][:, -1, 1].tolist() == steps


def test_the_journal_holds_each_row_once_whoever_writes_it(world, tmp_path):
    LabelJournal(tmp_path).write(Entry(0, tuple(asked(world, 16, 18))))
    journal = LabelJournal(tmp_path)  # another process, which knows what lies there
    journal.write(Entry(1, tuple(asked(world, 17, 19))))
    journal.write(Entry(2, tuple(asked(world, 14, 16))))
    frames = list(FrameLog(tmp_path).read())
    # 13 .. 18; then 19 alone; then 11 and 12
    assert [frame.arrays["rows/obs/state"][:, 1].tolist() for frame in frames] == [
        [13, 14, 15, 16, 17, 18],
        [19],
        [11, 12],
    ]
    assert frames[1].arrays["copy/rows"].tolist() == [[1, 2, 3, 4], [3, 4, 5, 6]]
    for entry, steps in zip(LabelJournal(tmp_path).read(), [(16, 18), (17, 19), (14, 16)], strict=True):
        for item, whole in zip(entry.asked, asked(world, *steps), strict=True):
            assert_same(item.copy, whole.copy)


def test_a_row_out_of_reach_is_written_again_and_read(world, tmp_path, monkeypatch):
    monkeypatch.setattr(journal_rows, "REACH_ROWS", 5)
    journal, steps = LabelJournal(tmp_path), [16, 17, 29, 17, 39, 16]
    for step in steps:
        journal.write(Entry(0, tuple(asked(world, step))))
    new = [len(frame.arrays["rows/is_first"]) for frame in FrameLog(tmp_path).read()]
    # 13-16 are rows 0-3, 17 is 4, 26-29 are 5-8. Of 14-17 only row 4 is in reach then: 14-16 again, 9-11. 36-39 are 12-15,
    # and of 13-16 row 11 is in reach.
    assert new == [4, 1, 4, 3, 4, 3]
    for entry, step in zip(LabelJournal(tmp_path).read(), steps, strict=True):
        assert_same(entry.asked[0].copy, asked(world, step)[0].copy)


def test_a_journal_of_whole_copies_is_read_and_written_on(world, tmp_path):
    """As version 0.2 brought over, and the first days of 0.3, wrote them."""
    items = asked(world, 16, 18)
    names = (
        "env",
        "step",
        "episode",
        "is_heldout",
        "context_step",
        "prev_action",
        "is_first",
        "start_deter",
        "start_stoch",
    )
    arrays = {f"copy/{name}": np.array([getattr(item.copy, name) for item in items]) for name in names}
    arrays |= {f"copy/obs/{name}": np.stack([item.copy.obs[name] for item in items]) for name in ("state", "kind")}
    arrays |= {"asked/key": np.array(["16", "18"]), "asked/tier": np.array(["default"] * 2)}
    arrays |= {"asked/clip": np.array([(0, 16, 1), (0, 18, 1)]), "asked/is_uniform": np.array([True, True])}
    log = FrameLog(tmp_path)
    log.append("asked", arrays, call=0)
    log.close()
    LabelJournal(tmp_path).write(Entry(1, tuple(asked(world, 17))))
    found = [item for entry in LabelJournal(tmp_path).read() for item in entry.asked]
    assert [item.question.key for item in found] == ["16", "18", "17"]
    for item, whole in zip(found, [*items, *asked(world, 17)], strict=True):
        assert_same(item.copy, whole.copy)


def test_what_a_lost_frame_held_is_cut_off_the_copies_of_later_ones(world, tmp_path):
    journal = LabelJournal(tmp_path)
    for step in (16, 17, 14, 29):
        journal.write(Entry(0, tuple(asked(world, step))))
    _, *later = FrameLog(tmp_path).read()  # 13 .. 16 are lost
    rows = ReadRows()
    entries = [entry_of(frame, rows) for frame in later]
    assert [sorted(entry.cut) for entry in entries] == [["17"], ["14"], []]
    (copy,) = (item.copy for item in entries[0].asked)
    assert copy.obs["state"][:, 1].tolist() == [0, 0, 0, 17] and copy.is_first.tolist() == [False, False, False, True]
    assert copy.context_step == -1 and not copy.start_deter.any() and not copy.prev_action.any()
    assert entries[1].asked == ()  # its labelled row itself: a question that is lost
    assert_same(entries[2].asked[0].copy, asked(world, 29)[0].copy)


def assert_same(one, other):
    for name in ("env", "step", "episode", "is_heldout", "context_step"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("prev_action", "is_first", "start_deter", "start_stoch"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name, values in other.obs.items():
        np.testing.assert_array_equal(one.obs[name], values)
