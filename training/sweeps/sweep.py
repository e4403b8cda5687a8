"""`train.py --sweep`: every combination of the values that settings are given, run on this machine or by Slurm, and gone on with."""

import os
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...usage import Parser
from ..config import Config
from ..stop import Interrupted, listening
from . import engine
from .cells import Cell, Sweep, configurations
from .engine import Engine
from .folder import SweepFolder
from .job import Job

TRAIN = Path(__file__).parents[2] / "train.py"  # it finds the package by itself
PAUSE_SECONDS = 0.5  # between two looks at the cells


@dataclass(frozen=True)
class Order:
    """How a sweep is to be run. jobs: at once; None: one on this machine, on a cluster as many as it likes."""

    jobs: int | None
    slurm: tuple[str, ...]  # words of --slurm; none: on this machine
    program: str  # what was typed, for hints
    is_shown: bool  # print the commands of the cells, and do nothing


def sweep(arguments: list[str], order: Order) -> int:
    """Run every cell that is not finished. -> 0, or 1 where a cell failed. Interrupted after a signal, once the cells are saved.

    Whatever is wrong with the command line or with a cell's settings is found before anything is written or started.
    """
    asked = Sweep.read(arguments)
    cells, folder = asked.cells(), SweepFolder(asked.folder.absolute())
    configs = configurations(cells)
    _check_budgets(configs)
    folder.check(asked)
    extra = _threads(configs, order)
    if order.is_shown:
        print("\n".join(f"{order.program} {shlex.join(_start(folder, cell, extra))}" for cell in cells))
        return 0
    place, before = cluster(folder, order), folder.standing()
    with closing(folder.hold()):
        folder.check(asked)  # now that nobody else writes here
        folder.record(asked)
        place, spread = (place, ()) if place else (Engine.here(folder.engine, order.jobs or 1), engine.gpus())
        phases = {name: config.allocator.phases for name, config in configs.items()}
        runner = Runner(folder, place, cells, phases, extra, spread)
        try:
            return runner.run()
        except UserError:
            if not (runner.running or runner.finished or runner.failed):
                folder.clear(before)
            raise


def cluster(folder: SweepFolder, order: Order) -> Engine | None:
    """Slurm where it is asked for. Writes nothing yet: UserError where submitit or Slurm is not here, or not for this."""
    engine.find_submitit()
    parameters = engine.parameters_of(order.slurm)
    return Engine.slurm(folder.engine, parameters, order.jobs, "tandem") if order.slurm else None


@dataclass
class Runner:
    """A sweep under way."""

    folder: SweepFolder
    place: Engine
    cells: list[Cell]
    phases: dict[str, int]  # that each cell's run has
    extra: tuple[str, ...]  # settings that every cell gets beside its own
    gpus: tuple[str, ...] = ()  # of this machine, where cells are spread over several
    running: dict[str, Any] = field(default_factory=dict)  # submitit's jobs; None: another process's
    placed: dict[str, str] = field(default_factory=dict)  # the GPU of each cell that runs
    failed: dict[str, str] = field(default_factory=dict)  # the last word of each
    finished: set[str] = field(default_factory=set)
    signals: list[int] = field(default_factory=list)  # that came
    num_stopped: int = 0  # of them obeyed

    def run(self) -> int:
        with listening(lambda number, frame: self.signals.append(number)):
            self._begin()
            while self._has_more():
                if len(self.signals) > self.num_stopped:
                    self._stop()
                self._look()
                if not self.num_stopped:
                    self._start()
                time.sleep(PAUSE_SECONDS)
        return self._end()

    def _begin(self) -> None:
        """See what earlier calls left: finished cells, some that still run, jobs in a queue."""
        queued = {} if self.place.is_local else self.folder.queued()
        for cell in self.cells:
            if self._is_finished(cell.name):
                self.finished.add(cell.name)
            elif cell.name in queued and (job := engine.again(*queued[cell.name])):
                self.running[cell.name] = job
            elif self.folder.is_busy(cell.name):
                self.running[cell.name] = None
        parts = [f"{len(self.cells)} cells in {self.folder.path}"]
        parts += [f"{len(self.finished)} finished before"] if self.finished else []
        parts += [f"{len(self.running)} still under way from an earlier call"] if self.running else []
        _say(f"sweep: {', '.join(parts)}")

    def _has_more(self) -> bool:
        if self.num_stopped:  # a cluster ends its jobs by itself
            return self.place.is_local and any(job is not None for job in self.running.values())
        return bool(self.running or self._waiting())

    def _waiting(self) -> list[Cell]:
        known = self.running.keys() | self.failed.keys() | self.finished
        return [cell for cell in self.cells if cell.name not in known]

    def _start(self) -> None:
        """As many cells as there is room for."""
        cells = self._waiting()[: max(0, self.place.room - len(self.running))]
        if not cells:
            return
        jobs = self.place.start([self._job(cell) for cell in cells])
        self.running |= {cell.name: job for cell, job in zip(cells, jobs, strict=True)}
        if not self.place.is_local:
            told = {cell.name: [str(job.paths.folder), job.job_id] for cell, job in zip(cells, jobs, strict=True)}
            self.folder.enqueue(told)
        for cell in cells:
            goes_on = (self.folder.cell(cell.name) / "config.yaml").exists()
            _say(f"{cell.name}: {'goes on' if goes_on else 'begins'}")

    def _job(self, cell: Cell) -> Job:
        run, program = self.folder.cell(cell.name), [sys.executable, str(TRAIN)]
        return Job(
            start=[*program, *_start(self.folder, cell, self.extra)],
            go_on=[*program, "--resume", str(run), *self.extra],
            config=str(run / "config.yaml"),
            log=str(self.folder.log(cell.name)),
            environment=self._environment(cell.name) if self.place.is_local else {},
            watched=str(self.folder.lock) if self.place.is_local else None,
        )

    def _environment(self, name: str) -> dict[str, str | None]:
        """As it is here, for submitit hides the GPUs; of several the one that fewest cells are on. Libraries below torch get
        no more threads than it does."""
        own = {key: os.environ.get(key) for key in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}
        threads = next((word.partition("=")[2] for word in self.extra), None)
        own["OMP_NUM_THREADS"] = own["OMP_NUM_THREADS"] or threads
        if len(self.gpus) > 1:
            taken = list(self.placed.values())
            own["CUDA_VISIBLE_DEVICES"] = self.placed[name] = min(self.gpus, key=taken.count)
        return own

    def _look(self) -> None:
        """Take in what has ended."""
        for name, job in list(self.running.items()):
            if (job is not None and not job.done()) or self.folder.is_busy(name):
                continue
            del self.running[name]
            self.placed.pop(name, None)
            if self._is_finished(name):
                self.finished.add(name)
                _say(f"{name}: {self.folder.last_word(name).partition('; see it with')[0]}")
            elif job is not None and not self.signals:
                self.failed[name] = self.folder.last_word(name)
                _say(f"{name}: failed: {self.failed[name]}")

    def _is_finished(self, name: str) -> bool:
        return self.folder.is_finished(name, self.phases[name])

    def _stop(self) -> None:
        self.num_stopped += 1
        mine = {name: job for name, job in self.running.items() if job is not None}
        _say(f"stopping: {len(mine)} cells save and end" if mine else "stopping")
        for job in mine.values():
            self.place.stop(job)

    def _end(self) -> int:
        _say(f"sweep: {len(self.finished)} of {len(self.cells)} cells are complete")
        if self.signals and len(self.finished) < len(self.cells):
            _say("the same command goes on")
            raise Interrupted(self.signals[0], self.folder.path)
        if self.finished:
            self._compare()
        for name, word in self.failed.items():
            _say(f"failed: {name}: {word} (all it said: {self.folder.log(name)})")
        if self.failed:
            _say("the others are unharmed; the same command goes on with those that failed")
        return 1 if self.failed else 0

    def _compare(self) -> None:
        """Against coins. The sweep is over whatever comes of it."""
        from ..comparison.commands import compare

        folder = self.folder.path
        _say(f"\ncompared by coins; tandem compare {shlex.quote(str(folder))} does it in other ways\n")
        try:
            compare([str(folder), "--out", str(folder / "comparison")], Parser(prog="tandem compare"))
        except Exception as error:  # noqa: BLE001 - of any kind: a picture fails no sweep
            _say(f"warning: not compared: {type(error).__name__}: {error}")


def _say(text: str) -> None:
    print(text, flush=True)


def _start(folder: SweepFolder, cell: Cell, extra: Sequence[str]) -> list[str]:
    return [*cell.arguments, *extra, f"run.dir={folder.cell(cell.name)}"]


def _check_budgets(configs: dict[str, Config]) -> None:
    """UserError for a cell whose budget cannot pay for the pilot."""
    from ..build import check_pilot

    for name, config in configs.items():
        try:
            check_pilot(config)
        except UserError as error:
            raise UserError(f"{error} (cell {name})") from error


def _threads(configs: dict[str, Config], order: Order) -> tuple[str, ...]:
    """On this machine the cores are shared by the cells that run at once, unless somebody has set threads."""
    if order.slurm or any(config.threads for config in configs.values()):
        return ()
    return (f"threads={max(1, len(os.sched_getaffinity(0)) // (order.jobs or 1))}",)
