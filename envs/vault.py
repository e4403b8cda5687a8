"""Where the true rewards go. Only labelers, the evaluator and VectorEnv may touch it: training never does."""

import zipfile
from pathlib import Path

import numpy as np

from ..durable import whole_file
from ..errors import UserError
from .records import Clip


class UnknownReward(UserError):
    """The vault holds no true reward for a row of the clip: a reset row, or one that no environment produced."""


class DamagedVault(UserError):
    """A sealed piece that cannot be read; the message names the file."""


class RewardVault:
    """True rewards by (env, step), NaN included. Sealed to disk in pieces: labels may be asked after a restart."""

    def __init__(self):
        self._streams: dict[int, _Stream] = {}
        self._unsealed: list[tuple[int, int, float]] = []

    def put(self, env: int, step: int, reward: float) -> None:
        """Keep the true reward of the arrival row (env, step). Putting it again replaces it."""
        self._insert(env, step, reward)
        self._unsealed.append((env, step, reward))

    def reward(self, clip: Clip) -> float:
        """Sum of the true rewards of the clip's rows. UnknownReward if one of them has none."""
        stream = self._streams.get(clip.env)
        first = clip.step - clip.length + 1
        if clip.length < 1 or first < 0 or stream is None or not stream.has(first, clip.step + 1):
            raise UnknownReward(f"no true reward for a row of {clip}")
        return float(stream.rewards[first : clip.step + 1].sum())

    def seal(self, path: Path) -> None:
        """Write what was put since the last seal to `path` (.npz): whole, or (OSError) not at all."""
        env, step, reward = zip(*self._unsealed, strict=True) if self._unsealed else ((), (), ())
        rows = {"env": np.array(env, np.int64), "step": np.array(step, np.int64), "reward": np.array(reward, float)}
        with whole_file(Path(path)) as file:
            np.savez(file, **rows)
        self._unsealed.clear()

    def load(self, folder: Path) -> None:
        """Read every sealed piece of `folder` in the order of the names; later pieces win."""
        for path in sorted(Path(folder).glob("*.npz")):
            try:
                with np.load(path) as piece:
                    columns = [piece[name].tolist() for name in ("env", "step", "reward")]
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                raise DamagedVault(f"{path}: not readable: {error}") from error
            for row in zip(*columns, strict=True):
                self._insert(*row)

    def _insert(self, env: int, step: int, reward: float) -> None:
        stream = self._streams.get(env)
        if stream is None:
            stream = self._streams[env] = _Stream()
        stream.put(step, reward)


class _Stream:
    """The rewards of one environment, indexed by step, with room that doubles."""

    def __init__(self):
        self.rewards = np.zeros(1024)
        self._is_known = np.zeros(1024, bool)

    def put(self, step: int, reward: float) -> None:
        room = len(self.rewards)
        if step >= room:
            extra = max(room, step + 1 - room)
            self.rewards = np.pad(self.rewards, (0, extra))
            self._is_known = np.pad(self._is_known, (0, extra))
        self.rewards[step] = reward
        self._is_known[step] = True

    def has(self, start: int, stop: int) -> bool:
        return stop <= len(self.rewards) and bool(self._is_known[start:stop].all())
