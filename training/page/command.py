"""`tandem report`: its options, and the file that it writes."""

from argparse import ArgumentParser
from pathlib import Path

from ...durable import whole_file
from ...usage import file_to_write
from .page import page_of

PLACE = Path("report") / "run.html"  # in a run's folder


def report(arguments: list[str], parser: ArgumentParser) -> None:
    """`tandem report ARGUMENTS`. UserError for what a person can set right; nothing is written then."""
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"where to write the page (default: RUN/{PLACE})")
    options = parser.parse_args(arguments)
    out = None if options.out is None else file_to_write("--out", options.out)
    path = write_page(options.run, out)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, one file that a browser opens and a printer prints")


def write_page(run: Path, out: Path | None = None) -> Path:
    """The page of a run, whole, at `out` or in its folder. -> where it is. UserError where `run` is no run's folder."""
    page, path = page_of(run), out or run / PLACE
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as file:
        file.write(page.encode())
    return path
