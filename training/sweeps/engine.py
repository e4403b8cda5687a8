"""Where the cells of a sweep run: processes of this machine or jobs of a Slurm cluster, both by submitit."""

import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...usage import UsageError
from . import job as job_module
from .job import Job
from .values import split

LOGGING = "SUBMITIT_LOG_LEVEL"
NO_LIMIT_MINUTES = 10 * 365 * 24 * 60  # submitit would end a local job after five
SLURM_MINUTES = 24 * 60  # where --slurm gives no timeout_min
GENERAL = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")  # of any cluster
ALIVE = ("PENDING", "RUNNING", "REQUEUED", "COMPLETING", "CONFIGURING", "SUSPENDED", "PREEMPTED")


@dataclass(frozen=True)
class Engine:
    """Starts jobs and ends them. `room`: how many may be under way at once."""

    executor: Any  # submitit's
    room: int
    is_local: bool

    @classmethod
    def here(cls, folder: Path, jobs: int) -> "Engine":
        """Processes of this machine, `jobs` at a time."""
        executor = find_submitit().AutoExecutor(_new(folder), cluster="local")
        executor.update_parameters(timeout_min=NO_LIMIT_MINUTES)
        return cls(executor, jobs, is_local=True)

    @classmethod
    def slurm(cls, folder: Path, parameters: dict[str, Any], jobs: int | None, name: str) -> "Engine":
        """One array of jobs. `jobs`: how many of them Slurm may run at once. Makes no folder before one is started."""
        submitit = find_submitit()
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise UsageError(
                "--slurm: there is no Slurm here (no sbatch and srun); leave it out to run on this machine"
            )
        executor = submitit.AutoExecutor(_new(folder), cluster="slurm")
        most = {"array_parallelism": jobs} if jobs else {}
        asked = {"timeout_min": SLURM_MINUTES} | most | parameters
        try:
            executor.update_parameters(name=name, **{_parameter(key): value for key, value in asked.items()})
        except (NameError, AssertionError, ValueError, TypeError) as error:
            raise UsageError(f"--slurm: {' '.join(str(error).split())[:300]}") from error
        return cls(executor, sys.maxsize, is_local=False)

    def start(self, jobs: Sequence[Job]) -> list[Any]:
        """-> submitit's handle of each."""
        import cloudpickle

        cloudpickle.register_pickle_by_value(job_module)  # where it runs, `tandem` need not be found
        with _ctrl_c_held_back(), redirect_stderr(io.StringIO()):  # submitit prints what it then raises
            try:
                return self.executor.submit_array(jobs)
            except (OSError, RuntimeError) as error:  # sbatch refuses, say
                raise UserError(f"the cells could not be started: {' '.join(str(error).split())[:300]}") from error

    def stop(self, job: Any) -> None:
        """Ask a job to save and end. On this machine another time ends it at once."""
        if not self.is_local:
            job.cancel(check=False)
        elif not job.done():
            os.kill(int(job.job_id), signal.SIGTERM)  # submitit's own way is a Ctrl-C, and a second later SIGKILL


def again(folder: str, number: str) -> Any | None:
    """The job that an earlier call gave to Slurm, where it is still in the queue or running."""
    job = find_submitit().SlurmJob(folder=folder, job_id=number)
    state = job.get_info(mode="force").get("State", "").split(" ")[0].rstrip("+")
    return job if state in ALIVE and not job.paths.result_pickle.exists() else None


def gpus() -> tuple[str, ...]:
    """The GPUs of this machine that may be used, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    number = torch.cuda.device_count()
    return tuple(named[:number]) if all(named) else tuple(map(str, range(number)))


def parameters_of(words: Sequence[str]) -> dict[str, Any]:
    """`partition=gpu,timeout_min=600` and the like as values. UsageError for other forms."""
    found: dict[str, Any] = {}
    for pair in (pair for word in words for pair in split("--slurm", word)):
        key, equals, value = pair.partition("=")
        if not key.isidentifier() or not equals or not value:
            raise UsageError(f"--slurm: write partition=NAME or partition=NAME,timeout_min=600, got {pair}")
        found[key] = int(value) if value.isdecimal() else value
    return found


def _parameter(key: str) -> str:
    return key if key in GENERAL or key.startswith("slurm_") else f"slurm_{key}"


def find_submitit() -> Any:
    """UserError where it is not installed. Its import must not set up anew how everybody else logs."""
    before = os.environ.get(LOGGING)
    os.environ[LOGGING] = "NOCONFIG"
    try:
        import submitit
    except ImportError as error:
        raise UserError("--sweep: needs submitit: pip install -e '.[sweep]'") from error
    finally:
        del os.environ[LOGGING]
        if before is not None:
            os.environ[LOGGING] = before
    return submitit


def _new(folder: Path) -> Path:
    """One for each call: submitit names its files by process numbers, which come again."""
    return folder / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}"


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """A new process inherits that: submitit's would kill its cell within a second of a Ctrl-C. Ours comes when this ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
