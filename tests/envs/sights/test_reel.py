"""The reel: sights by row, through restarts and damage, in a ring that drops the oldest."""

import numpy as np
import pytest

from tandem.envs.make import EnvConfig
from tandem.envs.records import Clip
from tandem.envs.sights.eye import SNAPSHOT
from tandem.envs.sights.reel import Reel
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv


def fail(line: str) -> None:
    pytest.fail(line)


def test_sights_come_back_by_row_also_after_a_restart(tmp_path):
    reel = Reel(tmp_path, fail)
    scene = bytes(range(200)) * 5  # what an episode changed: the same at every row
    written = {(env, step): scene + bytes([env, step]) for step in range(6) for env in range(2) if step != 4}
    for place, ((env, step), sight) in enumerate(written.items()):
        reel.put(env, step, sight)
        if place % 4 == 3:
            reel.write()
    expected = tuple(written.get((1, step), b"") for step in range(-1, 6))  # no row -1, and nothing of row 4
    assert reel.of(Clip(1, 5, 3), context=4) == expected  # the last of them are not yet written
    reel.write()
    reel.close()
    again = Reel(tmp_path, fail)
    again.load()
    assert again.of(Clip(1, 5, 3), context=4) == expected
    assert again.of(Clip(7, 5), context=0) == (b"",)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.log")) < 4 * len(scene)  # once a block, compressed


def test_rows_that_come_again_take_the_place_of_the_old(tmp_path):
    for value, steps in ((b"old", range(8)), (b"new", range(5, 9))):
        reel = Reel(tmp_path, fail)
        reel.load()
        for step in steps:
            reel.put(0, step, value)
        reel.write()
        reel.close()
    last = Reel(tmp_path, fail)
    last.load()
    assert last.of(Clip(0, 8, 9), 0) == (b"old",) * 5 + (b"new",) * 4


def test_the_ring_drops_the_oldest(tmp_path):
    rng = np.random.default_rng(0)
    reel = Reel(tmp_path, fail, cap_bytes=20_000, log_bytes=4_000)
    for step in range(60):
        reel.put(0, step, rng.bytes(1000))
        reel.write()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.log")) < 26_000
    sights = reel.of(Clip(0, 59, 60), 0)
    assert sights[0] == b"" and all(len(sight) == 1000 for sight in sights[-15:])


def test_damage_costs_the_rows_that_it_hits_and_stops_nobody(tmp_path):
    reel = Reel(tmp_path, fail)
    for step in range(3):
        reel.put(0, step, bytes([step]) * 50)
        reel.write()
    reel.close()
    path = next(tmp_path.rglob("*.log"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # within the second frame
    path.write_bytes(content)
    told = []
    again = Reel(tmp_path, told.append)
    again.load()
    assert len(told) == 1 and "damaged at frame 1" in told[0]
    assert [len(sight) for sight in again.of(Clip(0, 2, 3), 0)] == [50, 0, 0]
    again.put(0, 3, b"goes on")
    again.write()
    assert again.of(Clip(0, 3), 0) == (b"goes on",)


def test_a_disk_that_takes_nothing_costs_pictures_alone(tmp_path):
    (tmp_path / "sights").write_text("no folder")
    told = []
    reel = Reel(tmp_path / "sights", told.append)
    for step in range(2):
        reel.put(0, step, b"sight")
        reel.write()
    assert len(told) == 1 and reel.of(Clip(0, 1), 0) == (b"",)


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.run)])
def test_a_stream_leaves_a_sight_of_every_row(tmp_path, processes):
    config = EnvConfig(num=2, time_limit=3, processes=processes)
    reel = Reel(tmp_path, fail)
    env = VectorEnv("dmc_reacher_easy", config, 0, RewardVault(), reel=reel, looks="auto")
    for _ in range(6):
        env.step(np.full((2, 2), 0.7, np.float32))
    env.keep_sights()
    sights = reel.of(Clip(1, 5, 6), 0)
    env.close()
    assert all(sight[:1] == SNAPSHOT for sight in sights), sights
    assert len(set(sights)) == 6, "reset rows too, and each episode has a target of its own"
    assert {len(sight) for sight in sights} == {len(sights[0])}


def test_an_environment_without_pictures_says_so_once(tmp_path):
    told, reel = [], Reel(tmp_path, fail)
    env = VectorEnv("toy_lq", EnvConfig(num=2), 0, RewardVault(), told.append, reel=reel, looks="auto")
    for _ in range(3):
        env.step(np.zeros((2, env.spaces.action_size), np.float32))
    assert [line for line in told if "no pictures" in line] == told and len(told) == 1
