"""Latents made anew where training never refreshes them: held-out rows, and the labels' copies."""

import torch

from ...worldmodel.replay.label_store import LabelStore
from ...worldmodel.replay.transitions import TransitionReplay
from ...worldmodel.rssm import Latent
from ..models import Models

PIECE = 256  # rows filtered at a time


@torch.no_grad()
def refresh(models: Models, transitions: TransitionReplay, labels: LabelStore, seed: int) -> None:
    """Filter the held-out rows anew, and give the labels' copies what the rows now hold.

    Training refreshes the rows that it samples; held-out rows are never sampled, and a latent of an old model would
    count as an error of today's. `seed`: of the noise, the same for every piece.
    """
    dynamics, latent = models.dynamics, None
    for piece in transitions.heldout_pieces(PIECE):
        batch = piece.to(models.device)
        start = dynamics.rssm.initial(len(batch.is_first)) if latent is None else latent
        noise = models.noise(batch.is_first.shape, torch.Generator(models.device).manual_seed(seed))
        posterior, _ = dynamics.rssm.observe(
            start, batch.prev_action, dynamics.encoder(batch.obs), batch.is_first, noise
        )
        transitions.write_back(piece.address, posterior.deter, posterior.stoch.argmax(-1))
        latent = Latent(posterior.deter[:, -1], posterior.stoch[:, -1])
    labels.refresh(transitions)
