"""Records of tensors, nested as they come: what is in them, and the same with other tensors."""

from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from ...worldmodel.records import Address


def mapped(record: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The record with every tensor through `function`: dataclasses, dictionaries and tuples of tensors. An address stays:
    it is for the replay, in main memory."""
    if isinstance(record, Tensor):
        return function(record)
    if isinstance(record, dict):
        return type(record)((key, mapped(inner, function)) for key, inner in record.items())
    if isinstance(record, tuple):
        return type(record)(mapped(inner, function) for inner in record)
    if is_dataclass(record) and not isinstance(record, Address | type):
        return replace(record, **{one.name: mapped(getattr(record, one.name), function) for one in fields(record)})
    return record


def tensors_of(record: Any) -> list[Tensor]:
    """All tensors of a record, in one order."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    mapped(record, keep)
    return found


def form_of(record: Any) -> Hashable:
    """What two records share that one recording serves: which tensors they have, their shapes, types and devices."""
    if isinstance(record, Tensor):
        return record.shape, record.dtype, record.device
    if isinstance(record, dict):
        return tuple((key, form_of(inner)) for key, inner in record.items())
    if isinstance(record, tuple):
        return tuple(map(form_of, record))
    if is_dataclass(record) and not isinstance(record, Address):
        return tuple(form_of(getattr(record, one.name)) for one in fields(record))
    return None
