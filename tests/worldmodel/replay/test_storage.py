"""Columns that grow in place, in main memory and in files: what they held stays, and what is new is zero."""

import os

import numpy as np
import pytest

from tandem.errors import UserError
from tandem.worldmodel.replay.rows import rings
from tandem.worldmodel.replay.rows.rings import Rings
from tandem.worldmodel.replay.rows.storage import Storage
from tandem.worldmodel.replay.tick import Tick, Ticks
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay


@pytest.fixture(params=["memory", "mmap"])
def storage(request, tmp_path):
    return Storage(tmp_path / "scratch" if request.param == "mmap" else None)


def test_an_array_keeps_its_rows_and_gains_zeros(storage):
    first = storage.array("a", (3, 2), np.int32)
    first[:] = [[1, 2], [3, 4], [5, 6]]
    del first
    grown = storage.array("a", (5000, 2), np.int32)
    assert grown[:3].tolist() == [[1, 2], [3, 4], [5, 6]] and not grown[3:].any()


def test_an_array_grows_while_somebody_looks_at_it(storage):
    first = storage.array("a", (3,), np.uint8)
    first[:] = 7
    assert storage.array("a", (9000,), np.uint8)[:3].tolist() == [7, 7, 7] == first.tolist()


@pytest.mark.parametrize("capacity", [13, 100])
def test_streams_keep_their_rows_while_their_rings_grow(storage, capacity, monkeypatch):
    """Row (stream, k) holds 100 stream + k; a ring that began with 4 rows a stream grows to 8 and so on."""
    monkeypatch.setattr(rings, "FIRST_ROWS", 4)
    held = Rings({"value": ((), np.int64), "is_open": ((), bool)}, 3, capacity, storage)
    stream = np.arange(3)
    for k in range(40):
        held.append(stream, {"value": 100 * stream + k, "is_open": np.ones(3, bool)})
        alive, row = held.every_row()
        assert held.read("value", held.slot(alive, row)).tolist() == (100 * alive + row).tolist()
        assert held.columns["is_open"].sum() == len(row)  # a place that was left is no open row


def test_files_lie_in_the_folder_without_names(tmp_path):
    storage = Storage(tmp_path / "scratch")
    storage.array("a/b", (1000,), np.float32)[:] = 1.0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    storage = Storage(tmp_path)
    kept = storage.array("obs/image", (10,), np.uint8)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match=r"^replay.folder: .* cannot hold 20,000 bytes of obs/image \(No space left"):
        storage.array("obs/image", (20_000,), np.uint8)
    assert kept.tolist() == [0] * 10


def test_a_mapped_replay_is_the_replay_bit_for_bit(address_streams, tmp_path):
    held = []
    for scratch in (None, tmp_path):
        streams = address_streams(num=2, heldout={(0, 1)})
        replay = TransitionReplay(ReplayConfig(), streams.spaces, 2, 4, streams.deter, streams.stoch, scratch)
        replay.extend(Ticks.of([Tick.of(*tick) for tick in streams.ticks(1500)]))  # past the first room
        held.append(replay)
    assert held[0].fingerprint() == held[1].fingerprint()
    one, other = (replay.sample(8, np.random.default_rng(0)) for replay in held)
    assert one.obs["state"].equal(other.obs["state"]) and one.start_deter.equal(other.start_deter)
