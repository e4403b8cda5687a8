"""From labels to frozen features and predicted rewards, with noise of its own: looking changes nothing in training."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...worldmodel.records import LabelBatch
from ..models import Models
from .dynamics_gap import sampled_features
from .raters import Predict

PIECE = 1024  # labels encoded at a time


@torch.no_grad()
def encoded(models: Models, labels: LabelBatch, generator: torch.Generator) -> tuple[LabelBatch, Tensor]:
    """The labels on the models' device, and features of the labelled rows (L, F)."""
    labels = labels.to(models.device)
    noise = models.noise(labels.is_first.shape, generator)
    pieces = [slice(start, start + PIECE) for start in range(0, len(noise), PIECE)]  # large models need room
    return labels, torch.cat([models.dynamics.encode(labels[piece], noise[piece]) for piece in pieces])


@dataclass(frozen=True)
class SampledFeatures:
    """Features of L rows under K draws of their latents, put together when they are asked for: all would be K times as
    large as one."""

    deter: Tensor  # (L, D)
    log_probs: Tensor  # (L, S, C) of the posterior
    draws: Tensor  # (K, L, S) uniform

    @property
    def samples(self) -> int:
        return len(self.draws)

    @property
    def size(self) -> int:
        """F"""
        return self.deter.shape[-1] + self.log_probs[0].numel()

    def at(self, sample: Tensor | int, rows: Tensor | slice) -> Tensor:
        """sample: one for all rows (n,), or (n,) one each -> (n, F)."""
        draws = self.draws[sample, rows].unsqueeze(0)
        return sampled_features(self.deter[rows], self.log_probs[rows], draws)[0]


@torch.no_grad()
def sampled(
    models: Models, labels: LabelBatch, samples: int, generator: torch.Generator
) -> tuple[LabelBatch, SampledFeatures]:
    """The labels on the models' device, and features of the labelled rows under `samples` draws of their latents."""
    labels = labels.to(models.device)
    noise = models.noise(labels.is_first.shape, generator)
    deter, log_probs = [], []
    for start in range(0, len(noise), PIECE):
        latent, posterior = models.dynamics.observe(labels[start : start + PIECE], noise[start : start + PIECE])
        deter.append(latent.deter[:, -1])
        log_probs.append(posterior[:, -1])
    draws = models.noise((samples, len(noise)), generator)
    return labels, SampledFeatures(torch.cat(deter), torch.cat(log_probs), draws)


@torch.no_grad()
def mean_prediction(models: Models, features: SampledFeatures) -> Tensor:
    """The ensemble's reward averaged over the draws, so that chance in the latents is no error: (L,)."""
    every = slice(None)
    total = sum(models.reward.predict(features.at(k, every)) for k in range(features.samples))
    assert isinstance(total, Tensor), "at least one draw"
    return total / features.samples


def predictor(models: Models, seed: int) -> Predict:
    """Labels -> the ensemble's mean reward at the labelled rows (L,); the same ones get the same answer."""

    @torch.no_grad()
    def predict(labels: LabelBatch) -> np.ndarray:
        if not len(labels.value):
            return np.zeros(0)
        _, feat = encoded(models, labels, torch.Generator(models.device).manual_seed(seed))
        return models.reward.predict(feat).double().cpu().numpy()

    return predict
