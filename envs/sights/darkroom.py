"""`python -m tandem.envs.sights.darkroom RUN`: the process that draws what raters will be shown next, ahead of need.

It yields to everybody else (nice), reads its order as a line of JSON from stdin, and ends when that is closed.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from ...errors import UserError
from ..graphics import settle_graphics
from ..labelers.people.films import Film, Films
from ..labelers.people.queue import Queue
from ..make import EnvConfig, make_env
from ..pool import failure_of, leave_with
from ..records import Clip, Question, Sight
from ..suites.atari import AtariConfig
from .eye import draw
from .film import HEIGHT, film, traces

AHEAD = 20  # questions that have films before anybody asks
NICE = 10
IDLE_SECONDS = 0.5


class Darkroom:
    """Draws the films of a queue's questions, snapshots by one environment that is built when the first is needed."""

    def __init__(self, films: Films, make: Callable[[], gymnasium.Env], say: Callable[[str], None]):
        """make: an environment made to be drawn; its UserError, and whatever else it raises, is said once, and what it
        would have drawn is shown as traces."""
        self._films, self._make, self._say = films, make, say
        self._env: gymnasium.Env | None = None
        self._size = (HEIGHT, HEIGHT)
        self._why_not = ""

    def draw_next(self) -> bool:
        """Draw the question that is needed first. -> whether there was one."""
        wanted = self._films.undrawn(AHEAD)
        for number in wanted[:1]:
            question = self._films.question(number)
            if question is not None:  # trainer and owner close questions meanwhile
                sides = zip(question.clips, question.sights, strict=True)
                self._films.put(number, [self._film(question, *side) for side in sides])
        return bool(wanted)

    def close(self) -> None:
        if self._env is not None:
            self._env.close()

    def _film(self, question: Question, clip: Clip, sight: Sight) -> Film:
        try:
            return film(clip, sight, self._draw, self._why_not)
        except Exception as error:  # noqa: BLE001 - of any graphics library, or a person's own code
            self._give_up(f"{error}" if isinstance(error, UserError) else f"{failure_of(error)}")
        try:
            return film(clip, sight, self._draw, self._why_not)  # frames and observed images are left
        except Exception as error:  # noqa: BLE001 - a picture that is damaged
            context = len(sight.prev_action) - sight.num_padding - clip.length
            return traces(sight, context, f"{question.key}: {failure_of(error)}")

    def _draw(self, snapshot: bytes) -> np.ndarray:
        if self._env is None:
            self._env = self._make()
            self._env.reset(seed=0)
            picture: Any = self._env.render()
            height, width = picture.shape[:2]
            self._size = (HEIGHT, round(width * HEIGHT / height))
        return draw(self._env, snapshot, *self._size)

    def _give_up(self, why: str) -> None:
        if not self._why_not:
            self._say(f"warning: clips cannot be drawn, raters see traces of their numbers: {why}")
        self._why_not = why or "it cannot be drawn"


def order(task: str, config: EnvConfig, seed: int) -> dict[str, Any]:
    """What a darkroom is told: plain JSON. Whoever orders says by it that the task's code may run."""
    return {"task": task, "envs": asdict(config), "seed": seed}


def refusal(why: str) -> dict[str, Any]:
    """The order where the environment is not to be built."""
    return {"why": why}


def start(run: Path, told: dict[str, Any]) -> subprocess.Popen:
    """The process; it ends when its stdin is closed, and so with this process. It imports from where this one does."""
    command = [sys.executable, "-m", __name__, str(run)]
    places = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=places)
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it ended, and has said why
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
    return process


def made(told: dict[str, Any]) -> gymnasium.Env:
    """The environment of an order. UserError where it refuses, or cannot be drawn here."""
    if "why" in told:
        raise UserError(told["why"])
    with suppress(ImportError, AttributeError, RuntimeError):  # whoever needs one will say what is missing
        settle_graphics()
    settings = told["envs"] | {"atari": AtariConfig(**told["envs"]["atari"]), "cameras": (), "keys": ()}
    config = replace(EnvConfig(**settings), observe="state")  # what a person is shown is drawn apart
    return make_env(told["task"], config, told["seed"], render=True)


def main(run: Path) -> None:
    os.nice(NICE)
    told = json.loads(_line(sys.stdin.fileno()))
    leave_with(sys.stdin.fileno())
    with Queue.open(run) as queue:
        films = Films(queue)
        room = Darkroom(films, lambda: made(told), lambda line: print(line, file=sys.stderr, flush=True))
        while True:
            if not room.draw_next():
                films.drop_old()
                queue.checkpoint()  # so that no rater waits for it
                time.sleep(IDLE_SECONDS)


def _line(descriptor: int) -> bytes:
    """The first line, and nothing that follows: whether there is more says whether the other side lives."""
    found = b""
    while not found.endswith(b"\n") and (byte := os.read(descriptor, 1)):
        found += byte
    return found


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except UserError as error:  # of the queue: a full disk, another run's file
        sys.exit(f"error: {error}")
