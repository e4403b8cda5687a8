"""Where the true rewards go. Only labelers, the evaluator and VectorEnv may touch it: training never does."""

from pathlib import Path

import numpy as np

from ..errors import UserError
from ..frames import FrameLog
from .records import Clip

KIND = "rewards"


class UnknownReward(UserError):
    """The vault holds no true reward for a row of the clip: a reset row, or one that no environment produced."""


class RewardVault:
    """True rewards by (env, step), NaN included. Those of a run are kept on disk: labels may be asked after a restart."""

    def __init__(self, folder: Path | None = None, stock: Path | None = None):
        """folder: of the log that `load` reads and `write` appends to; stock: of one that is there already, and only read."""
        self.log = None if folder is None else FrameLog(folder)
        self._stock = None if stock is None else FrameLog(stock)
        self._streams: dict[int, _Stream] = {}
        self._unwritten: list[tuple[int, int, float]] = []

    @property
    def num_rows(self) -> int:
        """Rows whose reward is known."""
        return sum(stream.count for stream in self._streams.values())

    def put(self, env: int, step: int, reward: float) -> None:
        """Keep the true reward of the arrival row (env, step). Putting it again replaces it."""
        self._insert(env, step, reward)
        self._unwritten.append((env, step, reward))

    def reward(self, clip: Clip) -> float:
        """Sum of the true rewards of the clip's rows. UnknownReward if one of them has none."""
        stream = self._streams.get(clip.env)
        first = clip.step - clip.length + 1
        if clip.length < 1 or first < 0 or stream is None or not stream.has(first, clip.step + 1):
            raise UnknownReward(f"no true reward for a row of {clip}")
        return float(stream.rewards[first : clip.step + 1].sum())

    def rewards(self, env: int, first: int, number: int) -> np.ndarray:
        """(number,) of the rows from `first` on, NaN where none is known."""
        found, stream = np.full(number, np.nan), self._streams.get(env)
        if stream is not None:
            kept = stream.rewards[first : first + number], stream.is_known[first : first + number]
            found[: len(kept[0])] = np.where(kept[1], kept[0], np.nan)
        return found

    def write(self) -> None:
        """Append what was put since the last write to the log; safe after `log.sync`. OSError leaves it here."""
        assert self.log is not None, "a vault without a folder keeps nothing"
        if not self._unwritten:
            return
        env, step, reward = zip(*self._unwritten, strict=True)
        rows = {"env": np.array(env, np.int64), "step": np.array(step, np.int64), "reward": np.array(reward, float)}
        self.log.append(KIND, rows)
        self._unwritten.clear()

    def load(self) -> None:
        """Read the log; what was put later wins. DamagedLog names a damaged file."""
        assert self.log is not None, "a vault without a folder keeps nothing"
        logs = [log for log in (self._stock, self.log) if log is not None]
        frames = [frame.arrays for log in logs for frame in log.read()]
        if frames:
            env, step, reward = (np.concatenate([one[name] for one in frames]) for name in ("env", "step", "reward"))
            self._insert_all(env, step, reward)

    def _insert(self, env: int, step: int, reward: float) -> None:
        self._stream(env).put(step, reward)

    def _insert_all(self, env: np.ndarray, step: np.ndarray, reward: np.ndarray) -> None:
        for number in np.unique(env).tolist():
            here = env == number
            self._stream(number).put(step[here], reward[here])

    def _stream(self, env: int) -> "_Stream":
        if env not in self._streams:
            self._streams[env] = _Stream()
        return self._streams[env]


class _Stream:
    """The rewards of one environment, indexed by step, with room that doubles."""

    def __init__(self):
        self.rewards = np.zeros(1024)
        self.is_known = np.zeros(1024, bool)

    @property
    def count(self) -> int:
        return int(np.count_nonzero(self.is_known))

    def put(self, step: int | np.ndarray, reward: float | np.ndarray) -> None:
        room, needed = len(self.rewards), int(np.max(step)) + 1
        if needed > room:
            extra = max(room, needed - room)
            self.rewards = np.pad(self.rewards, (0, extra))
            self.is_known = np.pad(self.is_known, (0, extra))
        self.rewards[step] = reward
        self.is_known[step] = True

    def has(self, start: int, stop: int) -> bool:
        return stop <= len(self.rewards) and bool(self.is_known[start:stop].all())
