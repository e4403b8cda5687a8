"""A video by hand: `tandem eval --video` shows every row of one episode, and says what it cannot."""

import os
import re
import sys
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from PIL import Image

from tandem.envs.make import EnvConfig
from tandem.errors import UserError
from tandem.training.reports.films import video
from tandem.training.reports.films.slate import Track
from tandem.training.reports.films.stage import VideoError, as_bytes
from tandem.training.reports.films.video import record_video
from tandem.usage import UsageError


class Countdown(gymnasium.Env):
    """Lives for 2 + (seed % 5) steps; step k pays k plus the action. It is drawn in a grey of 40 k."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)
    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 12}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.life, self.step_number = 2 + seed % 5, 0
        return self.seen(), {}

    def step(self, action):
        self.step_number += 1
        is_over = self.step_number >= self.life
        return self.seen(), float(self.step_number + action[0]), is_over, False, {}

    def render(self):
        return np.full((240, 320, 3), 40 * self.step_number, np.uint8)

    def seen(self):
        return np.array([self.step_number, self.life], np.float32)


class Unseen(Countdown):
    def render(self):
        return None


class Faulty(Countdown):
    def step(self, action):
        return super().step(action) if self.step_number < 1 else 1 // 0


class Thrifty(Countdown):
    """Observes by one array, which it writes anew."""

    array = np.zeros(2, np.float32)

    def seen(self):
        self.array[:] = super().seen()
        return self.array


class Half:
    """Acts 0.5."""

    def act(self, obs, state, is_first, mode):
        return np.full((len(is_first), 1), 0.5, np.float32), None


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    monkeypatch.setitem(sys.modules, "filmed_tasks", sys.modules[__name__])


def filmed(path, task="Countdown", **changes):
    return record_video(Half(), f"filmed_tasks:{task}", EnvConfig(), 0, path, **changes)


def greys(path):
    """Of the middle of each picture."""
    with Image.open(path) as film:
        found = []
        for index in range(film.n_frames):
            film.seek(index)
            found.append(film.convert("RGB").getpixel((160, 140))[0])
        return found


def test_a_video_shows_every_row_of_one_episode(tmp_path):
    path = tmp_path / "videos" / "a.gif"
    total = filmed(path)
    shown = greys(path)
    length = len(shown) - 1
    assert total == length * (length + 1) / 2 + 0.5 * length  # steps 1 .. L pay 1 + ... + L and L actions of 0.5
    assert shown == pytest.approx([40 * step for step in range(length + 1)], abs=6)


def test_a_video_replaces_nothing_that_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.gif")
    with pytest.raises(UsageError, match="is no ordinary file"):
        filmed(tmp_path / "a.gif")
    assert (tmp_path / "a.gif").is_fifo()


def test_an_mp4_shows_them_too(tmp_path):
    imageio = pytest.importorskip("imageio.v2")
    pytest.importorskip("imageio_ffmpeg")
    filmed(tmp_path / "a.mp4")
    with imageio.get_reader(tmp_path / "a.mp4") as film:
        shown = [picture[100:180, 100:220].mean() for picture in film]
        assert film.get_meta_data()["fps"] == 12
    assert shown == pytest.approx([40 * step for step in range(len(shown))], abs=6) and len(shown) > 2
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


def test_of_a_long_episode_rows_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(video.MOST_PICTURES, ".gif", 2)
    filmed(tmp_path / "a.gif")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "filmed_tasks", sys.modules[__name__])
    filmed(tmp_path / "b.gif")
    few, all_rows = greys(tmp_path / "a.gif"), greys(tmp_path / "b.gif")
    assert few in (all_rows[::2], all_rows[::4]) and len(few) <= 2 < len(all_rows)


@pytest.mark.parametrize("task", ["Countdown", "Thrifty"])
def test_what_is_told_of_the_episode_is_made_of_its_rows(tmp_path, task):
    traces = []

    def told(trace):
        traces.append(trace)
        return Track(trace.reward, imagined=trace.reward + 1, value=trace.reward)

    total = filmed(tmp_path / "a.gif", task, told=told)
    (trace,) = traces
    assert trace.reward.sum() == total and trace.obs["state"][:, 0].tolist() == list(range(len(trace.reward)))
    assert (trace.action[:-1] == 0.5).all() and trace.is_terminal.tolist() == [False] * (len(trace.reward) - 1) + [True]


def test_an_mp4_without_its_packages_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(VideoError, match=re.escape("[video]")):
        filmed(tmp_path / "a.mp4")


def test_a_video_of_another_kind_is_refused(tmp_path):
    with pytest.raises(VideoError, match=r"must end in \.mp4 or \.gif"):
        filmed(tmp_path / "a.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_a_picture_of_numbers_to_255_is_kept_and_one_of_numbers_to_1_is_scaled(dtype):
    bright = np.array([[0, 128, 255]]).astype(dtype)
    assert as_bytes(bright).tolist() == [[0, 128, 255]] and as_bytes(bright).dtype == np.uint8
    assert as_bytes(np.array([[0, 0.5, 1.0]])).tolist() == [[0, 128, 255]]
    assert as_bytes(np.array([[0, 1]], np.uint8)).tolist() == [[0, 1]]


def test_a_film_of_what_fails_is_one_line_and_leaves_no_file(tmp_path):
    with pytest.raises(
        UserError, match=r"^task: filmed_tasks:Faulty: while it was filmed, it raised ZeroDivisionError"
    ):
        filmed(tmp_path / "a.gif", "Faulty")
    assert list(tmp_path.iterdir()) == []


def test_a_task_without_pictures_is_said_plainly(tmp_path):
    with pytest.raises(VideoError, match="has no picture"):
        filmed(tmp_path / "a.gif", "Unseen")
