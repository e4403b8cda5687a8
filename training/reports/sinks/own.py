"""Sinks of a person's own, `log.sinks=[module:Class]`: each gets every row of metrics.jsonl, and none of them can end a run."""

import json
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from ....durable import whole_file
from ....errors import UserError
from ....outside import make_own, told

GIVEN = "sinks.json"  # of the rows that come again in a run that goes on, how many each sink has had
FAILURES = (Exception, SystemExit)  # whatever a person's own code raises; a signal's exception is not among them


class Sink(Protocol):
    """Made with the run's folder and its settings as plain data; with `resumed` too where its constructor names it."""

    def write(self, row: dict[str, Any]) -> None:
        """A row of metrics.jsonl: {"step", "time", key: number or None}."""
        ...

    def close(self) -> None: ...


class Sinks:
    """Those of a run, and which rows they have had. `say`, `aside`: where a failure is told, and its traceback.

    A run that goes on does again what came after its checkpoint, row by row: a row that has gone out is not given again.
    """

    def __init__(
        self,
        names: Sequence[str],
        folder: Path,
        settings: dict[str, Any],
        num_rows: int,
        come_again: bool,
        say: Callable[[str], None],
        aside: Callable[[str], None],
    ):
        """num_rows: of metrics.jsonl, written by earlier lives. come_again: those after the checkpoint do, so they are cut off."""
        self._path, self._say, self._aside = folder / GIVEN, say, aside
        before = _read(self._path) if come_again else {}
        self._given = {name: before.get(name, 0) for name in names}
        self._known = before.keys() & set(names)  # in an earlier life too
        self._sinks: dict[str, Sink] = {}
        for name in names:
            with self._shielded(name):
                made = make_own(
                    name,
                    "log.sinks",
                    str(folder),
                    settings,
                    offered={"resumed": num_rows > 0},
                    methods=("write", "close"),
                )
                self._sinks[name] = made
        if names:
            self._keep()

    def write(self, row: dict[str, Any], number: int) -> None:
        """The row of that number, counted from 1."""
        for name, sink in list(self._sinks.items()):
            if number > self._given[name]:
                with self._shielded(name):
                    sink.write(dict(row))

    def cut(self, num_rows: int) -> None:
        """metrics.jsonl, which has so many rows, is about to be cut: those that follow have gone out, and come again."""
        self._given |= {name: max(self._given[name], num_rows) for name in self._known}
        if self._given:
            self._keep()

    def close(self) -> None:
        for name, sink in list(self._sinks.items()):
            with self._shielded(name):
                sink.close()

    @contextmanager
    def _shielded(self, name: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            self._drop(name, error)

    def _drop(self, name: str, error: BaseException) -> None:
        dropped = self._sinks.pop(name, None)
        why = str(error).removeprefix("log.sinks: ") if isinstance(error, UserError) else f"{name}: {told(error)}"
        self._say(f"warning: log.sinks: {why}; it gets no more rows, the run goes on")
        self._aside("".join(traceback.format_exception(error)))
        if dropped is not None:
            with suppress(*FAILURES):
                dropped.close()

    def _keep(self) -> None:
        with whole_file(self._path, "w") as file:
            json.dump(self._given, file)


def _read(path: Path) -> dict[str, int]:
    try:
        return {str(name): int(number) for name, number in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # only who is looked at twice depends on it
