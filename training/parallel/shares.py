"""A rank's share of an update's inputs, and records of tensors as one row of bytes to send."""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...worldmodel.records import Batch, LabelBatch
from ..execution.records import mapped, tensors_of
from ..learner import Noise

Record = TypeVar("Record")


@dataclass(frozen=True)
class Inputs:
    """What an update takes. The first axis of every tensor is sequences, labels or starts, and starts lie by sequence.

    The batch's address is nobody's: rank 0 keeps it for its replay, in main memory whatever the learner's device.
    """

    batch: Batch
    labels: LabelBatch | None
    noise: Noise


def share(inputs: Inputs, rank: int, size: int) -> Inputs:
    """The part of `rank` among `size` equal ones, in the order of ranks; views, not copies."""

    def part(tensor: Tensor) -> Tensor:
        rows, rest = divmod(len(tensor), size)
        assert rest == 0, f"{len(tensor)} rows for {size} ranks"
        return tensor[rank * rows : (rank + 1) * rows]

    return mapped(inputs, part)


def form(record: Record) -> Record:
    """The same record of tensors without storage: shapes and types."""
    return mapped(record, lambda tensor: torch.empty_like(tensor, device="meta"))


def is_of_form(record: Any, other: Any) -> bool:
    """Whether a record of this class has tensors of the shapes and types of the other's."""
    ours, theirs = (
        [(tensor.shape, tensor.dtype) for tensor in tensors_of(one)] if one is not None else None
        for one in (record, other)
    )
    return ours == theirs


def packed(record: Any) -> Tensor:
    """All tensors as one row of bytes, on their device, those of the widest numbers first: so each lies aligned."""
    tensors = sorted(tensors_of(record), key=lambda tensor: -tensor.element_size())
    return torch.cat([tensor.contiguous().flatten().view(torch.uint8) for tensor in tensors])


def unpacked(row: Tensor, form: Record) -> Record:
    """What `packed` made of a record of this form; views into `row`."""
    tensors = tensors_of(form)
    order = sorted(range(len(tensors)), key=lambda place: -tensors[place].element_size())
    pieces = row.split([tensors[place].nbytes for place in order])
    found = {
        place: piece.view(tensors[place].dtype).view(tensors[place].shape)
        for place, piece in zip(order, pieces, strict=True)
    }
    in_order = iter([found[place] for place in range(len(tensors))])
    return mapped(form, lambda tensor: next(in_order))
