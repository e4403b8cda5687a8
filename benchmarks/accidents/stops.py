"""SIGTERM and Ctrl-C, wherever a run is, and disks that take nothing more: how it leaves, and whether it goes on."""

import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

import tandem.training.phases
from tandem.training.reports.evaluate import Evaluator

from .comparison import differing
from .disks import disks
from .lives import End, changed, live
from .worlds import TASK, Accident, plan

STAGES = {  # name -> where its function is kept, and the name there
    "training": (tandem.training.phases, "spend"),
    "evaluation": (Evaluator, "run"),
    "measuring": (tandem.training.phases, "measure"),
}
HANGING = {  # name -> settings: in this process, and in one of its own
    "hanging environment": (f"task={TASK}",),
    "hanging process": (f"task={TASK}", "envs.processes=true"),
}
PLACES = (*STAGES, *HANGING, "second Ctrl-C", "disks")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LATEST = 37  # step of a life's worlds at which one hangs
STOPS_A_RUN = 5
LEAVE_SECONDS = 3.0  # that a process which was started by the run may take to notice its end


@dataclass(frozen=True)
class Stage:
    """Where a run is stopped, and by what."""

    place: str
    number: signal.Signals
    lasting: list[float]  # seconds of each call of the place's function

    def __str__(self) -> str:
        return f"{self.number.name} in {self.place}"


@dataclass
class Count:
    """What came of runs that were asked to end at one place, by one signal."""

    stops: int = 0
    statuses_right: int = 0  # 143 or 130
    told: int = 0  # what was saved, and how to go on
    nothing_left_behind: int = 0  # no process
    longest_seconds: float = 0.0  # from the signal to the end
    runs: int = 0
    runs_equal: int = 0  # to the uninterrupted one
    faults: list[str] = field(default_factory=list)

    def check(self, is_right: bool, what: str) -> bool:
        if not is_right:
            self.faults.append(what)
        return is_right


def stops(
    times: int = 20, seed: int = 0, say: Callable[[str], None] = print, places: Collection[str] = PLACES
) -> dict[str, dict]:
    """Each signal so many times in each place. -> by place and signal, what came of it; and of a second Ctrl-C and of disks."""
    rng, found = random.Random(seed), {}
    with tempfile.TemporaryDirectory() as base, _state_in(Path(base)):
        folder = Path(base)
        for place in [one for one in (*STAGES, *HANGING) if one in places]:
            whole, lasting = _whole(folder, place)
            for number in SIGNALS:
                count = Count()
                while count.stops < times:
                    most = min(STOPS_A_RUN, times - count.stops)
                    _run(count, folder, Stage(place, number, lasting), whole, most, rng)
                found[f"{place}, {number.name}"] = asdict(count)
                say(f"{number.name} in {place}: {count}")
        if "second Ctrl-C" in places:
            found["second Ctrl-C"] = second_signal(folder, say)
        if "disks" in places:
            found |= disks(folder, say)
    return found


class _state_in:
    """The key that signs runs lies in this folder meanwhile: World is a class of one's own."""

    def __init__(self, folder: Path):
        self.folder, self.before = folder, os.environ.get("XDG_STATE_HOME")

    def __enter__(self) -> None:
        os.environ["XDG_STATE_HOME"] = str(self.folder / "state")

    def __exit__(self, *_) -> None:
        os.environ.pop("XDG_STATE_HOME")
        if self.before is not None:
            os.environ["XDG_STATE_HOME"] = self.before


def _whole(folder: Path, place: str) -> tuple[Path, list[float]]:
    """The uninterrupted run, and how many seconds each call of the place's function took in it."""
    path, log = folder / place.replace(" ", "-"), folder / "lasting"
    if path.exists():
        return path, []
    log.unlink(missing_ok=True)
    end = live(
        path,
        _settings(place),
        prepare=lambda: _patch(place, lambda call: _timed(call, log)) if place in STAGES else None,
    )
    assert end.status == 0, end.said
    return path, [float(line) for line in log.read_text().split()] if place in STAGES else []


def _settings(place: str) -> tuple[str, ...]:
    return changed(*HANGING.get(place, ()))


def _patch(place: str, wrapped: Callable[[Callable], Callable]) -> None:
    owner, name = STAGES[place]
    setattr(owner, name, wrapped(getattr(owner, name)))


def _timed(call: Callable, log: Path) -> Callable:
    def timed(*arguments, **keywords):
        start = time.monotonic()
        try:
            return call(*arguments, **keywords)
        finally:
            with open(log, "a") as file:
                print(time.monotonic() - start, file=file)

    return timed


def _run(count: Count, folder: Path, stage: Stage, whole: Path, most: int, rng: random.Random) -> None:
    """A run that is stopped up to `most` times, and then ends."""
    path, note, stopped, end = folder / "stopped", folder / "note", 0, None
    shutil.rmtree(path, ignore_errors=True)
    while stopped < most and not (end and end.status == 0):
        for old in (note, note.with_suffix(".pid")):
            old.unlink(missing_ok=True)
        end = live(path, _settings(stage.place), prepare=_stopping(stage, note, rng))
        seconds = time.monotonic() - sent(note)
        if end.status != 0:
            stopped += 1
            _judge(count, stage, end, seconds, path, note)
    if end is None or end.status != 0:
        end = live(path, _settings(stage.place))
    count.runs += 1
    count.runs_equal += same(count.faults, f"{stage}", end, whole, path)


def _stopping(stage: Stage, note: Path, rng: random.Random) -> Callable[[], None]:
    """For a life: the signal comes at a random moment of one of the function's first calls, or while a world hangs."""
    call, share, step = rng.randrange(2), rng.random(), rng.randint(2, LATEST)

    def prepare() -> None:
        note.with_suffix(".pid").write_text(str(os.getpid()))
        if stage.place in HANGING:
            plan(Accident("hang", step, str(note), trainer=os.getpid(), signals=((stage.number, 0.05),)))
        else:
            seconds = share * stage.lasting[call]
            _patch(stage.place, lambda function: _signalled(function, stage.number, call, seconds, note))

    return prepare


def _signalled(function: Callable, number: int, at_call: int, seconds: float, note: Path) -> Callable:
    calls = 0

    def signalled(*arguments, **keywords):
        nonlocal calls
        if calls == at_call:
            timer = threading.Timer(seconds, _send, (number, note))
            timer.daemon = True
            timer.start()
        calls += 1
        return function(*arguments, **keywords)

    return signalled


def _send(number: int, note: Path) -> None:
    note.write_text(f"{time.monotonic()}\n")
    os.kill(os.getpid(), number)


def sent(note: Path) -> float:
    """When the last signal was sent; now, where none was."""
    lines = note.read_text().split() if note.exists() else []
    return float(lines[-1]) if lines else time.monotonic()


def _judge(count: Count, stage: Stage, end: End, seconds: float, path: Path, note: Path) -> None:
    count.stops += 1
    last = " ".join(end.said.strip().splitlines()[-1:])
    is_told = f"interrupted: saved in {path}; go on with: " in last and f"--resume {path}" in last
    left = left_behind(int(note.with_suffix(".pid").read_text()))
    count.statuses_right += count.check(end.status == 128 + stage.number, f"{stage}: ended with {end.status}: {last}")
    count.told += count.check(is_told, f"{stage}: said at last: {last}")
    count.nothing_left_behind += count.check(not left, f"{stage}: left behind: {left}")
    count.longest_seconds = max(count.longest_seconds, round(seconds, 2))


def left_behind(group: int) -> list[str]:
    """Processes of a life's group that are still there after a while."""
    until = time.monotonic() + LEAVE_SECONDS
    while (found := _members(group)) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def _members(group: int) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue  # it ended meanwhile
        state, _, its_group = rest.split()[:3]
        if int(its_group) == group and state != "Z":
            found.append(f"{name})")
    return found


def same(faults: list[str], where: str, end: End, whole: Path, path: Path) -> bool:
    """Whether a run came to its end, and is what it would have been."""
    found = differing(whole, path) if end.status == 0 else [f"ended with {end.status}: {end.said[-300:]}"]
    faults += [f"{where}: {one}" for one in found[:3]]
    return not found


def second_signal(folder: Path, say: Callable[[str], None]) -> dict:
    """Two signals while a world hangs: the second does not wait."""
    path, note, count, settings = folder / "second", folder / "note", Count(), _settings("hanging environment")
    whole, _ = _whole(folder, "hanging environment")
    note.unlink(missing_ok=True)

    def prepare() -> None:
        note.with_suffix(".pid").write_text(str(os.getpid()))
        signals = ((signal.SIGINT, 0.05), (signal.SIGINT, 0.5))
        plan(Accident("hang", LATEST, str(note), trainer=os.getpid(), signals=signals))

    end = live(path, settings, prepare=prepare)
    count.longest_seconds, count.stops = round(time.monotonic() - sent(note), 2), 1
    is_told = "interrupted at once: " in end.said or "interrupted before the first checkpoint: " in end.said
    count.statuses_right += count.check(end.status == 130, f"ended with {end.status}: {end.said[-300:]}")
    count.told += count.check(is_told, f"said: {end.said[-300:]}")
    count.nothing_left_behind += not left_behind(int(note.with_suffix(".pid").read_text()))
    count.runs, count.runs_equal = 1, int(same(count.faults, "second Ctrl-C", live(path, settings), whole, path))
    say(f"second Ctrl-C: {count}")
    return asdict(count)
