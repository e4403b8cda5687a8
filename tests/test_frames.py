"""Append-only logs: whatever happens to their files is noticed, or is what a crash may leave."""

import errno
import hashlib
import os

import numpy as np
import pytest

from tandem.frames import DamagedLog, FrameLog


def written(folder, frames=5, segment_bytes=600):
    log = FrameLog(folder, segment_bytes)
    for i in range(frames):
        log.append("rows", {"x": np.arange(10) + i, "names": np.array(["a", "bc"])}, key=f"{i}")
    log.sync()
    log.close()
    return log


def contents(folder):
    frames = FrameLog(folder).read()
    return [(f.number, f.kind, f.values, f.arrays["x"].tolist(), f.arrays["names"].tolist()) for f in frames]


def test_frames_come_back_in_order_from_several_files(tmp_path):
    log = written(tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000000.log", "000001.log", "000002.log"]
    assert contents(tmp_path) == [(i, "rows", {"key": f"{i}"}, list(range(i, i + 10)), ["a", "bc"]) for i in range(5)]
    assert log.count == 5 and log.frame(3).values == {"key": "3"}


def test_a_log_goes_on_where_it_ended(tmp_path):
    written(tmp_path, 3), FrameLog(tmp_path).append("more", {})
    assert [frame.kind for frame in FrameLog(tmp_path).read()] == ["rows"] * 3 + ["more"]


def test_every_flipped_bit_is_noticed_or_tears_the_last_frame_off(tmp_path):
    written(tmp_path, 3, 10**6)
    path = tmp_path / "000000.log"
    whole, truth = path.read_bytes(), contents(tmp_path)
    last = FrameLog(tmp_path)
    list(last.read())
    start = last.segments[0].starts[-1]
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            if place < start:
                with pytest.raises(DamagedLog, match=r"000000\.log: damaged at frame"):
                    contents(tmp_path)
            else:
                assert contents(tmp_path) == truth[:2]


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_an_unfinished_frame_at_the_end_is_cut_off_by_the_next_one(tmp_path, cut):
    written(tmp_path, 3, 10**6)
    path = tmp_path / "000000.log"
    path.write_bytes(path.read_bytes()[:-cut])
    log = FrameLog(tmp_path)
    log.append("more", {})
    assert [frame.kind for frame in FrameLog(tmp_path).read()] == ["rows", "rows", "more"]


def test_a_file_that_is_missing_or_cut_in_the_middle_is_named(tmp_path):
    written(tmp_path)
    (tmp_path / "000001.log").write_bytes((tmp_path / "000001.log").read_bytes()[:-3])
    with pytest.raises(DamagedLog, match=r"000001\.log"):
        contents(tmp_path)
    (tmp_path / "000001.log").unlink()
    with pytest.raises(DamagedLog, match=r"000001\.log: damaged at frame 2: the file is missing"):
        contents(tmp_path)


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    log = written(tmp_path, 2, 10**6)
    before = contents(tmp_path)

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            self.file.write(data[:30])
            self.file.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            self.file.close()

    with monkeypatch.context() as patch:
        patch.setattr(FrameLog, "_open_file", lambda self, size, real=FrameLog._open_file: Full(real(self, size)))
        with pytest.raises(OSError, match="No space"):
            log.append("more", {})
    log.close()
    assert contents(tmp_path) == before
    log.append("more", {})
    assert (
        len(contents_kinds := [frame.kind for frame in FrameLog(tmp_path).read()]) == 3 and contents_kinds[-1] == "more"
    )


def test_the_manifest_holds_the_hash_of_every_file(tmp_path):
    log = written(tmp_path)
    for name, one in log.manifest().items():
        content = (tmp_path / name).read_bytes()
        assert one == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_objects_are_never_written(tmp_path):
    with pytest.raises(AssertionError):
        FrameLog(tmp_path).append("x", {"x": np.array([os], object)})


def test_what_a_killed_process_did_not_sync_is_synced_before_anybody_counts_on_it(tmp_path, monkeypatch):
    written(tmp_path)
    synced, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda number: (synced.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
    )
    log = FrameLog(tmp_path)
    for _ in range(2):
        assert len(list(log.read())) == 5
    assert synced == []  # who only reads waits for nothing
    log.sync()
    log.sync()
    assert synced == [str(tmp_path / "000002.log"), str(tmp_path)]
    log.close()


def test_a_frame_may_be_longer_than_a_file_should_be(tmp_path):
    for _ in range(2):
        written(tmp_path, frames=1, segment_bytes=10)
    assert len(contents(tmp_path)) == 2 and len(list(tmp_path.iterdir())) == 2
