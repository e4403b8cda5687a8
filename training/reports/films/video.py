"""`tandem eval --video`: one episode, played and drawn here and now, into a file."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image

from ....durable import publish, whole_file
from ....envs.episodes import Trace
from ....envs.make import EnvConfig, make_env, spaces_of
from ....envs.sights.mp4 import missing, write_mp4
from ....seeds import Channel, derive_seed
from ....usage import place_of
from ..evaluate import Policy, longest
from .gif import gif
from .slate import HEIGHT, WIDTH, Slate, Track
from .stage import MOST_FRAMES, VideoError, draw, fps_of, played, speed

MOST_PICTURES = {".mp4": 2000, ".gif": MOST_FRAMES}  # of a film; of longer episodes rows are left out


def record_video(
    policy: Policy,
    task: str,
    env_config: EnvConfig,
    seed: int,
    path: Path,
    mode: bool = True,
    told: Callable[[Trace], Track] | None = None,
) -> float:
    """Film one episode to `path` (.mp4 or .gif), a picture an agent step, and return its true return.

    told: what is written and drawn beside the pictures; without it the true reward alone. VideoError where the task cannot
    be drawn, this machine has no way to draw, or imageio is not installed (.mp4). UsageError where no file can stand there.
    """
    path = Path(path)
    if path.suffix not in MOST_PICTURES:
        raise VideoError(f"{path}: a video's name must end in .mp4 or .gif")
    place = place_of("--video", path)
    if path.suffix == ".mp4" and (why := missing()):
        raise VideoError(f"{why}; a name that ends in .gif needs neither")
    env = make_env(task, env_config, derive_seed(seed, Channel.EVALUATION), render=True)
    try:
        reel = _Reel(MOST_PICTURES[path.suffix])
        trace = _play(env, policy, reel, task, longest(task, env_config), mode)
        fps = fps_of(env, env_config.repeat)
    finally:
        env.close()
    frames = _frames(reel, told(trace) if told else Track(trace.reward), task)
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4":
        _published(place, frames, fps / reel.stride)
    else:
        with whole_file(place) as file:
            file.write(gif(list(frames), speed(fps, range(0, len(trace.reward), reel.stride))).data)
    return float(trace.reward.sum())


@dataclass
class _Reel:
    """Pictures of an episode by their rows; once there are too many, every second one is let go."""

    most: int
    stride: int = 1
    pictures: dict[int, tuple[bytes, tuple[int, ...]]] = field(default_factory=dict)  # deflated, and the shape

    def add(self, row: int, picture: np.ndarray) -> None:
        if row % self.stride:
            return
        self.pictures[row] = (zlib.compress(picture.tobytes(), 1), picture.shape)
        if len(self.pictures) > self.most:
            self.stride *= 2
            self.pictures = {row: one for row, one in self.pictures.items() if row % self.stride == 0}

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for row, (data, shape) in self.pictures.items():
            yield row, np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)


def _frames(reel: _Reel, track: Track, title: str) -> Iterator[Image.Image]:
    height, width = next(iter(reel))[1].shape[:2]
    slate = Slate(track, title, max(width, WIDTH), height if width >= WIDTH else max(height, HEIGHT))
    for row, picture in reel:
        yield slate.frame(row, picture)


def _play(env: gymnasium.Env, policy: Policy, reel: _Reel, task: str, most: int, mode: bool) -> Trace:
    obs, state, action_size = played(task, env.reset)[0], None, spaces_of(env).action_size
    rows, actions, rewards, is_terminal = [_own(obs)], [], [0.0], [False]
    for row in range(most):
        reel.add(row, draw(env, task))
        batch = {key: np.asarray(value)[None] for key, value in obs.items()}
        action, state = policy.act(batch, state, np.array([row == 0]), mode)
        assert action.shape == (1, action_size), f"action {action.shape}, expected (1, {action_size})"
        obs, reward, is_terminated, is_truncated, _ = played(task, env.step, action[0])
        rows.append(_own(obs))
        actions.append(action[0])
        rewards.append(float(reward))
        is_terminal.append(bool(is_terminated))
        if is_terminated or is_truncated:
            reel.add(row + 1, draw(env, task))
            break
    seen = {key: np.stack([one[key] for one in rows]) for key in rows[0]}
    actions.append(np.zeros_like(actions[0]))
    return Trace(seen, np.stack(actions), np.array(rewards), np.array(is_terminal))


def _own(obs: dict) -> dict[str, np.ndarray]:
    """Copies: an environment may write its next observation into the same memory."""
    return {key: np.array(value) for key, value in obs.items()}


def _published(path: Path, frames: Iterator[Image.Image], fps: float) -> None:
    unfinished = path.with_name(f".{path.name}.tmp.mp4")
    try:
        write_mp4(unfinished, map(np.asarray, frames), max(1, round(fps)))
        publish(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
