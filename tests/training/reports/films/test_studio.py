"""Films are made in a process of their own: what becomes of it, training hears in one line."""

import os
import signal
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from tandem.envs.episodes import Trace
from tandem.envs.make import EnvConfig
from tandem.errors import UserError
from tandem.training.reports.films import studio
from tandem.training.reports.films.gif import Film
from tandem.training.reports.films.slate import Track
from tandem.training.reports.films.stage import Retake, Stage, is_like, speed, thinned
from tandem.training.reports.films.studio import Occasion, Studio

SHOTS = """
import os, sys, time
from tandem.errors import UserError
from tandem.training.reports.films.gif import Film

def good():
    print("a task that prints")
    os.write(1, b"and one that writes")
    loaded = [name for name in ("torch", "matplotlib", "tandem.training.learner") if name in sys.modules]
    return Film(repr((loaded, os.nice(0))).encode(), 4, 2)

def refused():
    raise UserError("task: it cannot be drawn here")

def broken():
    return 1 // 0

def crashed():
    os.kill(os.getpid(), 11)

def hanging():
    time.sleep(600)
"""
CORRIDOR = """
import gymnasium, numpy as np
from gymnasium.spaces import Box

class Corridor(gymnasium.Env):
    \"\"\"A place that the action moves; drawn as a bar. Its reward is the place.\"\"\"
    observation_space = Box(-9, 9, (1,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    jitter = 0.0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.count = self.np_random.uniform(), 0
        return np.array([self.place], np.float32), {}
    def step(self, action):
        self.count += 1
        self.place += float(action[0]) + self.jitter
        return np.array([self.place], np.float32), self.place, False, self.count == 5, {}
    def render(self):
        picture = np.full((240, 320, 3), 200, np.uint8)
        picture[:, :10 * self.count] = 50
        return picture

class Shaky(Corridor):
    jitter = 0.5

class Unseen(Corridor):
    def render(self):
        raise RuntimeError("no display")
"""


@pytest.fixture
def shots(tmp_path, monkeypatch):
    (tmp_path / "some_shots.py").write_text(SHOTS)
    (tmp_path / "corridors.py").write_text(CORRIDOR)
    monkeypatch.syspath_prepend(tmp_path)
    import some_shots

    yield some_shots
    for name in ("some_shots", "corridors"):
        sys.modules.pop(name, None)


class Audience:
    def __init__(self):
        self.seen, self.said = [], []

    def show(self, name, film, occasion):
        self.seen.append((name, film, occasion))

    def hired(self):
        return Studio(self.show, self.said.append)


@pytest.mark.run
def test_films_are_shown_with_their_occasion_and_failures_are_said_once(shots):
    audience = Audience()
    rooms = audience.hired()
    rooms.deliver()  # nothing was begun
    rooms.begin({"a": shots.good, "b": shots.refused, "c": shots.broken}, Occasion(3, 70))
    rooms.deliver()
    ((name, film, occasion),) = audience.seen
    assert (name, occasion) == ("a", Occasion(3, 70)) and (film.width, film.height) == (4, 2)
    assert film.data.decode() == repr(([], 10 + os.nice(0)))  # no torch in there, and in nobody's way
    assert len(audience.said) == 2 and all(
        line.startswith("warning: there will be no films ") for line in audience.said
    )
    assert "task: it cannot be drawn here" in audience.said[0] and "ZeroDivisionError" in audience.said[1]
    rooms.begin({"b": shots.refused, "c": shots.broken}, Occasion(4, 80))  # not tried again: there is no process
    assert rooms._order is None and len(audience.said) == 2


@pytest.mark.run
def test_a_crash_in_a_graphics_library_is_one_line(shots):
    audience = Audience()
    rooms = audience.hired()
    rooms.begin({"a": shots.crashed}, Occasion(0, 0))
    rooms.deliver()
    assert audience.seen == [] and len(audience.said) == 1 and "ended by signal 11" in audience.said[0]


@pytest.mark.run
def test_a_film_that_hangs_is_waited_for_a_while_and_ended(shots, monkeypatch):
    monkeypatch.setattr(studio, "WAITING_SECONDS", 0.2)
    audience = Audience()
    rooms = audience.hired()
    rooms.begin({"a": shots.hanging}, Occasion(0, 0))
    process = rooms._order._process
    rooms.deliver()
    assert process.poll() == -signal.SIGKILL and "not ready after 0.2" in audience.said[0]


@pytest.mark.run
def test_no_film_outlives_the_studio_or_the_trainer(shots):
    rooms = Audience().hired()
    rooms.begin({"a": shots.hanging}, Occasion(0, 0))
    process = rooms._order._process
    rooms.close()
    rooms.close()
    assert process.poll() == -signal.SIGKILL
    rooms.begin({"a": shots.hanging}, Occasion(0, 0))
    order = rooms._order
    time.sleep(1.0)  # it has begun
    os.close(order._held)  # as when the trainer is killed
    assert order._process.wait(20) in (1, -signal.SIGIO)  # by its own thread, or by the system's signal
    order._held = os.open(os.devnull, os.O_RDONLY)
    rooms.close()


def retake(task: str, length: int = 5, obs: dict | None = None) -> Retake:
    start = np.random.default_rng(7).uniform()  # gymnasium's generator of seed 7
    action = np.full((length + 1, 1), 0.25, np.float32)
    places = start + 0.25 * np.arange(length + 1)
    reward = np.where(np.arange(length + 1) > 0, places, 0.0)
    seen = {"state": places[:, None].astype(np.float32)} | (obs or {})
    trace = Trace(seen, action, reward, np.zeros(length + 1, bool))
    return Retake(Stage(task, EnvConfig(), 7), trace, Track(reward), "a title")


def test_an_episode_is_played_again_and_drawn(shots):
    film = retake("corridors:Corridor")()
    assert isinstance(film, Film) and film.data.startswith(b"GIF8")


def test_an_episode_that_goes_another_way_is_not_shown(shots):
    with pytest.raises(UserError, match=r"corridors:Shaky does not repeat an episode .* differs at row 1"):
        retake("corridors:Shaky")()


def test_where_nothing_can_be_drawn_what_was_observed_is_shown(shots):
    with pytest.raises(UserError, match="corridors:Unseen cannot be drawn here: RuntimeError: no display"):
        retake("corridors:Unseen")()
    borrowed = replace(retake("corridors:Corridor", obs={"eye": np.zeros((6, 16, 16, 3), np.uint8)}), stage=None)
    assert borrowed().data.startswith(b"GIF8")


def test_observations_are_alike_but_for_rounding():
    numbers, picture = np.array([1.0, 100.0]), np.zeros((4, 4, 3), np.uint8)
    assert is_like(numbers, numbers * 1.0001) and not is_like(numbers, numbers * 1.01)
    assert is_like(picture, picture + np.uint8(3)) and not is_like(picture, picture + np.uint8(5))


def test_long_episodes_are_thinned_and_shown_at_a_speed_that_can_be_watched():
    assert list(thinned(5, 10)) == [0, 1, 2, 3, 4] and list(thinned(7, 3)) == [0, 3, 6]
    assert len(thinned(1001, 300)) <= 300
    assert speed(4.0, range(5)) == 10 and speed(12.0, range(5)) == 12 and speed(60.0, range(0, 50, 2)) == 25
