"""What is kept of an environment at each row, so that the row can be looked at later: a snapshot, a frame, or nothing."""

import contextlib
import io
from typing import Any, Literal

import gymnasium
import numpy as np
from PIL import Image

from ...errors import UserError
from ..make import EnvConfig, make_env

Looks = Literal["auto", "snapshots", "frames", "traces", ""]  # traces and "": nothing is kept
SNAPSHOT, FRAME = b"S", b"F"  # what a sight begins with; then the snapshot, or a picture as webp
MOST_PIXELS = 320  # of a frame's longer side
QUALITY = 60  # of a frame, 100 at most


class Seen(gymnasium.Wrapper):
    """An environment with `sight()`."""

    def __init__(self, env: gymnasium.Env, form: bytes):
        super().__init__(env)
        self.form = form

    def sight(self) -> bytes:
        """Of the present row, its form first; b"" where it fails, which costs nobody an episode."""
        with contextlib.suppress(Exception):  # whatever a person's own code raises
            if self.form == SNAPSHOT:
                return SNAPSHOT + _layer(self.env).snapshot()
            picture = self.env.render()
            if isinstance(picture, np.ndarray):
                return FRAME + packed(picture)
        return b""


def make_seen(task: str, config: EnvConfig, seed: int, looks: Looks) -> gymnasium.Env:
    """An environment of `make_env`, Seen where there is something to keep. auto: snapshots, else frames unless images are
    observed anyway, else nothing. UserError where what was asked for cannot be had, and as `make_env`."""
    if looks == "frames":
        return Seen(make_env(task, config, seed, render=True), FRAME)
    env = make_env(task, config, seed)
    if looks in ("", "traces"):
        return env
    if has_snapshots(env):
        return Seen(env, SNAPSHOT)
    if looks == "snapshots":
        env.close()
        raise UserError(f"labeler.look: {task} has no snapshots: choose auto or frames")
    if _shows_images(env) or "rgb_array" not in (env.metadata or {}).get("render_modes", ()):
        return env
    try:
        drawn = make_env(task, config, seed, render=True)
    except UserError:  # no graphics library: it plays all the same
        return env
    env.close()
    return Seen(drawn, FRAME)


def sight_of(env: gymnasium.Env) -> bytes:
    """Of the present row of an environment of `make_seen`."""
    return env.sight() if isinstance(env, Seen) else b""


def has_snapshots(env: gymnasium.Env) -> bool:
    layer = _layer(env)
    return layer is not None and layer.has_snapshots


def draw(env: gymnasium.Env, snapshot: bytes, height: int, width: int) -> np.ndarray:
    """A snapshot of such an environment, drawn by one that was made with `render`: (height, width, 3) uint8, to the pixel
    what `render` gave then. It is left as it was. ValueError for a snapshot of another environment."""
    return _layer(env).draw_snapshot(snapshot, height, width)


def packed(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 -> webp, as large as it may be."""
    image = Image.fromarray(picture)
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    buffer = io.BytesIO()
    image.save(buffer, "webp", quality=QUALITY, method=0)
    return buffer.getvalue()


def _layer(env: gymnasium.Env) -> Any:
    """The layer of ours that takes snapshots; None: there is none."""
    while not hasattr(env, "draw_snapshot"):
        if not isinstance(env, gymnasium.Wrapper):
            return None
        env = env.env
    return env


def _shows_images(env: gymnasium.Env) -> bool:
    space = env.observation_space
    return isinstance(space, gymnasium.spaces.Dict) and any(one.dtype == np.uint8 for one in space.values())
