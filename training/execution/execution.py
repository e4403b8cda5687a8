"""How a run's repeated work is done: operation by operation, compiled, or as one recording."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from ...agents.agent import Agent
from ...worldmodel.records import Batch, LabelBatch
from ...worldmodel.rssm import Latent
from ..learner import Learner, Noise
from .attempts import Attempts
from .captured import Captured, Recording
from .compiled import CompiledUpdate
from .cuda_graph import CudaGraph

Update = Callable[[Batch, LabelBatch | None, Noise], tuple[dict[str, Tensor], Latent]]


@dataclass(frozen=True)
class RuntimeConfig:
    execution: Literal["auto", "eager", "compile", "graph"] = (
        "auto"  # eager: one operation after the other; compile: with torch.compile, which takes minutes at first; graph: an
        # update as one CUDA graph, on a GPU alone; auto: graph there, eager on a CPU. What fails there falls back and says so
    )


class Execution(Protocol):
    """Whoever does updates: the learner itself, or what does the same faster."""

    def update(self, batch: Batch, labels: LabelBatch | None, noise: Noise) -> tuple[dict[str, Tensor], Latent]: ...


@dataclass(frozen=True)
class Faster:
    """An execution by attempts."""

    attempts: Attempts

    def update(self, batch: Batch, labels: LabelBatch | None, noise: Noise) -> tuple[dict[str, Tensor], Latent]:
        return self.attempts(batch, labels, noise)


def make_execution(
    config: RuntimeConfig, learner: Learner, device: torch.device, warn: Callable[[str], None]
) -> Execution:
    way = execution_on(config, device)
    if way == "eager":
        return learner
    warn(f"runtime.execution: {way}: parts of the first update are compiled, which takes a minute or more")
    compiled, here = CompiledUpdate(learner), partial(unchanged, learner)
    ways: list[tuple[str, Callable]] = [("compile", compiled)]
    if way == "graph":
        make = graphs()
        ways = [
            ("a graph of compiled parts", Graphed(compiled, make, here)),
            ("a graph", Graphed(learner.update, make, here)),
        ]
    return Faster(Attempts([*ways, ("eager", learner.update)], warn, here))


def capture_policy(config: RuntimeConfig, agent: Agent, warn: Callable[[str], None]) -> None:
    """Have the agent's steps played from recordings, where updates are."""
    if execution_on(config, agent.device) == "graph":
        agent.step = Attempts([("a graph", Captured(agent.step, graphs())), ("eager", agent.step)], warn)


def execution_on(config: RuntimeConfig, device: torch.device) -> str:
    if config.execution == "auto":
        return "graph" if device.type == "cuda" else "eager"
    return config.execution


def graphs() -> Callable[[], Recording]:
    """Makes CUDA graphs that share one pool of memory."""
    pool = torch.cuda.graph_pool_handle()
    return lambda: CudaGraph(pool)


class Graphed:
    """An update as recordings. Its metrics come out as one tensor, which is one copy in place of thirty."""

    def __init__(self, update: Update, make_recording: Callable[[], Recording], unchanged: Callable):
        self.update = update
        self.captured = Captured(self._stacked, make_recording, unchanged)

    def __call__(self, batch: Batch, labels: LabelBatch | None, noise: Noise) -> tuple[dict[str, Tensor], Latent]:
        names, values, latent = self.captured(batch, labels, noise)
        return dict(zip(names, values.unbind(), strict=True)), latent

    def _stacked(self, batch: Batch, labels: LabelBatch | None, noise: Noise) -> tuple[tuple[str, ...], Tensor, Latent]:
        metrics, latent = self.update(batch, labels, noise)
        return tuple(metrics), torch.stack(list(metrics.values())), latent


@contextmanager
def unchanged(learner: Learner) -> Iterator[None]:
    """Undoes in place what updates do to the learner: its memory stays where it is. Moments that they begin become zero,
    which is what an optimiser begins with."""
    before = {id(tensor): tensor.detach().clone() for tensor in learner.tensors()}
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor in learner.tensors():
                tensor.copy_(before[id(tensor)]) if id(tensor) in before else tensor.zero_()
