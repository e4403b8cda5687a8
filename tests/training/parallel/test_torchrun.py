"""A whole run under torchrun, a rank of which is killed, and that goes on with another number of processes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tandem.budget.ledger import Ledger

ROOT = Path(__file__).resolve().parents[3]
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SECONDS = 120.0


def trained(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=SECONDS, check=False)


def rank_of(launcher: int, rank: int) -> int:
    """The process of that rank among the launcher's children."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if f"\0RANK={rank}\0" in f"\0{Path(f'/proc/{child}/environ').read_text()}":
            return int(child)
    raise AssertionError(f"no rank {rank}")


def wait_for_updates(folder: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + SECONDS
    log = folder / "console.log"
    while not (log.exists() and re.search(r"update [1-9]", log.read_text())):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
@pytest.mark.parametrize(("killed", "end"), [(0, "rank 1: another process of this run has ended"), (1, None)])
def test_a_run_whose_rank_is_killed_ends_and_goes_on_alone(tiny_command, tmp_path, audit, killed, end):
    folder = tmp_path / "run"
    words = ["train.py", *tiny_command("budget.total=2000", "train.updates=200", "log.every_seconds=0.1")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, *LAUNCHER, *words], cwd=ROOT, text=True, **pipes)
    try:
        wait_for_updates(folder, process)
        os.kill(rank_of(process.pid, killed), signal.SIGKILL)
        said, complaint = process.communicate(timeout=SECONDS)
    finally:
        if process.poll() is None:
            process.terminate()  # the launcher ends its ranks, by force after half a minute
            process.communicate()
    assert process.returncode != 0 and said.count("making the environments") == 1
    assert end is None or end in complaint
    audit(folder)
    again = trained("train.py", "--resume", str(folder))
    assert again.returncode == 0 and "done: " in again.stdout, again.stderr
    assert audit(folder)["spent"] == pytest.approx(2000, abs=5)


@pytest.mark.slow
def test_a_run_goes_from_one_process_to_two(tiny_command, tmp_path, audit):
    folder = tmp_path / "run"
    first = trained("train.py", *tiny_command())
    assert first.returncode == 0, first.stderr
    spent = Ledger.open(folder / "ledger.db").summary()["spent"]
    again = trained(*LAUNCHER, "train.py", "--resume", str(folder), "budget.total=640")
    assert again.returncode == 0 and "on cpu in 2 processes" in again.stdout, again.stderr
    assert audit(folder)["spent"] > spent
