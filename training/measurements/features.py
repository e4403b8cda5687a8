"""From labels to frozen features and predicted rewards, with noise of its own: looking changes nothing in training."""

import numpy as np
import torch
from torch import Tensor

from ...worldmodel.records import LabelBatch
from ..models import Models
from .raters import Predict

PIECE = 1024  # labels encoded at a time


@torch.no_grad()
def encoded(models: Models, labels: LabelBatch, generator: torch.Generator) -> tuple[LabelBatch, Tensor]:
    """The labels on the models' device, and features of the labelled rows (L, F)."""
    labels = labels.to(models.device)
    noise = models.noise(labels.is_first.shape, generator)
    pieces = [slice(start, start + PIECE) for start in range(0, len(noise), PIECE)]  # large models need room
    return labels, torch.cat([models.dynamics.encode(labels[piece], noise[piece]) for piece in pieces])


def predictor(models: Models, seed: int) -> Predict:
    """Labels -> the ensemble's mean reward at the labelled rows (L,); the same ones get the same answer."""

    @torch.no_grad()
    def predict(labels: LabelBatch) -> np.ndarray:
        if not len(labels.value):
            return np.zeros(0)
        _, feat = encoded(models, labels, torch.Generator(models.device).manual_seed(seed))
        return models.reward.predict(feat).double().cpu().numpy()

    return predict
