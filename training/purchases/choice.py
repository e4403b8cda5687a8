"""Which rows to label next: a uniform share, which alone may estimate errors, and rows the ensemble disagrees about.

Labels chosen by disagreement help in some tasks and hurt in others, and they never measure: whoever shows results with
them shows uniform choice beside.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ...envs.records import Clip
from ...worldmodel.dynamics import DynamicsModel
from ...worldmodel.replay.open_rows import Candidates
from ...worldmodel.replay.transitions import TransitionReplay
from ...worldmodel.reward import RewardModel

POOL = 1024  # candidates that are scored, at least; twice as many as are chosen where that is more
HALVINGS = 4.0  # of a row's weight from the newest row of its stream to the oldest


@dataclass(frozen=True)
class Choice:
    """Rows by disagreement, and `uniform_share` of all rows ever asked about uniformly."""

    reward: RewardModel
    dynamics: DynamicsModel
    uniform_share: float

    def draw(
        self, transitions: TransitionReplay, number: int, asked: int, asked_uniform: int, rng: np.random.Generator
    ) -> list[tuple[Clip, bool]]:
        """See `choose` and `uniform_quota`."""
        num_uniform = uniform_quota(number, self.uniform_share, asked, asked_uniform)
        return choose(transitions, self.reward, self.dynamics, number, num_uniform, rng)


def uniform_quota(number: int, share: float, asked: int, asked_uniform: int) -> int:
    """How many of the next `number` labels are to be uniform, so that at least `share` of all labels asked is.

    asked, asked_uniform: labels asked so far, and how many of them were uniform. Labels are often asked one or two at a
    time, of which a share cannot be cut; and what a uniform pilot is ahead excuses no later batch.
    """
    owed = math.ceil(share * (asked + number) - 1e-9) - asked_uniform
    return min(number, max(owed, math.floor(share * number)))


def choose(
    transitions: TransitionReplay,
    reward: RewardModel,
    dynamics: DynamicsModel,
    number: int,
    num_uniform: int,
    rng: np.random.Generator,
) -> list[tuple[Clip, bool]]:
    """`number` rows to label (fewer where fewer are left) and whether each was drawn uniformly; they count as asked.

    The uniform ones come from training and held-out rows alike. The others are training rows alone: labels of held-out
    episodes measure, and rows picked because the model errs there would measure too much. They are drawn without
    replacement with probability proportional to disagreement * 2 ** (-HALVINGS * age): the present policy visits what
    is like the newest rows, and a label is worth most there. Where all members agree, all rows are drawn uniformly.

    No row is asked about twice, so that the uniform draw misses the rows chosen before it: an error measured on it is a
    little low once a good part of all rows is labelled.
    """
    clips = transitions.open.draw(num_uniform, rng)
    chosen = _by_disagreement(transitions, reward, dynamics, number - num_uniform, rng)
    transitions.open.mark_asked(chosen)
    clips += transitions.open.draw(number - len(clips) - len(chosen), rng)
    return [(clip, True) for clip in clips] + [(clip, False) for clip in chosen]


def _by_disagreement(
    transitions: TransitionReplay,
    reward: RewardModel,
    dynamics: DynamicsModel,
    number: int,
    rng: np.random.Generator,
) -> list[Clip]:
    """At most `number` rows of training episodes; none where nobody disagrees about any."""
    if number <= 0:
        return []
    candidates = transitions.open.candidates(max(POOL, 2 * number), rng)
    if not candidates.clips:
        return []
    weight = disagreement(candidates, reward, dynamics) * np.exp2(-HALVINGS * candidates.age)
    if not weight.any():
        return []
    with np.errstate(divide="ignore"):
        key = np.log(weight) + rng.gumbel(size=len(weight))  # the largest keys are such a draw without replacement
    return [candidates.clips[i] for i in np.argsort(-key)[:number]]


@torch.no_grad()
def disagreement(candidates: Candidates, reward: RewardModel, dynamics: DynamicsModel) -> np.ndarray:
    """Standard deviation between the members at the stored latents, (K,), 0 where it is not finite."""
    device = reward.bins.device
    feat = dynamics.latent(candidates.deter.to(device), candidates.stoch.to(device)).feat
    found = reward.disagreement(feat).double().cpu().numpy()
    return np.where(np.isfinite(found), found, 0.0)
