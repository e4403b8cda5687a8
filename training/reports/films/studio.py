"""Films of a run, made in a process of their own: training goes on meanwhile, and nothing that happens there ends it.

The process knows neither torch nor the run. It is given what it needs, answers with films, and is gone.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .darkroom import Shot
from .gif import Film

WAITING_SECONDS = 60.0  # at the end of a run, for films that are not ready yet
PACKAGE = Path(__file__).resolve().parents[3] / "__init__.py"
# The package is named by its file, as in train.py, and no script of a person's is imported a second time.
PROGRAM = """
import importlib.util, pickle, sys
file, sys.path[:] = pickle.load(sys.stdin.buffer)
spec = importlib.util.spec_from_file_location("tandem", file)
sys.modules["tandem"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["tandem"])
from tandem.training.reports.films.darkroom import work
work(int(sys.argv[1]))
"""


@dataclass(frozen=True)
class Occasion:
    """When something was filmed."""

    phase: int
    step: int  # environment steps


class Studio:
    """Makes the films of one occasion at a time."""

    def __init__(self, show: Callable[[str, Film, Occasion], None], warn: Callable[[str], None]):
        """show(name, film, occasion) is called with each that is ready, warn(line) once for each name that cannot be filmed."""
        self._show, self._warn = show, warn
        self._order: _Order | None = None
        self._given_up: set[str] = set()

    def begin(self, shots: Mapping[str, Shot], occasion: Occasion) -> None:
        """Film these by name, beside whatever else goes on. What could not be filmed once is not tried again."""
        assert self.is_free, "one occasion at a time"
        wanted = {name: shot for name, shot in shots.items() if name not in self._given_up}
        if wanted:
            self._order = _Order(wanted, occasion)

    @property
    def is_free(self) -> bool:
        return self._order is None

    @property
    def is_ready(self) -> bool:
        """Whether there is something to show, and nothing to wait for."""
        return self._order is not None and self._order.is_over

    def deliver(self) -> None:
        """Show what was begun, once it is ready."""
        order, self._order = self._order, None
        if order is None:
            return
        try:
            outcomes = order.outcomes(WAITING_SECONDS)
        finally:
            order.end()
        for name, outcome in outcomes.items():
            if isinstance(outcome, Film):
                self._show(name, outcome, order.occasion)
            else:
                self._given_up.add(name)
                self._warn(f"warning: there will be no films {name}, the run goes on (log.films): {outcome}")

    def close(self) -> None:
        """End what is under way."""
        order, self._order = self._order, None
        if order is not None:
            order.end()


class _Order:
    """A process that makes films by name."""

    def __init__(self, shots: Mapping[str, Shot], occasion: Occasion):
        self.occasion, self._names = occasion, list(shots)
        lifeline, self._held = os.pipe()
        self._answer: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed by end()
        try:
            with tempfile.TemporaryFile() as question:  # a pipe would be waited at until somebody reads
                pickle.dump((str(PACKAGE), sys.path), question)
                pickle.dump(list(shots.values()), question)
                question.seek(0)
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-c", PROGRAM, str(lifeline)],
                    stdin=question,
                    stdout=self._answer,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(lifeline,),
                    process_group=0,  # Ctrl-C is for the parent, which ends this one; a session of its own would not be nice
                )
        except BaseException:
            os.close(self._held)
            self._answer.close()
            raise
        finally:
            os.close(lifeline)

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def outcomes(self, seconds: float) -> dict[str, Film | str]:
        """Name -> film, or why there is none."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return dict.fromkeys(self._names, f"its process was not ready after {seconds:g} more seconds")
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
            return dict.fromkeys(self._names, f"its process {how} (try MUJOCO_GL=egl or osmesa)")
        self._answer.seek(0)
        return dict(zip(self._names, pickle.load(self._answer), strict=True))

    def end(self) -> None:
        if self._answer.closed:
            return
        self._process.kill()
        self._process.wait()
        os.close(self._held)
        self._answer.close()
