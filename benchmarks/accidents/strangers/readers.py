"""Every command that reads a run, let loose on a folder in a process of its own, watched from inside."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tandem
import tandem.training.build
import tandem.training.phases
import tandem.training.reports.diagnosis
import tandem.training.reports.evaluate
import tandem.training.storage.verify
from tandem import cli

SECONDS = 30  # after which a command hangs
WATCHED = ("open", "os.", "shutil.", "sqlite3.connect")  # audit events that name paths
CLEAN = (0, 2)  # it went well, or it was refused in one line


@dataclass(frozen=True)
class Reading:
    """Exit statuses by command (a text for what is none), and the names outside the folder that were touched."""

    statuses: dict[str, int | str]
    outside: list[str]

    @property
    def refused(self) -> list[str]:
        return [name for name, status in self.statuses.items() if status != 0]

    @property
    def strange(self) -> list[str]:
        """What is neither an answer nor a refusal."""
        return [f"{name} ended with {status}" for name, status in self.statuses.items() if status not in CLEAN]


def readers(run: Path) -> dict[str, Callable[[], int]]:
    """Name -> what reads the run. Those that change it come last."""
    folder = str(run)
    found = {
        "ledger": ["ledger", folder],
        "decisions": ["ledger", folder, "--decisions"],
        "verify": ["ledger", folder, "--verify"],
        "plan": ["plan", "--budget", "100", "--run", folder, "--dynamics", "0.3,0.1", "--reward", "1,0.5"],
        "settings": ["train", "--resume", folder, "--print-config"],
        "eval": ["eval", folder, "--episodes", "1"],
    }
    found |= {f"reproduce {path.name}": ["train", "--reproduce", str(path)] for path in sorted(run.glob("dumps/*.pt"))}
    commands = {name: (lambda words=words: cli.main(words)) for name, words in found.items()}
    commands["load"] = lambda: _load(run)
    commands["resume"] = lambda: cli.main(["train", "--resume", folder])
    commands["repair"] = lambda: cli.main(["repair", folder])
    return commands


def _load(run: Path) -> int:
    try:
        tandem.load(run)
    except cli.UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read_by_all(run: Path, outside: Path, log: Path) -> Reading:
    """Let every command read `run`, from inside it: modules that lie there would be found. What they say goes into `log`."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.close(ours)
        _read(run, outside, log, theirs)
    os.close(theirs)
    with open(ours) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if not said:
        return Reading({"all": "the death of its process"}, [])
    return Reading(**json.loads(said))


def _read(run: Path, outside: Path, log: Path, answer: int) -> None:
    """The new process; it does not return."""
    statuses, touched = {}, set()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(run)
    sys.addaudithook(_noting(str(outside), touched))
    for name, read in readers(run).items():
        statuses[name] = _status(read)
    with open(answer, "w") as pipe:
        json.dump({"statuses": statuses, "outside": sorted(touched)}, pipe)
    os._exit(0)


def _status(read: Callable[[], int]) -> int | str:
    signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(SECONDS)
    try:
        return read()
    except SystemExit as ended:
        return f"SystemExit({ended.code})"
    except BaseException as error:  # noqa: BLE001  it is counted
        traceback.print_exc()
        return type(error).__name__
    finally:
        signal.alarm(0)


def _hangs(number: int, frame) -> None:
    raise TimeoutError


def _noting(outside: str, touched: set[str]) -> Callable[[str, tuple], None]:
    """An audit hook that notes which names it heard of lie in `outside`, links followed."""

    def note(event: str, arguments: tuple) -> None:
        if event.startswith(WATCHED):
            for one in arguments:
                if isinstance(one, str | bytes | os.PathLike) and _is_in(os.fsdecode(one), outside):
                    touched.add(f"{event} {os.fsdecode(one)}")

    return note


def _is_in(name: str, folder: str) -> bool:
    return f"{os.path.realpath(name)}/".startswith(f"{folder}/")
