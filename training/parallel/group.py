"""The processes of one run, and what they say to each other over torch.distributed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ...errors import UserError
from ...worldmodel.ranks import Metrics
from .place import Place

ANSWER_SECONDS = 300.0  # that a rank may take to do its part of an update
FOREVER = timedelta(days=3650)  # that a rank waits for what comes next: rank 0 may be evaluating for hours


class RankLost(UserError):
    """A process of the run has ended, or does not answer."""


class Group:
    """Ranks that all made one. Rank 0 speaks, the others listen; in an update each asks and answers as `Ranks` says."""

    def __init__(self, place: Place):
        """Waits until every process of the launcher is there."""
        self.place = place
        with self._answered():
            dist.init_process_group(
                "gloo", rank=place.rank, world_size=place.size, timeout=timedelta(seconds=ANSWER_SECONDS)
            )
            self._orders = _new_group("gloo", FOREVER)
        self._work = dist.group.WORLD

    @property
    def size(self) -> int:
        return self.place.size

    def work_on(self, device: torch.device) -> None:
        """All ranks at once: from now on updates are on tensors of this device."""
        if device.type == "cuda" and self._work is dist.group.WORLD:
            self._work = _new_group("nccl", timedelta(seconds=ANSWER_SECONDS))

    def say(self, word: str, *what: Any) -> None:
        """Rank 0, to all."""
        with self._answered():
            dist.broadcast_object_list([(word, what)], src=0, group=self._orders)

    def hear(self) -> tuple[str, tuple[Any, ...]]:
        """The others, what rank 0 says next: they sleep until then."""
        heard: list[Any] = [None]
        with self._answered():
            dist.broadcast_object_list(heard, src=0, group=self._orders)
        return heard[0]

    def deal(self, rows: list[Tensor] | None, mine: Tensor) -> None:
        """Rank 0 gives `rows`, one for each rank, the others None; each gets its own in `mine`."""
        with self._answered():
            dist.scatter(mine, rows, src=0, group=self._work)

    def collect(self, row: Tensor) -> list[Tensor] | None:
        """To rank 0 those of all ranks, to the others None."""
        rows = [torch.empty_like(row) for _ in range(self.size)] if self.place.rank == 0 else None
        with self._answered():
            dist.gather(row, rows, dst=0, group=self._work)
        return rows

    def collect_objects(self, value: Any) -> list[Any] | None:
        """The same for what is no tensor."""
        values = [None] * self.size if self.place.rank == 0 else None
        with self._answered():
            dist.gather_object(value, values, dst=0)
        return values

    def gather(self, rows: Tensor) -> Tensor:
        all_rows = rows.new_empty((self.size * len(rows), *rows.shape[1:]))
        with self._answered():
            dist.all_gather(list(all_rows.split(len(rows))), rows.detach().contiguous(), group=self._work)
        return all_rows

    def reduce(
        self, grads: list[Tensor], is_finite: Tensor, has_labels: Tensor, metrics: Metrics
    ) -> tuple[Tensor, Tensor, Metrics]:
        """One all-reduce of a single row: every rank gets the same sums, bit for bit."""
        numbers = torch.stack([is_finite, has_labels, *metrics.values()]).float()
        row = torch.cat([*(grad.flatten() for grad in grads), numbers])
        with self._answered():
            dist.all_reduce(row, group=self._work)
        row /= self.size
        *averages, numbers = row.split([*(grad.numel() for grad in grads), len(numbers)])
        torch._foreach_copy_(grads, [mean.view_as(grad) for mean, grad in zip(averages, grads, strict=True)])
        finite, labelled, *means = numbers.unbind()
        return finite == 1, labelled > 0, dict(zip(metrics, means, strict=True))

    def leave(self) -> None:
        dist.destroy_process_group()

    @contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # gloo has no type of its own
            raise RankLost(
                f"rank {self.place.rank}: another process of this run has ended, or has not answered for "
                f"{ANSWER_SECONDS:.0f} s ({str(error).splitlines()[0]}); what was bought is on disk, --resume goes on from "
                f"the last checkpoint"
            ) from error


def _new_group(backend: str, timeout: timedelta) -> dist.ProcessGroup:
    """Of all ranks."""
    group = dist.new_group(backend=backend, timeout=timeout)
    assert isinstance(group, dist.ProcessGroup), "every rank is in it"
    return group
