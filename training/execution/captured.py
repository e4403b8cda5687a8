"""A function of records of tensors that is recorded once and played again: static memory, and what is copied in and out."""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from .records import form_of, mapped, tensors_of


class Recording(Protocol):
    """Work on a device that can be done again on the same memory."""

    def record(self, function: Callable[[], Any]) -> Any:
        """Warm up, then record. -> the results of `function`, which each replay writes anew; it may have run any number of
        times."""
        ...

    def replay(self) -> None: ...


@dataclass(frozen=True)
class Recorded:
    recording: Recording
    inputs: list[Tensor]  # that the recording reads
    results: Any  # that it writes


class Captured:
    """`function` as recordings, one for each form of its arguments.

    A recording reads and writes memory of its own: arguments are copied in before it is played, results are copied out
    after, so that nobody outside holds a tensor that the next call changes. What else the function changes must stay where
    it is in memory: parameters, moments and counters are changed in place, and loaded in place.
    """

    def __init__(
        self,
        function: Callable,
        make_recording: Callable[[], Recording],
        unchanged: Callable[[], AbstractContextManager] = nullcontext,
    ):
        """unchanged: a context that undoes what the function does to such state while it is recorded."""
        self.function, self.make_recording, self.unchanged = function, make_recording, unchanged
        self.recorded: dict[Hashable, Recorded] = {}

    def __call__(self, *arguments: Any) -> Any:
        form = form_of(arguments)
        if form not in self.recorded:
            self.recorded[form] = self._record(arguments)
        recorded = self.recorded[form]
        torch._foreach_copy_(recorded.inputs, tensors_of(arguments))
        recorded.recording.replay()
        return mapped(recorded.results, torch.clone)

    def _record(self, arguments: tuple) -> Recorded:
        recording, static = self.make_recording(), mapped(arguments, torch.clone)
        with self.unchanged():
            results = recording.record(partial(self.function, *static))
        return Recorded(recording, tensors_of(static), results)
