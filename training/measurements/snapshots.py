"""The models of past phases, kept on disk: the dynamics error against the number of transitions needs them all, and what
transitions do for the reward model some of them.

A critic reads only the latents of its own model, so dynamics, reward model and critic of a phase are kept together.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ...durable import whole_file
from ..models import Models
from ..storage.archive import damage_of_archive
from ..storage.checkpoint import CheckpointError

# In how many types torch says that a file is not what it wrote.
UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, TypeError, KeyError, pickle.UnpicklingError)


@dataclass(frozen=True)
class Snapshot:
    phase: int
    transitions: int  # bought when it was taken
    explained_variance: float  # of held-out returns by its critic, then
    states: dict  # "dynamics", "reward", "critic" -> state dict
    explained_labels: float | None = None  # of held-out labels by its reward model, then; None in versions before 0.3

    def explains(self, trust: float) -> float:
        """Of what its models were asked to promise: of held-out labels where rewards alone count (trust 0), or else of
        returns, as in runs of older versions."""
        return self.explained_variance if trust or self.explained_labels is None else self.explained_labels

    def put_into(self, models: Models) -> None:
        models.dynamics.load_state_dict(self.states["dynamics"])
        models.reward.load_state_dict(self.states["reward"])
        models.actor_critic.critic.load_state_dict(self.states["critic"])


class Snapshots:
    """snapshots/phase-<number>.pt, one file a finished phase, the newest `most` of them."""

    def __init__(self, folder: Path, most: int):
        self.folder, self.most = Path(folder), most

    def take(
        self, models: Models, phase: int, transitions: int, explained_variance: float, explained_labels: float
    ) -> None:
        """Replaces what an interrupted run left under the same phase."""
        self.folder.mkdir(exist_ok=True)
        states = {
            "dynamics": models.dynamics.state_dict(),
            "reward": models.reward.state_dict(),
            "critic": models.actor_critic.critic.state_dict(),
        }
        counts = {"phase": phase, "transitions": transitions, "explained_variance": explained_variance}
        counts |= {"explained_labels": explained_labels}
        path = self._path(phase)
        try:
            with whole_file(path) as file:
                torch.save({**counts, "states": states}, file)
        except (OSError, RuntimeError) as error:  # torch's zip writer turns a failed write into a RuntimeError
            raise CheckpointError(f"{path}: could not be saved ({error})") from error
        for old in range(phase - self.most + 1):
            self._path(old).unlink(missing_ok=True)

    def before(self, phase: int, warn: Callable[[str], None]) -> Iterator[Snapshot]:
        """Those of earlier phases, oldest first. One that cannot be read is told and left out: it is a point of a curve."""
        for number in range(max(0, phase - self.most), phase):
            path = self._path(number)
            if path.exists():
                try:
                    if damage := damage_of_archive(path):
                        raise ValueError(damage)
                    snapshot = Snapshot(**torch.load(path, map_location="cpu", weights_only=True))
                except UNREADABLE as error:
                    warn(f"warning: {path}: not readable, the dynamics curve goes without it: {error}")
                else:
                    yield snapshot

    def _path(self, phase: int) -> Path:
        return self.folder / f"phase-{phase:04d}.pt"
