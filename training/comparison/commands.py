"""`tandem compare`: its options, what it prints, and what it writes."""

import json
import math
import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

from ...durable import whole_file
from ...usage import UsageError, file_to_write
from ..reading.signs import harmless
from .compared import Comparison, to_plain
from .compared import compare as compare_task
from .courses import COUNTED, Course, find_courses
from .table import curves_csv, table_csv, told

RUNS = "folders of runs, folders below which runs lie, or a compare.json that --out wrote"
FILES = ("curves.png", "curves.svg", "curves.csv", "table.csv", "compare.json")


def compare(arguments: list[str], parser: ArgumentParser) -> None:
    """`tandem compare ARGUMENTS`. UserError for what a person can set right; nothing is written then."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUNS)
    parser.add_argument("--by", choices=COUNTED, default="coins", help="what returns are held against (coins)")
    parser.add_argument("--level", type=_return, metavar="X", help="a return; told is what it costs to reach it")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"write {', '.join(FILES)} there")
    options = parser.parse_args(arguments)
    if options.out is not None:
        _check_folder(options.out)
    courses, found = find_courses(options.runs)
    notes = [harmless(note) for note in found]
    by_task: dict[str, list[Course]] = {}
    for course in courses:
        by_task.setdefault(course.task, []).append(course)
    if len(by_task) > 1:
        notes.append(f"{len(by_task)} tasks are compared one by one: returns of one say nothing of another's")
    comparisons = [compare_task(inside, options.by, options.level) for inside in by_task.values()]
    if options.out is not None:
        _write(options.out, comparisons, courses, notes)
    lines = [line for one in comparisons for line in [*told(one), ""]]
    print("\n".join([*lines[:-1], *(f"note: {note}" for note in notes)]))
    if options.out is not None:
        print(f"written into {options.out}: {', '.join(FILES)}")


def _return(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArgumentTypeError(f"must be a number, got {text!r}")
    return value


def _check_folder(out: Path) -> None:
    """UsageError where nothing can be written, before anything is worked out."""
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"--out: {out} is not a folder")
    above = next((one for one in (out, *out.absolute().parents) if one.is_dir()), out)
    if not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"--out: nothing can be written in {above}")
    for name in FILES if out.is_dir() else ():
        file_to_write("--out", out / name)


def _write(out: Path, comparisons: Sequence[Comparison], courses: Sequence[Course], notes: list[str]) -> None:
    """All of it is made before the first file is written, each of which is there whole or not at all."""
    from .figure import drawn  # brings matplotlib

    plain = {
        "comparisons": [to_plain(one) for one in comparisons],
        "notes": notes,
        "runs": [one.to_plain() for one in courses],
    }
    contents = {
        "curves.png": drawn(comparisons, "png"),
        "curves.svg": drawn(comparisons, "svg"),
        "curves.csv": curves_csv(comparisons).encode(),
        "table.csv": table_csv(comparisons).encode(),
        "compare.json": (json.dumps(plain, indent=1, allow_nan=False, default=str) + "\n").encode(),
    }
    assert contents.keys() == set(FILES)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with whole_file(file_to_write("--out", out / name)) as file:
            file.write(content)
