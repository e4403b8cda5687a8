"""The world of experiment D: states of a pendulum for sale in a random order, each an episode of its own."""

import numpy as np

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.question_keys import DEFAULT
from tandem.envs.records import Clip, ObsSpec, Spaces
from tandem.worldmodel.replay.copies import Copy
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig


def states_and_rewards(number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4) cosine and sine of the angle, speed, torque; (n,) the reward of Pendulum-v1 there."""
    angle, speed, torque = rng.uniform(-1, 1, (3, number)) * np.array([[np.pi], [8.0], [2.0]])
    seen = np.stack([np.cos(angle), np.sin(angle), speed / 4, torque / 2], 1)
    return seen.astype(np.float32), -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)


class Pool:
    """States for sale in a random order: what a desk asks of a transition replay. Row k + 1 holds state k."""

    def __init__(self, seen: np.ndarray):
        self.seen, self.sold = seen, 0

    @property
    def open(self) -> "Pool":
        """Its own open rows."""
        return self

    def __len__(self) -> int:
        return len(self.seen) - self.sold

    def draw(self, number: int, rng: np.random.Generator) -> list[Clip]:
        first, self.sold = self.sold, min(self.sold + number, len(self.seen))
        return [Clip(0, step) for step in range(first + 1, self.sold + 1)]

    def clips(self, rows: list[Clip], length: int) -> list[Clip]:
        return rows

    def copies(self, clips: list[Clip], burn_in: int) -> list[Copy]:
        return [copy_of(clip.step, self.seen[clip.step - 1]) for clip in clips]


def copy_of(step: int, seen: np.ndarray) -> Copy:
    """Every state is an episode of its own: there is nothing to leak from one fold to another."""
    zeros = np.zeros(1, np.float32), np.zeros(1, np.uint8)
    action, is_first = np.zeros((1, 1), np.float32), np.ones(1, bool)
    return Copy(0, step, step, False, -1, {"state": seen[None]}, action, is_first, *zeros)


def new_replay(config: LabelerConfig) -> LabelReplay:
    spaces = Spaces({"state": ObsSpec((4,))}, action_size=1)
    return LabelReplay(LabelReplayConfig(burn_in=0), spaces, 1, 1, tiers=(DEFAULT, *config.tiers))
