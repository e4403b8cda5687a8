"""Two worlds of one kind, a point in a plane: in one the map is in what actions do, in the other in what places are worth.

Both observe where the point is, and neither ends an episode: envs.time_limit does.
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
    """A place in the square is seen by its two coordinates and by the hands of three clocks for each."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (14,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 2)
        return self.seen(), {}

    def seen(self) -> np.ndarray:
        angles = np.outer(CLOCKS, self.place).ravel()
        return np.concatenate([self.place, np.sin(angles), np.cos(angles)]).astype(np.float32)


class Hills(_Plane):
    """The point goes where it is pushed; the reward is the height of the place, from a map of many bumps."""

    def __init__(self, bumps: int = 60, width: float = 0.15, stride: float = 0.08):
        self.map, self.stride = Bumps.drawn(1, bumps, width), stride

    def step(self, action):
        self.place = np.clip(self.place + self.stride * np.asarray(action, float), -1, 1)
        return self.seen(), float(self.map.at(self.place)), False, False, {}


class Turns(_Plane):
    """Every push is turned by an angle that depends on the place; the reward is the first coordinate."""

    def __init__(self, bumps: int = 60, width: float = 0.2, stride: float = 0.1, turn: float = 2.0):
        self.map, self.stride, self.turn = Bumps.drawn(2, bumps, width), stride, turn

    def step(self, action):
        angle = self.turn * float(self.map.at(self.place))
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.place = np.clip(self.place + self.stride * turned @ np.asarray(action, float), -1, 1)
        return self.seen(), float(self.place[0]), False, False, {}
