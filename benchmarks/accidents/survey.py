"""All kinds of accident, each in a process of its own, and the numbers of all of them together."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import corruptions, kills, points
from .exact import exact
from .kills import Wholes
from .lives import live
from .poison import poison
from .stops import stops
from .strangers import strangers
from .workers import workers

STOPPED_AT = 0.65  # of the moments that count: there the run is stopped whose files are damaged, past its pilot
QUIET = ("log.every_seconds=1000",)
STOPS = 20  # of each signal in each place
KILLED = ("kills", "points")  # parts whose numbers are added


def do(part: str, folder: Path, number: int, seed: int) -> dict:
    """One kind of accident, done in `folder`. number: of kills at random moments. -> its numbers"""

    def say(line: object) -> None:
        print(f"{part}: {line}", file=sys.stderr, flush=True)

    if part == "kills":
        return kills.random_kills(number, seed, Wholes(folder / "whole"), folder, say).as_dict()
    if part == "points":
        return kills.every_point(seed, Wholes(folder / "whole"), folder, "decoupled", say).as_dict()
    if part == "exact":
        return exact(folder, say)
    if part == "progress":
        return kills.progress(folder, say)
    if part == "corruptions":
        return corruptions.sweep(stopped(folder / "stopped"), folder / "damaged", seed, settings=QUIET, say=say)
    if part == "strangers":
        return strangers(stopped(folder / "stopped"), say=say)
    if part == "stops":
        return stops(STOPS, seed, say)
    return workers(seed=seed, say=say) if part == "workers" else poison(seed, say)


def stopped(path: Path) -> Path:
    """A run that was stopped in the middle of its last phase."""
    count = points.count(path)
    end = live(path, prepare=points.stopped_at(round(STOPPED_AT * count)))
    assert end.status == 128 + signal.SIGINT, end.said
    return path


def survey(parts: Sequence[str], words: Sequence[str], jobs: int) -> dict:
    """Run this program again for each part, so many at once. words: of its command line. -> part -> numbers, and the sums."""

    def run(part: str) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "part.json"
            command = [sys.executable, *words, "--only", part, "--json", str(path)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
            return json.loads(path.read_text())["parts"][part]

    with ThreadPoolExecutor(jobs) as pool:
        return summed(dict(zip(parts, pool.map(run, parts), strict=True)))


def summed(parts: dict[str, dict]) -> dict:
    """The numbers that people ask for first, then those of each part."""
    first: dict = {}
    killed = [parts[name] for name in KILLED if name in parts]
    if killed:
        names = ("kills", "resumed", "labels", "labels_lost", "labels_paid_twice", "runs", "runs_equal")
        first = {name: sum(one[name] for one in killed) for name in names}
        first["final_state_equal"] = first["runs"] == first["runs_equal"]
    if "progress" in parts:
        first["progress_under_kills"] = parts["progress"]["updates"]
    for part, names in (
        ("corruptions", ("corruptions", "corruptions_detected", "corruptions_rescued")),
        ("strangers", ("pickles", "pickles_executed")),
    ):
        first |= {name: parts[part][name] for name in names if part in parts}
    return first | {"parts": parts}
