"""The journals on disk: what was received comes back whole and in order, or the damaged file is named."""

import errno
import os

import numpy as np
import pytest
import torch

from tandem.envs.records import Answer, Clip, Question
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.npz import ChunkError
from tandem.worldmodel.replay.journal.transitions import ChunkWriter, read_chunks, refill, sealed_units
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay


def replay_of(streams, capacity=1000):
    config = ReplayConfig(capacity=capacity, heldout_capacity=20)
    return TransitionReplay(config, streams.spaces, streams.num, 4, streams.deter, streams.stoch)


def collect(streams, writer, replay, chunks, ticks, first_key=1):
    for key in range(first_key, first_key + chunks):
        for tick in streams.ticks(ticks):
            replay.add(Tick.of(*tick))
            writer.append(Tick.of(*tick))
        writer.seal(f"{key:08d}")


def same_rings(one, two):
    for rings, other in ((one.training, two.training), (one.heldout, two.heldout)):
        assert np.array_equal(rings.count, other.count)
        slot = rings.slot(*rings.every_row())
        assert np.array_equal(slot, other.slot(*other.every_row()))
        for name in rings.columns:
            assert np.array_equal(rings.columns[name][slot], other.columns[name][slot]), name
    return True


def test_a_refill_holds_the_same_rows_in_the_same_slots(address_streams, tmp_path):
    streams = address_streams(num=2, heldout={(0, 1), (1, 3)})
    replay = replay_of(streams, capacity=60)
    collect(streams, ChunkWriter(tmp_path), replay, chunks=5, ticks=13)
    again = replay_of(streams, capacity=60)
    refill(again, tmp_path)
    assert same_rings(replay, again) and again.received == replay.received == 2 * (65 - 7)
    steps = [tick.transition.step.tolist() for tick in read_chunks(tmp_path)]
    assert steps == [[t, t] for t in range(65)]


def test_a_chunk_knows_how_many_transitions_were_bought_in_it(address_streams, tmp_path):
    streams, writer = address_streams(num=3), ChunkWriter(tmp_path)
    for tick in streams.ticks(12):  # rows 0 and 10 are first rows
        writer.append(Tick.of(*tick))
    assert writer.seal("00000004") == 3 * 10 == sealed_units(tmp_path, "00000004")
    assert sealed_units(tmp_path, "00000005") is None
    assert writer.seal("00000005") == 0 and sealed_units(tmp_path, "00000005") is None


def test_a_later_writer_goes_on_where_the_folder_ends(address_streams, tmp_path):
    streams, replay = address_streams(num=2), replay_of(address_streams(num=2))
    collect(streams, ChunkWriter(tmp_path), replay, chunks=2, ticks=7)
    collect(streams, ChunkWriter(tmp_path), replay, chunks=2, ticks=7, first_key=3)
    again = replay_of(streams)
    refill(again, tmp_path)
    assert same_rings(replay, again) and again.next_step.tolist() == [28, 28]
    with pytest.raises(AssertionError):
        collect(streams, ChunkWriter(tmp_path), replay, chunks=1, ticks=1, first_key=4)


@pytest.mark.parametrize("missing, named", [("00000001", "00000002"), ("00000002", "00000003")])
def test_a_missing_chunk_is_named(address_streams, tmp_path, missing, named):
    streams = address_streams(num=1)
    collect(streams, ChunkWriter(tmp_path), replay_of(streams), chunks=3, ticks=5)
    (tmp_path / f"{missing}.npz").unlink()
    with pytest.raises(ChunkError, match=f"{named}.npz: begins at rows"):
        refill(replay_of(streams), tmp_path)


def test_every_flipped_byte_is_noticed_or_harmless(address_streams, tmp_path):
    streams = address_streams(num=2)
    collect(streams, ChunkWriter(tmp_path), replay_of(streams), chunks=1, ticks=3)
    path = tmp_path / "00000001.npz"
    whole, truth = path.read_bytes(), [tick.deter for tick in read_chunks(tmp_path)]
    noticed = 0
    for position in range(0, len(whole), 11):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x40]) + whole[position + 1 :])
        try:
            read = [tick.deter for tick in read_chunks(tmp_path)]
        except ChunkError as error:
            assert "00000001.npz" in str(error)
            noticed += 1
        else:
            assert np.array_equal(read, truth)
    assert noticed > 0.5 * len(whole) / 11


def test_a_truncated_chunk_is_named(address_streams, tmp_path):
    streams = address_streams(num=2)
    collect(streams, ChunkWriter(tmp_path), replay_of(streams), chunks=1, ticks=3)
    path = tmp_path / "00000001.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ChunkError, match=r"00000001.npz"):
        list(read_chunks(tmp_path))


def test_a_full_disk_leaves_no_file_and_the_ticks_can_be_sealed_later(address_streams, tmp_path, monkeypatch):
    streams, writer = address_streams(num=1), ChunkWriter(tmp_path)
    for tick in streams.ticks(5):
        writer.append(Tick.of(*tick))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            writer.seal("00000001")
    assert list(tmp_path.iterdir()) == [] and sealed_units(tmp_path, "00000001") is None
    assert writer.seal("00000001") == 4 and len(list(read_chunks(tmp_path))) == 5


def test_what_a_killed_writer_left_behind_is_not_read(address_streams, tmp_path):
    streams = address_streams(num=1)
    collect(streams, ChunkWriter(tmp_path), replay_of(streams), chunks=1, ticks=5)
    (tmp_path / ".00000002.npz.tmp").write_bytes(b"half a file")
    assert len(list(read_chunks(tmp_path))) == 5


def test_pending_and_answered_labels_survive_a_restart(address_streams, tmp_path):
    streams = address_streams(num=2, heldout={(0, 1)})
    replay = replay_of(streams)
    for tick in streams.ticks(30):
        replay.add(Tick.of(*tick))
    journal, labels = LabelJournal(tmp_path), labels_of(streams)
    clips = replay.open.draw(20, np.random.default_rng(0))
    asked = [
        Asked(Question(f"q{i}", s), c, i % 2 == 0)
        for i, (s, c) in enumerate(zip(clips, replay.copies(clips, 3), strict=True))
    ]
    journal.seal_asked(asked[:12])
    journal.seal_asked(asked[12:])
    for item in asked:
        labels.ask(item)
    answers = [Answer(f"q{i}", 0.1 * i) for i in (4, 0, 17, 9)]
    journal.seal_answers(answers[:2])
    LabelJournal(tmp_path).seal_answers(answers[2:])
    for answer in answers:
        labels.answer(answer)

    again, journal = labels_of(streams), LabelJournal(tmp_path)
    for item in journal.read_asked():
        again.ask(item)
    for answer in journal.read_answers():
        again.answer(answer)
    assert list(again.pending) == list(labels.pending) and len(again.pending) == 16
    assert [item.question for item in again.pending.values()] == [item.question for item in labels.pending.values()]
    assert again.received == 4 and again.num_heldout == labels.num_heldout
    one, two = (x.sample(64, np.random.default_rng(0)) for x in (labels, again))
    for name in ("value", "prev_action", "is_first", "start_deter", "start_stoch"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    assert torch.equal(one.obs["state"], two.obs["state"]) and torch.equal(one.obs["kind"], two.obs["kind"])


def labels_of(streams):
    return LabelReplay(LabelReplayConfig(burn_in=3), streams.spaces, streams.deter, streams.stoch)


def test_questions_without_copies_survive_too(tmp_path):
    asked = [Asked(Question(f"{i}", Clip(0, i, 1), "expert"), None, False) for i in range(3)]
    LabelJournal(tmp_path).seal_asked(asked)
    assert LabelJournal(tmp_path).read_asked() == asked


def test_a_missing_file_of_the_label_journal_is_named(tmp_path):
    journal = LabelJournal(tmp_path)
    for i in range(3):
        journal.seal_answers([Answer(f"{i}", float(i))])
    (tmp_path / "answers-00000001.npz").unlink()
    with pytest.raises(ChunkError, match=r"answers-00000001.npz is missing"):
        journal.read_answers()


def test_empty_purchases_write_nothing(tmp_path):
    journal = LabelJournal(tmp_path)
    journal.seal_asked([])
    journal.seal_answers([])
    assert list(tmp_path.iterdir()) == [] and journal.read_asked() == []
