"""The course of a run: its true returns by what they cost, from its folder or from a file that an earlier comparison wrote."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from ...errors import UserError
from ..reading.configuration import SAVED_AS, misfit, setting
from ..reading.run_files import Evaluated, RunFiles
from ..reading.signs import harmless

Axis = Literal["coins", "steps", "labels", "hours"]
COUNTED = {"coins": "spent", "steps": "step", "labels": "labels", "hours": "hours"}  # axis -> of an evaluation
LARGEST = 1e100  # returns beyond it are no numbers either: their sums would not be
DEEPEST = 5  # folders below the one that was named, in which runs are looked for
NOT_A_COURSE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass(frozen=True)
class Course:
    name: str  # the folder, as it was named or found, and as it can be shown
    configuration: dict[str, Any]
    evaluations: tuple[Evaluated, ...]  # in order, those with a finite return
    is_over: bool

    @classmethod
    def of(cls, run: RunFiles) -> Self:
        finite = tuple(one for one in run.evaluations if is_return(one.return_mode))
        return cls(harmless(str(run.path)), run.configuration, finite, run.is_over)

    @property
    def task(self) -> str:
        """As it can be shown."""
        return harmless(self.configuration["task"])

    @property
    def repeat(self) -> int:
        return setting(self.configuration, "envs.repeat", 1)

    @property
    def seed(self) -> int:
        return setting(self.configuration, "seed", 0)

    def points(self, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
        """(K,) what had been spent and (K,) returns with mode actions. Of evaluations at one place the last counts."""
        at = {getattr(one, COUNTED[axis]): one.return_mode for one in self.evaluations}
        return np.array(list(at)), np.array(list(at.values()))

    def to_plain(self) -> dict:
        """As JSON knows it; null for what is no finite number."""
        evaluations = [
            {key: value if math.isfinite(value) else None for key, value in asdict(one).items()}
            for one in self.evaluations
        ]
        return asdict(self) | {"evaluations": evaluations}

    @classmethod
    def from_plain(cls, plain: dict) -> Self:
        """What `to_plain` gave. One of NOT_A_COURSE for anything else."""
        evaluations = tuple(_evaluated(one) for one in plain["evaluations"])
        course = cls(harmless(str(plain["name"])), plain["configuration"], evaluations, bool(plain["is_over"]))
        if what := misfit(course.configuration):
            raise ValueError(what)
        if not all(is_return(one.return_mode) for one in evaluations):
            raise ValueError("return_mode must be a number")
        return course


def is_return(value: float) -> bool:
    """A number that can be added up."""
    return abs(value) < LARGEST


def _evaluated(plain: dict) -> Evaluated:
    return Evaluated(
        phase=int(plain["phase"]),
        step=int(plain["step"]),
        spent=float(plain["spent"]),
        transitions=int(plain["transitions"]),
        labels=int(plain["labels"]),
        updates=int(plain["updates"]),
        hours=_number(plain["hours"]),
        return_mode=_number(plain["return_mode"]),
        return_sampled=_number(plain["return_sampled"]),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def find_courses(places: Sequence[Path]) -> tuple[list[Course], list[str]]:
    """Of the runs that are named, that lie below a folder which is named, or that a JSON file keeps; and a line of what
    was left out and why.

    UserError where a place that was named is none of these. Of a run that was found and not named, one that cannot be
    read is left out.
    """
    courses: list[Course] = []
    notes: list[str] = []
    for path, is_named in dict(_found(places)).items():
        try:
            courses += _read_kept(path) if path.is_file() else [_read_run(path, notes)]
        except (UserError, OSError) as error:
            if is_named:
                raise
            notes.append(f"left out: {error}")
    return _evaluated_ones(courses, notes), notes


def _found(places: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Path of each run or file, once, and whether it was named itself."""
    seen = set()
    for place in places:
        is_one = place.is_file() or (place / SAVED_AS).is_file() or not place.is_dir()
        below = [place] if is_one else list(_runs_below(place))
        if not below:
            raise UserError(f"{place}: not a run, and no run lies below it")
        for path in below:
            if (real := os.path.realpath(path)) not in seen:
                seen.add(real)
                yield path, is_one


def _runs_below(place: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(place):
        is_run = SAVED_AS in files
        if is_run:
            yield Path(folder)
        is_deepest = len(Path(folder).relative_to(place).parts) >= DEEPEST
        folders[:] = [] if is_run or is_deepest else sorted(folders)


def _read_run(path: Path, notes: list[str]) -> Course:
    run = RunFiles.read(path)
    notes += run.damaged
    course = Course.of(run)
    if missing := len(run.evaluations) - len(course.evaluations):
        notes.append(f"{path}: {missing} evaluations whose return is no number are left out")
    return course


def _read_kept(path: Path) -> list[Course]:
    try:
        return [Course.from_plain(one) for one in json.loads(path.read_bytes())["runs"]]
    except (*NOT_A_COURSE, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"[:80]
        raise UserError(f"{path}: neither a run nor a file of runs that tandem compare wrote ({why})") from error


def _evaluated_ones(courses: list[Course], notes: list[str]) -> list[Course]:
    empty = [one.name for one in courses if not one.evaluations]
    if not courses:
        raise UserError(f"no run can be read there, so there is nothing to compare: {'; '.join(notes)}")
    if len(empty) == len(courses):
        raise UserError(f"{empty[0]}: no evaluation yet, there is nothing to compare")
    notes += [f"left out: {name}: no evaluation yet" for name in empty]
    return [one for one in courses if one.evaluations]
