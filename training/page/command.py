"""`tandem report`: its options, and the file that it writes."""

import os
from argparse import ArgumentParser
from pathlib import Path

from ...durable import whole_file
from ...usage import UsageError
from .page import page_of

PLACE = Path("report") / "run.html"  # in a run's folder


def report(arguments: list[str], parser: ArgumentParser) -> None:
    """`tandem report ARGUMENTS`. UserError for what a person can set right; nothing is written then."""
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"where to write the page (default: RUN/{PLACE})")
    options = parser.parse_args(arguments)
    if options.out is not None:
        _check_path(options.out)
    path = write_page(options.run, options.out)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, one file that a browser opens and a printer prints")


def write_page(run: Path, out: Path | None = None) -> Path:
    """The page of a run, whole, at `out` or in its folder. -> where it is. UserError where `run` is no run's folder."""
    page, path = page_of(run), out or run / PLACE
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as file:
        file.write(page.encode())
    return path


def _check_path(path: Path) -> None:
    """UsageError where nothing can be written, before anything is read."""
    if path.is_dir():
        raise UsageError(f"--out {path}: is a folder, expected a file")
    if not path.parent.is_dir():
        raise UsageError(f"--out {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"--out {path}: nothing can be written in {path.parent}")
