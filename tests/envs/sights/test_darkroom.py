"""The darkroom: film strips of real clips, traces where nothing can be drawn, in a process that nobody has to wait for."""

import io
import json
import time

import gymnasium
import numpy as np
import pytest
from PIL import Image

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.people.films import Films
from tandem.envs.labelers.people.people import People
from tandem.envs.make import EnvConfig, UnknownTask, make_env
from tandem.envs.records import Clip, Question, Sight
from tandem.envs.sights import darkroom
from tandem.envs.sights.darkroom import Darkroom
from tandem.envs.sights.eye import FRAME, packed
from tandem.envs.sights.film import film, strip
from tandem.envs.sights.reel import Reel
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv

TASK = "dmc_cartpole_swingup"


def fail(*args):
    pytest.fail(str(args))


def ask(tmp_path) -> People:
    """A question and a pair about 3 rows of cartpole after 2 others, of which the first is none."""
    reel = Reel(tmp_path / "sights", fail)
    env = VectorEnv(TASK, EnvConfig(num=1), 0, RewardVault(), reel=reel, looks="auto")
    ticks = [env.step(np.full((1, 1), 0.8, np.float32)) for _ in range(4)]
    env.close()
    clip = Clip(0, 3, 3)
    obs = {
        key: np.stack([values[0] * 0, *(tick.obs[key][0] for tick in ticks)]) for key, values in ticks[0].obs.items()
    }
    sight = Sight(obs, np.full((5, 1), 0.8, np.float32), 1, (b"", *reel.of(clip, context=1)))
    people = People(tmp_path, LabelerConfig(name="people"), 1000)
    pair = Question("pair", clip, kind="pair", right=clip, sights=(sight, sight))
    people.submit([Question("one", clip, kind="clip", sights=(sight,)), pair])
    return people


def test_a_strip_holds_every_frame_where_the_facts_say():
    colours = np.random.default_rng(0).integers(0, 256, (7, 3), np.uint8)
    made = strip([np.full((24, 32, 3), colour, np.uint8) for colour in colours], context=2)
    assert made.facts == {"frames": 7, "width": 32, "height": 24, "columns": 3, "fps": 12, "context": 2}
    picture = np.asarray(Image.open(io.BytesIO(made.webp)).convert("RGB"))
    assert picture.shape == (3 * 24, 3 * 32, 3)
    for frame, colour in enumerate(colours):
        row, column = divmod(frame, 3)
        middle = picture[row * 24 + 12, column * 32 + 16]
        assert np.abs(middle.astype(int) - colour).max() < 24  # webp halves the resolution of colours


def test_kept_frames_and_observed_images_are_pictures_too():
    clip, actions = Clip(0, 9, 2), np.zeros((4, 1), np.float32)
    kept = packed(np.full((24, 32, 3), 200, np.uint8))
    sight = Sight({"place": np.zeros((4, 2), np.float32)}, actions, 1, (b"", b"", FRAME + kept, FRAME + kept))
    assert film(clip, sight, fail).facts | {"fps": 0} == {  # the row before the clip has no frame and is not shown
        "frames": 2, "width": 32, "height": 24, "columns": 2, "fps": 0, "context": 0,
    }  # fmt: skip
    seen = Sight({"image": np.full((4, 64, 64, 1), 90, np.uint8)}, actions, 1)
    made = film(clip, seen, fail)
    assert (made.facts["frames"], made.facts["context"], made.facts["width"]) == (3, 1, 192)


def test_without_pictures_the_numbers_that_move_are_shown_and_why():
    obs = {"still": np.ones((4, 20), np.float32), "place": np.array([[0.0], [1], [2], [np.nan]], np.float32)}
    made = film(Clip(0, 9, 2), Sight(obs, np.zeros((4, 1), np.float32), 1), fail, "no graphics library")
    assert made.webp == b"" and made.facts["why"] == "no graphics library"
    assert (made.facts["frames"], made.facts["context"], len(made.facts["traces"])) == (3, 1, 12)
    assert {"name": "place", "values": [1.0, 2.0, None]} in made.facts["traces"]
    json.dumps(made.facts, allow_nan=False)


def test_questions_are_drawn_one_after_the_other_as_the_environment_was(tmp_path):
    try:
        make_env(TASK, EnvConfig(), 0, render=True).close()
    except UnknownTask as error:
        pytest.skip(str(error))
    people = ask(tmp_path)
    films = Films(people.queue)
    room = Darkroom(
        films, lambda: darkroom.made(darkroom.order(TASK, EnvConfig(observe="both", cameras=("0",)), 0)), fail
    )
    while room.draw_next():
        pass
    assert [films.film(1), films.film(2, 1)] == [films.film(2), films.film(2)]  # a pair has two
    shown = films.film(1)
    assert shown is not None
    assert shown.facts == {"frames": 4, "width": 320, "height": 240, "columns": 2, "fps": 12, "context": 1}
    assert 2_000 < len(shown.webp) < 60_000
    room.close()
    people.close()


class Broken(gymnasium.Env):
    def reset(self, **_):
        raise RuntimeError("no more")


def test_what_cannot_be_drawn_is_said_once_and_shown_as_traces(tmp_path):
    people, said = ask(tmp_path), []
    room = Darkroom(Films(people.queue), Broken, said.append)
    assert room.draw_next() and room.draw_next() and not room.draw_next()
    shown = Films(people.queue).film(2, 1)
    assert len(said) == 1 and "raised RuntimeError: no more" in said[0]
    assert shown is not None and shown.webp == b"" and "no more" in shown.facts["why"] and shown.facts["traces"]
    people.close()


def test_a_question_that_closes_before_it_is_drawn_is_left_out(tmp_path):
    people = ask(tmp_path)

    class Closing(Films):
        def question(self, question):
            people.expire(["one"])  # the trainer, between two reads
            return super().question(question)

    room = Darkroom(Closing(people.queue), Broken, lambda line: None)
    assert room.draw_next() and Films(people.queue).film(1) is None
    assert room.draw_next() and Films(people.queue).film(2) is not None
    assert not room.draw_next()
    people.close()


@pytest.mark.run
def test_a_process_draws_until_its_order_is_closed(tmp_path):
    people = ask(tmp_path)
    process = darkroom.start(tmp_path, darkroom.refusal("task: my:Own is not trusted"))
    films, until = Films(people.queue), time.monotonic() + 60
    while films.film(2, 1) is None:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    shown = films.film(1)
    assert shown is not None and shown.facts["why"] == "task: my:Own is not trusted"
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)
    people.close()
