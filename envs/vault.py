"""Where the true rewards go. Only labelers, the evaluator and VectorEnv may touch it: training never does."""

import os
import zipfile
from pathlib import Path

import numpy as np

from .records import Segment


class UnknownReward(KeyError):
    """The vault holds no true reward for a row of the segment: a reset row, or one that no environment produced."""


class DamagedVault(Exception):
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

    def reward(self, segment: Segment) -> float:
        """Sum of the true rewards of the segment's rows. UnknownReward if one of them has none."""
        stream = self._streams.get(segment.env)
        first = segment.step - segment.length + 1
        if segment.length < 1 or first < 0 or stream is None or not stream.has(first, segment.step + 1):
            raise UnknownReward(f"no true reward for a row of {segment}")
        return float(stream.rewards[first : segment.step + 1].sum())

    def seal(self, path: Path) -> None:
        """Write what was put since the last seal to `path` (.npz): whole, or (OSError) not at all."""
        env, step, reward = zip(*self._unsealed, strict=True) if self._unsealed else ((), (), ())
        rows = {"env": np.array(env, np.int64), "step": np.array(step, np.int64), "reward": np.array(reward, float)}
        _write_atomically(Path(path), rows)
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


def _write_atomically(path: Path, arrays: dict[str, np.ndarray]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name itself must survive a power cut
    finally:
        os.close(folder)
