"""Where episodes are drawn: an environment with pictures, and an evaluated episode that is played there again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from ....envs.episodes import Trace
from ....envs.make import EnvConfig, make_env
from ....envs.pool import failure_of
from ....errors import UserError
from .gif import Film, gif
from .paint import rgb
from .slate import Slate, Track

MOST_FRAMES = 300  # of a film; of longer episodes rows are left out
DRAWING_SECONDS = 5.0  # of processor time, for drawing all of them: where a picture takes longer there are fewer
FASTEST, SLOWEST = 25.0, 10.0  # frames a second
OBSERVED_PER_SECOND = 30.0  # rows, where nothing says it
FLOATS, BYTES = (
    1e-3,
    4.0,
)  # by which an observation that is drawn again may differ: relative, and on average in a picture


class VideoError(UserError):
    """A video that cannot be made here; the message says what is missing."""


@dataclass(frozen=True)
class Stage:
    """What makes the start of an evaluated episode again: its task, and the seed that its reset was given."""

    task: str
    config: EnvConfig
    seed: int


@dataclass(frozen=True)
class Retake:
    """An evaluated episode, filmed: it is played again by its actions and drawn; where that fails, what it observed is shown.

    For a process of its own: called there, it loads a graphics library.
    """

    stage: Stage | None  # None: it cannot be played again
    trace: Trace
    track: Track
    title: str

    def __call__(self) -> Film:
        """VideoError where there is nothing to show: no picture can be drawn, and none was observed."""
        try:
            return self._drawn(self.stage)
        except UserError:
            images = [values for values in self.trace.obs.values() if values.dtype == np.uint8 and values.ndim == 4]
            if not images:
                raise
            return self._observed(images[0])

    def _drawn(self, stage: Stage | None) -> Film:
        if stage is None:
            raise VideoError(
                "evaluate.borrow: of the task one environment alone can be open, and none is left to draw in"
            )
        task, config = stage.task, stage.config
        env = make_env(task, config, 0, render=True)
        try:
            fps = fps_of(env, config.repeat)
            obs, _ = played(task, env.reset, seed=stage.seed)
            self._check(stage, 0, obs, 0.0)
            draw(env, task)  # the first picture takes longer than any other
            begun = time.process_time()
            rows = self._rows(draw(env, task), time.process_time() - begun)
            slate, frames = Slate(self.track, self.title), []
            for row in range(len(self.trace.action)):
                if row:
                    obs, reward, *_ = played(task, env.step, self.trace.action[row - 1])
                    self._check(stage, row, obs, float(reward))
                if row in rows:
                    frames.append(slate.frame(row, draw(env, task)))
            return gif(frames, speed(fps, rows))
        finally:
            env.close()

    def _observed(self, images: np.ndarray) -> Film:
        slate, rows = Slate(self.track, self.title), thinned(len(images), MOST_FRAMES)
        frames = [slate.frame(row, rgb(images[row])) for row in rows]
        return gif(frames, speed(OBSERVED_PER_SECOND, rows))

    def _rows(self, picture: np.ndarray, seconds: float) -> range:
        """Those that are drawn, as many as the time allows."""
        assert picture.ndim == 3, picture.shape
        most = min(MOST_FRAMES, int(DRAWING_SECONDS / max(seconds, 1e-6)))
        return thinned(len(self.trace.action), max(2, most))

    def _check(self, stage: Stage, row: int, obs: dict[str, np.ndarray], reward: float) -> None:
        """VideoError where the episode goes another way than it went: its pictures would show what never was."""
        pairs = [(key, self.trace.obs[key][row], obs[key]) for key in self.trace.obs]
        pairs.append(("its reward", self.trace.reward[row], np.asarray(reward)))
        for name, was, now in pairs:
            if not is_like(np.asarray(was), np.asarray(now)):
                raise VideoError(
                    f"task: {stage.task} does not repeat an episode by its seed and its actions: {name} differs at "
                    f"row {row}"
                )


def is_like(was: np.ndarray, now: np.ndarray) -> bool:
    """Whether two observations are one but for rounding; pictures may differ a little where they are drawn by another card."""
    if was.dtype == np.uint8:
        return float(np.abs(was.astype(np.float32) - now).mean()) <= BYTES
    return bool(np.allclose(was, now, rtol=FLOATS, atol=FLOATS))


def thinned(rows: int, most: int) -> range:
    """Every row, or every second, third ... of them, so that there are at most `most`."""
    return range(0, rows, -(-rows // most))


def speed(fps: float, rows: range) -> float:
    """Frames a second: as fast as the task, within what can be watched."""
    return min(FASTEST, max(SLOWEST, fps / rows.step))


def fps_of(env: gymnasium.Env, repeat: int) -> float:
    """Agent steps a second, by what the task says of itself."""
    return max(1.0, (env.metadata.get("render_fps") or 30) / repeat)


def played(task: str, call: Callable, *arguments: Any, **keywords: Any) -> Any:
    try:
        return call(*arguments, **keywords)
    except Exception as error:  # whatever a person's own code raises
        raise UserError(f"task: {task}: while it was filmed, it {failure_of(error)}") from error


def draw(env: gymnasium.Env, task: str) -> np.ndarray:
    """The present picture, (H, W, 3) bytes. VideoError where there is none."""
    try:
        picture: Any = env.render()
    except Exception as error:  # every GL backend has exception types of its own for a machine that cannot draw
        raise VideoError(
            f"task: {task} cannot be drawn here: {type(error).__name__}: {error} (try MUJOCO_GL=egl or osmesa)"
        ) from error
    if picture is None:
        raise VideoError(f"task: {task} has no picture: its render() returned None")
    picture = np.asarray(picture)
    if picture.ndim not in (2, 3) or picture.dtype.kind not in "uif":
        raise VideoError(f"task: {task} has no picture: its render() returned {picture.dtype} {picture.shape}")
    return rgb(as_bytes(picture[..., None] if picture.ndim == 2 else picture[..., :3]))


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """A picture of 0 .. 255; one of real numbers up to 1 is taken to be of 0 .. 1."""
    if picture.dtype.kind == "f" and picture.size and picture.max() <= 1:
        picture = np.rint(picture * 255)
    return np.clip(picture, 0, 255).astype(np.uint8)
