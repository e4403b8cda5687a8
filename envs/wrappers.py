"""What stands between a raw environment and a stream: action scaling, action repeat, own seeds for every episode."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from ..seeds import derive_seed


class Choices(Box):
    """Action vectors of which some part is chosen: `numbers` in [-1, 1], then for each factor a one-hot choice among as many.

    The largest entry of a factor is the choice.
    """

    def __init__(self, factors: tuple[int, ...], numbers: int = 0):
        self.factors = factors
        low = np.concatenate([np.full(numbers, -1.0), np.zeros(sum(factors))]).astype(np.float32)
        super().__init__(low, np.ones_like(low), dtype=np.float32)


class ActionScale:
    """Maps [-1, 1] onto [low, high], clipping first: a policy's tails must not reach the simulator."""

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self._middle = (high.astype(np.float64) + low) / 2
        self._half_width = (high.astype(np.float64) - low) / 2
        self._is_identity = bool((self._middle == 0).all() and (self._half_width == 1).all())

    def __call__(self, action: np.ndarray) -> np.ndarray:
        clipped = np.minimum(np.maximum(action, -1.0), 1.0)  # np.clip costs several times as much on tiny arrays
        return clipped if self._is_identity else self._middle + self._half_width * clipped


class ActionRepeat(gymnasium.Wrapper):
    """Takes each action `repeat` times: rewards are summed, and the end of the episode ends the repeats."""

    def __init__(self, env: gymnasium.Env, repeat: int):
        super().__init__(env)
        self._repeat = repeat

    def step(self, action):
        total_reward = 0.0
        for _ in range(self._repeat):
            obs, reward, is_terminated, is_truncated, info = self.env.step(action)
            total_reward += float(reward)
            if is_terminated or is_truncated:
                break
        return obs, total_reward, is_terminated, is_truncated, info


class EpisodeSeeds(gymnasium.Wrapper):
    """Seeds episode k of a stream with a function of (stream_seed, k): a resumed stream goes on with fresh episodes.

    A seed passed to `reset` is used as it is; the episode still counts.
    """

    def __init__(self, env: gymnasium.Env, stream_seed: int):
        super().__init__(env)
        self._stream_seed = stream_seed
        self._next_episode = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is None:
            seed = derive_seed(self._stream_seed, self._next_episode)
        self._next_episode += 1
        return self.env.reset(seed=seed, options=options)
