"""A sweep of real runs, killed twice in the middle with all its cells: it ends complete, each cell once, and the books are right."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.run, pytest.mark.slow]


def phases(folder: Path) -> list[int]:
    """Of every cell: how many are done."""
    cells = [path for path in folder.glob("price.label=*") if path.is_dir()]
    return [len(path.read_text().splitlines()) for path in (cell / "phases.jsonl" for cell in cells) if path.exists()]


def test_two_by_three_cells_killed_twice_end_complete_and_each_once(tmp_path, tiny_arguments, until, trainers, audit):
    folder = tmp_path / "cells"
    words = [*tiny_arguments("seed=0..2", "price.label=4,5"), f"run.dir={folder}", "--jobs", "2"]
    command = [sys.executable, str(ROOT / "train.py"), "--sweep", *words]
    for num_phases in (1, 6):
        with open(tmp_path / "said", "w") as said:
            sweep = subprocess.Popen(command, stdout=said, stderr=said, cwd=tmp_path)
        until(lambda: sum(phases(folder)) >= num_phases or sweep.poll() is not None, 900)  # noqa: B023  of this round
        assert sweep.poll() is None, (tmp_path / "said").read_text()
        for pid in (sweep.pid, *trainers(tmp_path)):
            os.kill(pid, signal.SIGKILL)
        sweep.wait()
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0 and "6 of 6 cells are complete" in done.stdout, done.stdout + done.stderr
    assert (folder / "comparison" / "table.csv").read_text().count("\n") == 3, "a line a price, below the heading"
    cells = sorted(path.parent for path in folder.glob("*/config.yaml"))
    assert [cell.name for cell in cells] == [f"price.label={p},seed={s}" for p in (4, 5) for s in range(3)]
    for cell in cells:
        assert audit(cell)["remaining"] == 0
        assert [json.loads(line)["phase"] for line in (cell / "phases.jsonl").read_text().splitlines()] == [0, 1, 2]
        assert (cell / "console.log").read_text().count(" done: ") == 1
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "6 finished before" in again.stdout and "begins" not in again.stdout and "goes on" not in again.stdout
