"""From labels to frozen features and predicted rewards, with noise of its own: looking changes nothing in training."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...worldmodel.objectives import clip_sum, is_scored
from ...worldmodel.records import LabelBatch
from ..models import Models
from .dynamics_gap import sampled_features
from .raters import Predict

PIECE = 1024  # labels encoded at a time


@torch.no_grad()
def encoded(models: Models, labels: LabelBatch, generator: torch.Generator) -> tuple[LabelBatch, Tensor]:
    """The labels on the models' device, and features of the rows that they are about (L, F), of clips (L, R, F)."""
    labels = labels.to(models.device)
    noise = models.noise(labels.is_first.shape, generator)
    pieces = [slice(start, start + PIECE) for start in range(0, len(noise), PIECE)]  # large models need room
    feat = torch.cat([models.dynamics.encode_rows(labels[one], noise[one], labels.length) for one in pieces])
    return labels, feat[:, -1] if labels.rows is None else feat


@dataclass(frozen=True)
class SampledFeatures:
    """Features of L rows, or of L clips of R rows, under K draws of their latents, put together when they are asked for: all
    would be K times as large as one."""

    deter: Tensor  # (L, [R,] D)
    log_probs: Tensor  # (L, [R,] S, C) of the posterior
    draws: Tensor  # (K, L, [R,] S) uniform

    @property
    def samples(self) -> int:
        return len(self.draws)

    @property
    def size(self) -> int:
        """F"""
        return self.deter.shape[-1] + self.log_probs.shape[-2] * self.log_probs.shape[-1]

    def at(self, sample: Tensor | int, rows: Tensor | slice) -> Tensor:
        """sample: one for all rows (n,), or (n,) one each -> (n, [R,] F)."""
        draws = self.draws[sample, rows].unsqueeze(0)
        return sampled_features(self.deter[rows], self.log_probs[rows], draws)[0]


@torch.no_grad()
def sampled(
    models: Models, labels: LabelBatch, samples: int, generator: torch.Generator
) -> tuple[LabelBatch, SampledFeatures]:
    """The labels on the models' device, and features of the rows that they are about under `samples` draws of their latents."""
    labels = labels.to(models.device)
    noise = models.noise(labels.is_first.shape, generator)
    which = -1 if labels.rows is None else slice(-labels.length, None)
    deter, log_probs = [], []
    for start in range(0, len(noise), PIECE):
        latent, posterior = models.dynamics.observe(labels[start : start + PIECE], noise[start : start + PIECE])
        deter.append(latent.deter[:, which])
        log_probs.append(posterior[:, which])
    all_deter = torch.cat(deter)
    draws = models.noise((samples, *all_deter.shape[:-1]), generator)
    return labels, SampledFeatures(all_deter, torch.cat(log_probs), draws)


@torch.no_grad()
def mean_prediction(models: Models, features: SampledFeatures, labels: LabelBatch | None = None) -> Tensor:
    """The ensemble's answers averaged over the draws, so that chance in the latents is no error: (L,). labels: the same ones,
    where they are about clips."""
    every = slice(None)
    total = sum(models.reward.predict(features.at(k, every)) for k in range(features.samples))
    assert isinstance(total, Tensor), "at least one draw"
    return answered(total / features.samples, labels)


def answered(rewards: Tensor, labels: LabelBatch | None) -> Tensor:
    """Predicted rewards of rows (..., L), or of the rows of clips (..., L, R), as answers to the labels' questions (..., L)."""
    if labels is None or labels.rows is None:
        return rewards
    return clip_sum(rewards, is_scored(labels.rows, labels.length))


def predictor(models: Models, seed: int) -> Predict:
    """Labels -> what the ensemble would answer in the mean (L,); the same ones get the same answer."""

    @torch.no_grad()
    def predict(labels: LabelBatch) -> np.ndarray:
        if not len(labels.value):
            return np.zeros(0)
        labels, feat = encoded(models, labels, torch.Generator(models.device).manual_seed(seed))
        return answered(models.reward.predict(feat), labels).double().cpu().numpy()

    return predict
