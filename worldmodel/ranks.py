"""Processes that share every update: each holds the same models and an equal part of the batch."""

from typing import Protocol

from torch import Tensor

Metrics = dict[str, Tensor]


class Ranks(Protocol):
    """What an update asks of all ranks, so that each takes the step that one process would take on the whole batch.

    A mean over equal parts is the mean of their means, which `reduce` makes. What is no plain mean over rows asks by `gather`:
    a weighted mean for all weights, a percentile for all values.
    """

    @property
    def size(self) -> int: ...

    def gather(self, rows: Tensor) -> Tensor:
        """Those of all ranks in their order, without gradient: (n, ...) here -> (n * ranks, ...)."""
        ...

    def reduce(
        self, grads: list[Tensor], is_finite: Tensor, has_labels: Tensor, metrics: Metrics
    ) -> tuple[Tensor, Tensor, Metrics]:
        """Between the backward pass and the steps: average the gradients in place.

        -> whether all ranks are finite, whether any has labels (scalar bools), and the average metrics.
        """
        ...


class Alone:
    """One process, which holds the whole batch."""

    size = 1

    def gather(self, rows: Tensor) -> Tensor:
        return rows

    def reduce(
        self, grads: list[Tensor], is_finite: Tensor, has_labels: Tensor, metrics: Metrics
    ) -> tuple[Tensor, Tensor, Metrics]:
        return is_finite, has_labels, metrics


ALONE = Alone()
