"""From labels to frozen features and predicted rewards, with noise of its own: looking changes nothing in training."""

import numpy as np
import torch
from torch import Tensor

from ...seeds import Channel, derive_seed
from ...worldmodel.records import LabelBatch
from ..run import Run
from .raters import Predict

PIECE = 1024  # labels encoded at a time


@torch.no_grad()
def encoded(run: Run, labels: LabelBatch, generator: torch.Generator) -> tuple[LabelBatch, Tensor]:
    """The labels on the models' device, and features of the labelled rows (L, F)."""
    labels = labels.to(run.device)
    shape = (*labels.is_first.shape, run.config.dynamics.stoch)
    noise = torch.rand(shape, generator=generator, device=run.device)
    pieces = [slice(start, start + PIECE) for start in range(0, len(noise), PIECE)]  # large models need room
    return labels, torch.cat([run.learner.dynamics.encode(labels[piece], noise[piece]) for piece in pieces])


def predictor(run: Run) -> Predict:
    """Labels -> the ensemble's mean reward at the labelled rows (L,); the same ones get the same answer."""

    @torch.no_grad()
    def predict(labels: LabelBatch) -> np.ndarray:
        if not len(labels.value):
            return np.zeros(0)
        generator = torch.Generator(run.device).manual_seed(
            derive_seed(run.config.seed, Channel.RATERS, run.progress.phase)
        )
        _, feat = encoded(run, labels, generator)
        return run.learner.reward.predict(feat).double().cpu().numpy()

    return predict
