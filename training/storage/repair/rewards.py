"""The log of true rewards: what is lost of them is NaN, which no labeler sells."""

from collections.abc import Iterator

import numpy as np

from ....worldmodel.replay.journal.transitions import ticks_of
from .bench import Bench
from .logs import Row, condition, whole_frames, write_new

KIND = "rewards"


def mend_rewards(bench: Bench) -> bool:
    """Whether there was something to do: the log is damaged, or a row of the transitions has no reward in it."""
    folder = bench.folder.vault
    why = condition(folder, bench.written).why
    known = {pair for frame in whole_frames(folder) for pair in _rows(frame.arrays["env"], frame.arrays["step"])}
    missing = [pair for pair in _bought(bench) if pair not in known]
    if not why and not missing:
        return False
    why = why or "rewards are missing"
    bench.replace_folder(folder, why, write_new(folder, _frames(bench, missing)))
    if missing:
        bench.say(f"lost: {len(missing):,} true rewards; questions about their rows will be declined, and cost nothing")
    return True


def _frames(bench: Bench, missing: list[tuple[int, int]]) -> Iterator[Row]:
    for frame in whole_frames(bench.folder.vault):
        yield frame.kind, frame.arrays, frame.values
    if missing:
        env, step = np.array(missing, np.int64).T
        yield KIND, {"env": env, "step": step, "reward": np.full(len(missing), np.nan)}, {}


def _bought(bench: Bench) -> Iterator[tuple[int, int]]:
    """(stream, step) of all rows in the journal that were bought."""
    for frame in whole_frames(bench.folder.transitions):
        ticks = ticks_of(frame)
        tick, env = np.nonzero(~ticks.is_first)
        yield from _rows(env, ticks.step[tick, env])


def _rows(env: np.ndarray, step: np.ndarray) -> Iterator[tuple[int, int]]:
    return zip(env.tolist(), step.tolist(), strict=True)
