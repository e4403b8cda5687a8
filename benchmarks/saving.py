"""What does it cost to keep a run safe, and how long does a large one take to come back?

    python benchmarks/saving.py [--transitions 1000000] [--minutes 5] [--folder runs/saving]

A run of size_nano on toy_lq buys its transitions the usual way, hardly learning, which takes minutes; then a fresh process
brings it back, and saves it again. Another run, the quickstart as it is, trains for some minutes with every call that
keeps it safe timed. Writes benchmarks/results/saving.md and saving.json, whose row "before" it leaves as it is. Time it on
an idle machine; the file cache is warm.
"""

import time

BEGUN = time.perf_counter()  # before anything of weight is imported

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import wraps  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from cells import MACHINE  # noqa: E402
from kept import rounded  # noqa: E402
from tandem.budget.ledger import Ledger  # noqa: E402
from tandem.envs.vault import RewardVault  # noqa: E402
from tandem.frames import FrameLog  # noqa: E402
from tandem.training import build  # noqa: E402
from tandem.training.phases import train  # noqa: E402
from tandem.training.purchases.labels import LabelDesk  # noqa: E402
from tandem.training.settings import load_config  # noqa: E402
from tandem.training.stop import Interrupted  # noqa: E402
from tandem.training.storage.keeper import SHARE, Keeper  # noqa: E402

RESULTS = Path(__file__).parent / "results"
LARGE = (
    *("size_nano", "task=toy_lq", "threads=1", "envs.num=16", "train.updates=20", "price.label=4"),
    *("allocator.name=fixed", "allocator.label_share=0.1", "allocator.phases=2", "measure.snapshots=0"),
    *("evaluate.episodes=1", "evaluate.final_episodes=1", "log.figures=false", "log.every_seconds=30"),
)
SHARE_OF_TRANSITIONS = 0.9  # of the money, as `allocator.label_share` says
ROOMS = ("transitions", "vault", "labels", "ledger.db", "checkpoints", "everything")
RESUME = {  # steps of `build`, and what they are called in the table
    "standpoint": "checkpoint read, hashes checked",
    "refill": "transitions",
    "make_learner": "models made",
    "load_parts": "latents and models put back",
    "open_ledger": "ledger read, hashes checked",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transitions", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=5.0, help="of the quickstart")
    parser.add_argument("--folder", type=Path, default=Path("runs/saving"), help="for both runs; the large one is kept")
    parser.add_argument("--name", default="now", help="of the row of the table; before: what others are compared with")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--part", choices=PARTS, help="one part alone, in this process; its figures as JSON")
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options)), flush=True)
        return
    figures = {"transitions": options.transitions}
    for part in PARTS:
        figures |= in_a_process(part, options)
        print(f"{part}: {figures}", flush=True)
    write_table(options.results, options.name, figures)


def in_a_process(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of a part that a process of its own finds out."""
    given = {"transitions": options.transitions, "minutes": options.minutes, "folder": options.folder}
    arguments = [f"--{name}={value}" for name, value in given.items()]
    start = time.perf_counter()
    command = [sys.executable, __file__, "--part", part, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    return figures | {f"{part}/process_seconds": rounded(time.perf_counter() - start)}


def buy(options: argparse.Namespace) -> dict[str, Any]:
    """The large run, unless it is there; what lies in its folder."""
    folder = options.folder / str(options.transitions)
    total = options.transitions / SHARE_OF_TRANSITIONS
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        train(load_config([*LARGE, f"budget.total={total}", f"run.dir={folder}"]))
        (folder / "done").touch()
    rooms = {room: folder / room if room != "everything" else folder for room in ROOMS}
    held = {room: files_of(path) for room, path in rooms.items()}
    figures = {f"files/{room}": len(files) for room, files in held.items()}
    return figures | {f"bytes/{room}": sum(one.stat().st_size for one in files) for room, files in held.items()}


def files_of(path: Path) -> list[Path]:
    return [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]


def resume(options: argparse.Namespace) -> dict[str, Any]:
    """Bring the large run back, with its steps timed."""
    imported = time.perf_counter() - BEGUN
    watch = Watch()
    for name, label in RESUME.items():
        watch.time(build, name, label)
    watch.time(RewardVault, "load", "true rewards")
    watch.time(LabelDesk, "reopen", "labels")
    config = large_config(options)
    start, processor = time.perf_counter(), time.process_time()
    whole = build.build(config, is_resumed=True)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    received = whole.transitions.received
    whole.close()
    assert received >= 0.99 * options.transitions, received
    found = {f"resume/{name}": rounded(value) for name, value in watch.seconds.items()}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found |= {"resume/imports": rounded(imported), "resume/seconds": rounded(seconds), "resume/memory": memory}
    return found | {"resume/processor_seconds": rounded(processor), "resume/received": received}


def save(options: argparse.Namespace) -> dict[str, Any]:
    """One more checkpoint of the large run: how long training waits for it, and how long it takes."""
    whole = build.build(large_config(options), is_resumed=True)
    start = time.perf_counter()
    whole.save(is_awaited=False)
    blocking = time.perf_counter() - start
    whole.keeper.wait()
    seconds = time.perf_counter() - start
    whole.close()
    every = seconds / SHARE
    return {
        "save/blocking": rounded(blocking),
        "save/seconds": rounded(seconds),
        "save/every_seconds": rounded(every),
        "save/blocking_share": rounded(blocking / every),
        "save/memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def large_config(options: argparse.Namespace):
    total = options.transitions / SHARE_OF_TRANSITIONS
    return load_config([*LARGE, f"budget.total={total}", f"run.dir={options.folder / str(options.transitions)}"])


def quickstart(options: argparse.Namespace) -> dict[str, Any]:
    """Train as the quickstart does, with everything timed that keeps the run safe."""
    folder = options.folder / "quickstart"
    shutil.rmtree(folder, ignore_errors=True)
    watch = Watch()
    for owner, name, label in (
        (FrameLog, "append", "journals"),
        (FrameLog, "sync", "journals"),
        (Ledger, "reserve", "ledger"),
        (Ledger, "settle", "ledger"),
        (Ledger, "release", "ledger"),
        (Ledger, "_execute", "ledger"),
        (Keeper, "save", "checkpoints, training waits"),
        (Keeper, "_write", "checkpoints, in the background"),
        (os, "fsync", "fsyncs of journals and checkpoints"),
    ):
        watch.time(owner, name, label)
    # Every commit of the ledger waits for the disk five times more.
    timer = threading.Timer(60 * options.minutes, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    start = time.perf_counter()
    try:
        train(load_config(["quickstart", f"run.dir={folder}"]))
    except Interrupted:
        timer.cancel()
    seconds = time.perf_counter() - start
    ledger = Ledger.open(folder / "ledger.db")
    chunks = sum(key.startswith("transitions/") for key in ledger.state_of_keys())
    ledger.close()
    found = {f"quickstart/share/{label}": rounded(value / seconds) for label, value in watch.seconds.items()}
    found["quickstart/seconds"], found["quickstart/chunks"] = rounded(seconds), chunks
    found["quickstart/chunk_ms"] = rounded(1000 * (watch.seconds["journals"] + watch.seconds["ledger"]) / chunks)
    found["quickstart/chunk_commits"] = rounded(watch.commits / chunks)
    found["quickstart/chunk_fsyncs"] = rounded(watch.calls["fsyncs of journals and checkpoints"] / chunks)
    waits = ("journals", "ledger", "checkpoints, training waits")
    found["quickstart/share of an hour in all"] = rounded(sum(watch.seconds[label] for label in waits) / seconds)
    return found


class Watch:
    """Seconds in functions by label, each thread for itself; what one of them calls under the same label counts once."""

    def __init__(self):
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.commits = 0
        self._inside: set[tuple[int, str]] = set()  # threads and labels

    def time(self, owner: Any, name: str, label: str = "") -> None:
        """Replace a function of a module or a class by one that is timed."""
        function: Callable = getattr(owner, name)
        label = label or name

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            here = (threading.get_ident(), label)
            self.calls[label] += 1
            self.commits += arguments[-1:] == ("COMMIT",)
            if here in self._inside:
                return function(*arguments, **named)
            self._inside.add(here)
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[label] += time.perf_counter() - start
                self._inside.remove(here)

        setattr(owner, name, timed)


def write_table(results: Path, name: str, figures: dict[str, Any]) -> None:
    """Keep the figures in saving.json under their name, and write the table of all names."""
    results.mkdir(parents=True, exist_ok=True)
    file = results / "saving.json"
    kept = json.loads(file.read_text())["rows"] if file.exists() else {}
    kept[name] = figures
    file.write_text(json.dumps({"machine": MACHINE, "rows": kept}, indent=1) + "\n")
    names = list(kept)
    keys = list(dict.fromkeys(key for row in kept.values() for key in row))
    lines = [
        f"Made by `python benchmarks/saving.py` ({MACHINE}).",
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *(f"| {key} | {' | '.join(shown(kept[one].get(key)) for one in names)} |" for key in keys),
    ]
    (results / "saving.md").write_text("\n".join(lines) + "\n")


def shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "buy": buy,
    "resume": resume,
    "save": save,
    "quickstart": quickstart,
}

if __name__ == "__main__":
    main()
