"""Rank 0's side of updates that several processes share: it deals the inputs, and keeps all ranks equal."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

from ...envs.records import Spaces
from ...errors import UserError
from ...worldmodel.records import Batch, LabelBatch
from ...worldmodel.rssm import Latent
from ..config import Config, ConfigError
from ..execution.execution import Execution
from ..execution.records import mapped
from ..learner import Learner, Noise
from ..models import Models
from .group import Group, RankLost
from .place import Place
from .shares import Inputs, form, is_of_form, packed, share, unpacked


class RanksDiffer(UserError):
    """The models of two ranks are not equal, bit for bit."""


class Solo:
    """A run of one process."""

    size = 1

    def begin(self, learner: Learner, config: Config, spaces: Spaces) -> None: ...

    def update(
        self, execution: Execution, batch: Batch, labels: LabelBatch | None, noise: Noise
    ) -> tuple[dict[str, Tensor], Latent]:
        return execution.update(batch, labels, noise)

    def check(self, learner: Learner) -> None: ...


class Team(Solo):
    """The process that is the run, with others that do their parts of its updates."""

    def __init__(self, group: Group):
        self.group, self.size = group, group.size
        self._form: Inputs | None = None  # of the shares, as the others know it
        self._learner: Learner | None = None

    def begin(self, learner: Learner, config: Config, spaces: Spaces) -> None:
        """Give every rank a learner like this one."""
        state = _on_cpu(learner.state_dict())
        self.group.say("begin", config, spaces, state)
        self.group.work_on(Models.of(learner).device)
        learner.ranks, self._learner, self._form = self.group, learner, None

    def update(
        self, execution: Execution, batch: Batch, labels: LabelBatch | None, noise: Noise
    ) -> tuple[dict[str, Tensor], Latent]:
        """As Learner.update, of the whole batch. It is the learner that does it: what ranks share is not recorded."""
        assert self._learner is not None, "begin comes first"
        inputs = Inputs(batch, labels, noise)
        shares = [share(inputs, rank, self.size) for rank in range(self.size)]
        is_known = is_of_form(shares[0], self._form)
        self._form = form(shares[0])
        self.group.say("update", None if is_known else self._form)
        rows = [packed(one) for one in shares]
        self.group.deal(rows, torch.empty_like(rows[0]))
        metrics, latent = self._learner.update(shares[0].batch, shares[0].labels, shares[0].noise)
        return metrics, whole(latent, self.group)

    def check(self, learner: Learner) -> None:
        """RanksDiffer names what is not equal. Where a rank has ended there is nothing to compare with: what rank 0 has is
        whole updates of all."""
        with suppress(RankLost):
            self.group.say("digest")
            digests = self.group.collect_objects(digest(learner))
            assert digests is not None, "rank 0 collects"
            compare(digests)

    def dismiss(self) -> None:
        """The others end."""
        with suppress(RankLost):
            self.group.say("end")
            self.group.leave()


@contextmanager
def team_of(config: Config, device: torch.device, place: Place) -> Iterator[Solo]:
    """Rank 0's team while it trains, alone or with those who follow. ConfigError where the batch cannot be shared."""
    if place.size == 1:
        yield Solo()
        return
    check_shares(config, place)
    take_gpu(device, place)
    team = Team(Group(place))
    try:
        yield team
    finally:
        team.dismiss()


def check_shares(config: Config, place: Place) -> None:
    train, execution = config.train, config.runtime.execution
    if execution not in ("auto", "eager"):
        raise ConfigError(f"runtime.execution: must be eager where processes share the updates, got {execution}")
    numbers = {"batch": train.batch} | ({} if config.mode == "coupled" else {"label_batch": train.label_batch})
    for name, number in numbers.items():
        if number % place.size:
            raise ConfigError(
                f"train.{name}: must be a multiple of the {place.size} processes that share it, got {number}"
            )


def take_gpu(device: torch.device, place: Place) -> None:
    """Where updates are on GPUs, each process of a machine has one of its own. ConfigError where there are too few."""
    if device.type != "cuda":
        return
    if place.local_size > torch.cuda.device_count():
        raise ConfigError(
            f"device: {place.local_size} processes on this machine need a GPU each, torch sees {torch.cuda.device_count()}"
        )
    torch.cuda.set_device(place.local_rank)


def whole(latent: Latent, group: Group) -> Latent:
    """The new latents of all ranks at rank 0; to the others their own."""
    rows = group.collect(packed(latent))
    if rows is None:
        return latent
    parts = [unpacked(row, form(latent)) for row in rows]
    return Latent(*(torch.cat([getattr(part, name) for part in parts]) for name in ("deter", "stoch")))


def digest(learner: Learner) -> dict[str, str]:
    """A hash of each parameter, statistic and moment by its name. Waits for the device."""
    return {name: _hash(value) for name, value in learner.named_state().items()}


def compare(digests: list[dict[str, str]]) -> None:
    """RanksDiffer names the first rank and tensor that are not as those of rank 0."""
    for rank, other in enumerate(digests):
        for name, value in digests[0].items():
            if other.get(name) != value:
                raise RanksDiffer(
                    f"ranks: {name} of rank {rank} is not that of rank 0; not saved, --resume goes on from the last checkpoint"
                )


def _hash(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data).hexdigest()


def _on_cpu(state: dict) -> dict:
    """Nested dictionaries of an optimiser's state too."""
    return mapped(state, lambda tensor: tensor.detach().cpu())
