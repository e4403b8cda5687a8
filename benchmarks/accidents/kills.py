"""kill -9 at random moments and at every moment that counts: what comes of the run, of its labels and of its money."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tandem.training.storage import checkpoint
from tandem.worldmodel.replay.journal.labels import LabelJournal

from . import points
from .comparison import differing
from .lives import End, changed, live, live_on

VARIANTS = {  # of the run that is killed, in turn
    "decoupled": (),
    "reference mode": ("mode=coupled", "allocator.name=coupled", "price.label=1", "envs.heldout_share=0"),
    "four environments, late noisy answers": ("envs.num=4", "labeler.name=noisy", "labeler.delay=3"),
    "in processes": ("envs.processes=true",),
    "bfloat16 latents": ("replay.latents=bfloat16",),
    "gymnasium": ("task=gym:Pendulum-v1",),
    "dm_control": ("task=dmc_cartpole_swingup",),
}
MOST_LIVES = 8  # of one run that are killed
LIFE_SECONDS = 5.0  # of a run that is always killed after as many
LONG = changed("allocator.phases=1", "train.updates=1000")


@dataclass
class Count:
    """What came of runs that were killed."""

    kills: int = 0
    resumed: int = 0  # lives after a kill that went on without an error
    runs: int = 0
    runs_equal: int = 0  # to the uninterrupted run, in everything but times
    labels: int = 0  # that the uninterrupted runs bought
    labels_lost: int = 0
    labels_paid_twice: int = 0
    faults: list[str] = field(default_factory=list)  # what was wrong, in words

    def as_dict(self) -> dict:
        return asdict(self)


class Wholes:
    """The uninterrupted runs, one of each variant, made when they are needed."""

    def __init__(self, folder: Path):
        self.folder, self.seconds = folder, {}

    def of(self, name: str) -> Path:
        path = self.folder / name.replace(" ", "-").replace(",", "")
        if name not in self.seconds:
            shutil.rmtree(path, ignore_errors=True)
            self.seconds[name] = live_on(path, changed(*VARIANTS[name])).seconds
        return path


def random_kills(kills: int, seed: int, wholes: Wholes, folder: Path, say: Callable[[str], None] = print) -> Count:
    """Runs that are killed up to MOST_LIVES times each, at moments spread evenly over the time that is left of them."""
    rng, count = random.Random(seed), Count()
    while count.kills < kills:
        name = list(VARIANTS)[count.runs % len(VARIANTS)]
        whole, path = wholes.of(name), folder / "killed"
        shutil.rmtree(path, ignore_errors=True)
        for _ in range(min(rng.randint(1, MOST_LIVES), kills - count.kills)):
            end = live(path, changed(*VARIANTS[name]), kill_after=rng.random() * wholes.seconds[name])
            if not end.is_killed:
                _note(count, end, name)
                break
            count.kills += 1
            count.resumed += 1  # taken back below where the life after it fails
        finish(count, whole, path, name, name)
        say(f"kill -9 at random: {count.kills} of {kills}, {count.runs_equal} of {count.runs} runs equal")
    return count


def every_point(seed: int, wholes: Wholes, folder: Path, name: str, say: Callable[[str], None] = print) -> Count:
    """A run killed just before each moment that counts, the life after it before a random one; then the power fails there."""
    rng, count = random.Random(seed), Count()
    whole, path = wholes.of(name), folder / "cut"
    settings = changed(*VARIANTS[name])
    shutil.rmtree(path, ignore_errors=True)
    number = points.count(path, settings)
    for place in range(1, number + 1):
        for first in (points.killed_at(place), points.cut_at(place, path)):
            shutil.rmtree(path, ignore_errors=True)
            for prepare in (first, points.killed_at(rng.randint(1, number))):
                end = live(path, settings, prepare=prepare)
                _note(count, end, f"{name}, moment {place}")
                count.kills += end.is_killed
                count.resumed += end.is_killed
                if not end.is_killed:
                    break
            finish(count, whole, path, name, f"{name}, moment {place}")
        say(f"killed and cut at moment {place} of {number}: {count.runs_equal} of {count.runs} runs equal")
    return count


def finish(count: Count, whole: Path, path: Path, name: str, where: str) -> None:
    """Let the run end, and compare it with the uninterrupted one."""
    end = live(path, changed(*VARIANTS[name]))
    _note(count, end, where)
    count.runs += 1
    found = differing(whole, path) if not end.status else ["no end"]
    count.runs_equal += not found
    count.faults += [f"{where}: {one}" for one in found[:3]]
    ours, theirs = _answers(whole), _answers(path) if not end.status else {}
    count.labels += len(ours)
    count.labels_lost += sum(theirs.get(key) != value for key, value in ours.items())
    count.labels_paid_twice += len(_paid_twice(path))


def progress(folder: Path, say: Callable[[str], None] = print) -> dict:
    """A run whose phase lasts longer than any of its lives: updates in the newest checkpoint after each life."""
    path, updates = folder / "short-lived", []
    shutil.rmtree(path, ignore_errors=True)
    while True:
        end = live(path, LONG, kill_after=LIFE_SECONDS)
        if not end.is_killed:
            break
        known = checkpoint.list_checkpoints(path / "checkpoints")
        updates.append(checkpoint.load(path / "checkpoints").parts["progress"]["updates"] if known else 0)
        say(f"lives of {LIFE_SECONDS:g} s: {updates[-1]} updates after {len(updates)}")
        if len(updates) >= 3 and updates[-1] == updates[-3]:
            break
    return {"life_seconds": LIFE_SECONDS, "updates": updates, "is_finished": end.status == 0}


def _note(count: Count, end: End, where: str) -> None:
    if not end.is_clean:
        count.resumed -= 1
        count.faults.append(f"{where}: ended with {end.status}: {end.said.strip().splitlines()[-1:]}")
    elif "cannot be done again" in end.said or "warning" in end.said:
        count.faults += [
            f"{where}: {line}" for line in end.said.splitlines() if "cannot be" in line or "warning" in line
        ]


def _answers(run: Path) -> dict[str, float]:
    return {label.key: label.value for label in LabelJournal(run / "labels").read_answers()}


def _paid_twice(run: Path) -> list[str]:
    if not (run / "ledger.db").exists():
        return []
    with closing(sqlite3.connect(run / "ledger.db")) as db:
        query = "SELECT key FROM events WHERE event = 'settle' GROUP BY key HAVING COUNT(*) > 1"
        return [key for (key,) in db.execute(query)]
