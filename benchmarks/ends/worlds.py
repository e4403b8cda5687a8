"""Two worlds of one kind, a point in a plane and a map: in one it tells what actions do, in the other what is rewarded.

Neither ends an episode: envs.time_limit does. What makes labels scarce on `Hills` is the noise of its raters (settings.py).
"""

from dataclasses import dataclass

import gymnasium
import numpy as np

CLOCKS = np.pi * np.array([0.5, 1.0, 2.0])  # radians a unit of length


@dataclass(frozen=True)
class Bumps:
    """A smooth map of the square [-1, 1]^2: a sum of Gaussian bumps of one width, high and deep ones."""

    centres: np.ndarray  # (bumps, 2)
    heights: np.ndarray  # (bumps,)
    width: float

    @classmethod
    def drawn(cls, seed: int, number: int, width: float) -> "Bumps":
        """Bumps at places and with heights drawn by chance, scaled to a standard deviation of 1 over the square."""
        rng = np.random.default_rng(seed)
        made = cls(rng.uniform(-1.1, 1.1, (number, 2)), rng.normal(size=number), width)
        axis = np.linspace(-1, 1, 41)
        grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        return cls(made.centres, made.heights / made.at(grid).std(), width)

    def at(self, places: np.ndarray) -> np.ndarray:
        """(..., 2) -> (...)."""
        squares = ((places[..., None, :] - self.centres) ** 2).sum(-1)
        return np.exp(-squares / (2 * self.width**2)) @ self.heights


class _Plane(gymnasium.Env):
    """A point in the square [-1, 1]^2, and a map that somebody has to learn."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, numbers: int, bumps: int, width: float, stride: float):
        """numbers: observed."""
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (numbers,), np.float32)
        self.map, self.stride = Bumps.drawn(2, bumps, width), stride
        self.place = np.zeros(2)

    def push(self, move: np.ndarray) -> None:
        """Walls stop it."""
        self.place = np.clip(self.place + move, -1, 1)


class Gears(_Plane):
    """Every push is turned by the angle that the map gives for a spot, which is drawn anew in every episode and shown; the
    reward is the first coordinate arrived at."""

    def __init__(self, bumps: int = 60, width: float = 0.45, stride: float = 0.2, turn: float = 2.0):
        """turn: standard deviation of the map's angles, in radians."""
        super().__init__(16, bumps, width, stride)
        self.turn, self.spot = turn, np.zeros(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.spot = self.np_random.uniform(-1, 1, (2, 2))
        return self.shown(), {}

    def step(self, action):
        angle = self.turn * float(self.map.at(self.spot))
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.push(self.stride * turned @ np.asarray(action, float))
        return self.shown(), float(self.place[0]), False, False, {}

    def shown(self) -> np.ndarray:
        return np.concatenate([self.place, seen(self.spot)], dtype=np.float32)


class Hills(_Plane):
    """The reward is the height of the map where the point has come to."""

    def __init__(self, bumps: int = 60, width: float = 0.3, stride: float = 0.2):
        super().__init__(14, bumps, width, stride)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 2)
        return seen(self.place), {}

    def step(self, action):
        self.push(self.stride * np.asarray(action, float))
        return seen(self.place), float(self.map.at(self.place)), False, False, {}


def seen(spot: np.ndarray) -> np.ndarray:
    """A spot as it is observed, (14,): its two coordinates, and the hands of three clocks for either."""
    angles = np.outer(CLOCKS, spot).ravel()
    return np.concatenate([spot, np.sin(angles), np.cos(angles)]).astype(np.float32)
