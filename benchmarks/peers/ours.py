"""Our learner, as a run makes and calls it: eager, and with the memory kept."""

import torch

from peers.shapes import Subject
from speed import begun, inputs
from tandem.training.build import make_learner
from tandem.training.learner import Noise
from tandem.version import __version__

NO_WARM_UP = tuple(f"{part}.optimizer.warmup=0" for part in ("dynamics", "reward", "actor_critic"))


def make(mode: str, size: str, observations: str) -> Subject:
    device = torch.device("cpu")
    config, spaces = begun(size, observations, mode, torch.get_num_threads(), (*NO_WARM_UP, "device=cpu"))
    learner = make_learner(config, spaces, device)
    batch, labels, _ = inputs(config, spaces, device)
    rows = (0, 1) if labels is None else labels.is_first.shape
    generator = torch.Generator().manual_seed(0)

    def update() -> None:  # the peers draw their noise within their updates too
        learner.update(batch, labels, Noise.draw(generator, config.train, config.dynamics.stoch, spaces, *rows))

    parts = {part: list(model.parameters()) for part, model in learner.models_by_name().items()}
    parts["actor_critic"] = list(learner.actor_critic.trained_parameters())
    return Subject(update, parts, f"tandem {__version__}")
