"""An update whose elementwise work is compiled: region by region, since the whole of it takes minutes to compile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...worldmodel.records import Batch, LabelBatch
from ...worldmodel.rssm import Latent
from ..learner import Learner, Noise


def regions(learner: Learner) -> list[tuple[Any, str]]:
    """Methods to compile, (owner, name): what scans repeat, and what reads the imagined features. Whole in themselves: no
    value on the device decides anything in them."""
    dynamics, reward, actor_critic = learner.dynamics, learner.reward, learner.actor_critic
    scans = [(dynamics.rssm, "observe_step"), (dynamics.rssm, "imagine_step"), (actor_critic, "explore")]
    return [*scans, (dynamics, "losses"), (reward, "forward"), (reward, "predict"), (actor_critic, "forward")]


class CompiledUpdate:
    """Learner.update with compiled regions. Everybody else finds the learner as it was: evaluation, copies, measurements."""

    def __init__(self, learner: Learner, backend: str = "inductor"):
        self.learner = learner
        self.compiled = [
            (owner, name, torch.compile(getattr(owner, name), fullgraph=True, dynamic=False, backend=backend))
            for owner, name in regions(learner)
        ]

    def __call__(self, batch: Batch, labels: LabelBatch | None, noise: Noise) -> tuple[dict[str, Tensor], Latent]:
        with self._in_place():
            return self.learner.update(batch, labels, noise)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        rssm = self.learner.dynamics.rssm
        # Left to itself a CPU would not come to the compiled steps.
        in_place = [*self.compiled, (rssm, "scan", rssm.scan_by_steps)]
        for owner, name, instead in in_place:
            setattr(owner, name, instead)
        try:
            yield
        finally:
            for owner, name, _ in in_place:
                delattr(owner, name)  # the class's own method is seen again
