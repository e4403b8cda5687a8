"""The models' own losses on data that trained nothing, for the log."""

import numpy as np
import torch
from torch import Tensor

from ...worldmodel.replay.labels import LabelReplay
from ...worldmodel.replay.transitions import TransitionReplay
from ..models import Models
from .features import answered, encoded

LABELS = 2048  # the newest, for the reward model's error
WINDOWS = 32  # of the training length, for the dynamics model's losses


@torch.no_grad()
def heldout_dynamics(models: Models, transitions: TransitionReplay, seed: int) -> dict[str, Tensor]:
    """The dynamics losses on windows of held-out episodes; nothing while there are too few rows."""
    batch = transitions.heldout_windows(transitions.length, WINDOWS, np.random.default_rng(seed))
    if batch is None:
        return {}
    noise = models.noise(batch.is_first.shape, torch.Generator(models.device).manual_seed(seed))
    _, metrics, _ = models.dynamics(batch.to(models.device), noise)
    return {key.replace("dynamics/", "dynamics/heldout_", 1): value for key, value in metrics.items() if "loss" in key}


@torch.no_grad()
def heldout_reward(models: Models, labels: LabelReplay, seed: int) -> dict[str, Tensor]:
    """Mean absolute error of the ensemble, in the unit of the answers, and its disagreement about rows, on labels bought
    inside held-out episodes."""
    if not labels.num_heldout:
        return {}
    batch, feat = encoded(models, labels.heldout_labels(LABELS), torch.Generator(models.device).manual_seed(seed))
    if not len(batch.value):  # pairs alone: no error is known of them
        return {}
    error = (answered(models.reward.predict(feat), batch) - batch.value).abs()
    return {
        "reward/heldout_error": error.mean(),
        "reward/heldout_deviation": batch.value.std(correction=0),
        "reward/heldout_disagreement": models.reward.disagreement(feat).mean(),
    }
