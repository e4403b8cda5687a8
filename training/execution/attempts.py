"""Several ways to do the same work, of which the first that works here is taken."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class Attempts:
    """A function that is the first of `ways`, (name, function), to come through its first call.

    That call is tried and undone; what fails is told in a line. The last way is taken untried. Once one is taken its errors
    are the caller's.
    """

    def __init__(
        self,
        ways: list[tuple[str, Callable]],
        warn: Callable[[str], None],
        unchanged: Callable[[], AbstractContextManager] = nullcontext,
    ):
        """unchanged: a context that undoes what a way does to state."""
        self.ways, self.warn, self.unchanged = list(ways), warn, unchanged
        self.is_tried = False

    @property
    def name(self) -> str:
        """Of the way that is taken, or tried next."""
        return self.ways[0][0]

    def __call__(self, *arguments: Any) -> Any:
        while not self.is_tried:
            self._try(arguments)
        return self.ways[0][1](*arguments)

    def _try(self, arguments: tuple) -> None:
        (name, way), *others = self.ways
        try:
            if others:
                with self.unchanged():
                    way(*arguments)
            self.is_tried = True
        except (RuntimeError, OSError, ImportError) as error:  # compilers and drivers have types of error of their own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.warn(f"warning: runtime.execution: {name} cannot be done here, {others[0][0]} is: {reason}")
            self.ways = others
