"""Atari games as published: repeats, pooled frames, no-ops, lives and sizes as in DreamerV3's presets (danijar/dreamerv3)."""

from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from PIL import Image

from ...errors import UserError
from ..wrappers import Choices

EPISODE_LENGTH = 108_000  # frames: half an hour of play
POOLED = 2  # of the last frames the brighter pixel: games draw some of their objects in every other frame
GREY = np.array([0.299, 0.587, 1 - (0.299 + 0.587)])  # of red, green, blue: an even mean would make some pairs equal
NOOP = 0


@dataclass(frozen=True)
class AtariConfig:
    sticky: bool = False  # the console takes the frame before's action again, one time in four
    noops: int = 30  # up to as many frames of doing nothing begin an episode
    lives: Literal["unused", "reset"] = "unused"  # reset: a life that is lost ends the episode
    actions: Literal["needed", "all"] = "needed"  # those that the game knows, or all 18 of the console
    grey: bool = False  # one channel in place of three

    def __post_init__(self):
        if self.noops < 0:
            raise ValueError(f"noops: must be at least 0, got {self.noops}")
        for name, known in (("lives", ("unused", "reset")), ("actions", ("needed", "all"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: must be {' or '.join(known)}, got {getattr(self, name)!r}")


class AtariEnv(gymnasium.Env):
    """One game: observes {"image": (size, size, 3 or 1) uint8}, acts by Choices.

    A step is `repeat` frames, fewer where the episode ends in them. An episode is a function of its seed and its actions.
    """

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 60}

    def __init__(self, ale: Any, rom: str, config: AtariConfig, size: int, repeat: int, length: int = EPISODE_LENGTH):
        """ale: an ale_py.ALEInterface; rom: the path of the game; length: frames, then the episode is truncated."""
        self._ale, self._rom, self._config = ale, rom, config
        self._size, self._repeat, self._length = size, repeat, length
        self._load(0)
        self._actions = ale.getMinimalActionSet() if config.actions == "needed" else ale.getLegalActionSet()
        self._frames = deque(np.zeros((POOLED, *ale.getScreenDims(), 3), np.uint8), maxlen=POOLED)
        self._num_frames = self._lives = 0
        channels = 1 if config.grey else 3
        self.observation_space = Dict({"image": Box(0, 255, (size, size, channels), np.uint8)})
        self.action_space = Choices((len(self._actions),))

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self._load(int(self.np_random.integers(2**31)))
        self._ale.reset_game()
        for _ in range(int(self.np_random.integers(self._config.noops + 1))):
            self._ale.act(NOOP)
            if self._ale.game_over():
                self._ale.reset_game()
        self._num_frames, self._lives = 0, self._ale.lives()
        for _ in range(POOLED):
            self._look()
        return self._seen(), {}

    def step(self, action: np.ndarray):
        reward, is_terminated, is_truncated = 0.0, False, False
        for number in range(self._repeat):
            reward += self._ale.act(self._actions[int(np.argmax(action))])
            self._num_frames += 1
            if number >= self._repeat - POOLED:
                self._look()
            is_terminated = bool(self._ale.game_over()) or self._has_lost_a_life()
            is_truncated = not is_terminated and self._num_frames >= self._length
            if is_terminated or is_truncated:
                break
        return self._seen(), reward, is_terminated, is_truncated, {}

    def render(self) -> np.ndarray:
        """The screen now, (210, 160, 3) uint8."""
        return self._ale.getScreenRGB()

    def _load(self, seed: int) -> None:
        # The console takes its seed only where a game is loaded.
        self._ale.setInt("random_seed", seed)
        self._ale.setFloat("repeat_action_probability", 0.25 if self._config.sticky else 0.0)
        self._ale.loadROM(self._rom)

    def _has_lost_a_life(self) -> bool:
        before, self._lives = self._lives, self._ale.lives()
        return self._config.lives == "reset" and 0 < self._lives < before

    def _look(self) -> None:
        self._frames.append(self._ale.getScreenRGB())

    def _seen(self) -> dict[str, np.ndarray]:
        pooled = Image.fromarray(np.max(self._frames, axis=0))
        image = np.asarray(pooled.resize((self._size, self._size), Image.Resampling.BILINEAR))
        if self._config.grey:
            image = (image * GREY).sum(-1, keepdims=True).astype(np.uint8)
        return {"image": np.array(image)}


@cache
def games() -> dict[str, str]:
    """Task -> the game's own name. UserError where ale-py is not installed."""
    names = _ale_py().roms.get_all_rom_ids()
    return {f"atari_{name}": name for name in names} | {"atari_james_bond": "jamesbond"}


def open_atari(task: str, config: AtariConfig, size: int, repeat: int, time_limit: int) -> AtariEnv:
    """The game of a task of `games`; time_limit: frames, 0 for the published ones."""
    ale_py = _ale_py()
    ale = ale_py.ALEInterface()
    length = min(time_limit or EPISODE_LENGTH, EPISODE_LENGTH)
    return AtariEnv(ale, str(ale_py.roms.get_rom_path(games()[task])), config, size, repeat, length)


def _ale_py() -> Any:
    try:
        import ale_py
        import ale_py.roms
    except ImportError as error:
        raise UserError(f"task: an Atari game needs the package ale-py, install the extra [atari] ({error})") from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return ale_py
