"""A sweep runs every cell once, whatever is killed when, and says in one line what cannot be."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

import tandem.cli
from tandem.training.sweeps import engine
from tandem.training.sweeps.engine import Engine
from tandem.training.sweeps.folder import SweepFolder
from tandem.training.sweeps.job import Job
from tandem.training.sweeps.sweep import Runner

pytestmark = pytest.mark.run
NAMES = ["seed=0", "seed=1", "seed=2"]


def swept(capsys, *arguments: str) -> tuple[int, list[str]]:
    """A sweep in this process. -> exit status, what it said"""
    status = tandem.cli.main(["train", "--sweep", "smoke", "run.dir=cells", *arguments])
    out, err = capsys.readouterr()
    return status, (out + err).splitlines()


def ends(name: str) -> list[str]:
    """How each life of a cell ended; kills leave no word."""
    path = Path("cells") / name / "ended"
    return path.read_text().split() if path.exists() else []


def test_a_cell_that_fails_is_named_with_its_last_word_and_the_others_are_unharmed(capsys):
    """And a second call, here with one more value, tries it again and begins what is new."""
    status, said = swept(capsys, "seed=13,14", "--jobs", "2")
    assert status == 1 and "sweep: 1 of 2 cells are complete" in said
    log = Path("cells/logs/seed=13.log").absolute()
    assert f"failed: seed=13: error: no luck with 13 (all it said: {log})" in said
    assert f"compared by coins; tandem compare {Path('cells').absolute()} does it in other ways" in said
    assert log.read_text().startswith("$ ") and f"run.dir={Path('cells/seed=13').absolute()}" in log.read_text()
    status, said = swept(capsys, "seed=13..15", "--jobs", "2")
    assert status == 1 and said[0] == f"sweep: 3 cells in {Path('cells').absolute()}, 1 finished before"
    assert {line for line in said if line.endswith(("goes on", "begins"))} >= {"seed=13: goes on", "seed=15: begins"}
    assert (ends("seed=14"), ends("seed=15")) == (["finished"], ["finished"])
    assert json.loads(Path("cells/sweep.json").read_text())["axes"] == {"seed": ["13", "14", "15"]}


def test_cells_share_the_cores_unless_threads_are_set(capsys):
    cores = len(os.sched_getaffinity(0))
    for setting, threads in (("threads=0", max(1, cores // 2)), ("threads=3", 3)):
        _, told = swept(capsys, setting, "seed=0,1", "--jobs", "2", "--print-config")
        assert len(told) == 2 and all(f" threads={threads} " in line for line in told), told
    assert not Path("cells").exists()


def test_cells_are_spread_over_gpus_and_see_what_is_seen_here(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    place = Engine(None, 3, is_local=True)
    runner = Runner(SweepFolder(tmp_path), place, [], {}, ("threads=2",), engine.gpus())
    taken = [runner._environment(name)["CUDA_VISIBLE_DEVICES"] for name in NAMES]
    assert taken == ["2", "5", "2"]
    runner.placed.pop("seed=1")
    assert runner._environment("seed=9") == {"CUDA_VISIBLE_DEVICES": "5", "OMP_NUM_THREADS": "2"}
    alone = Runner(SweepFolder(tmp_path), place, [], {}, (), ("0",))
    assert alone._environment("seed=0")["CUDA_VISIBLE_DEVICES"] == "2,5"


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_a_sweep_once_its_cells_are_saved_and_the_same_command_goes_on(sweeping, until, number):
    pace = Path("cells/pace")
    first = sweeping("seed=0..2")
    until(Path("cells/sweep.json").exists)
    pace.write_text("1000")
    until(Path("cells/seed=0/ticks").exists)
    assert first.end(number) == 128 + number
    assert "the same command goes on" in first.said.read_text() and "0 of 3" in first.said.read_text()
    assert [ends(name) for name in NAMES] == [["saved"], [], []]
    pace.write_text("1")
    assert sweeping("seed=0..2", "--jobs", "2").end() == 0
    assert [ends(name) for name in NAMES] == [["saved", "finished"], ["finished"], ["finished"]]


def test_whatever_is_killed_each_cell_is_done_once(sweeping, until, trainers, tmp_path):
    """The sweep alone, whose cells then save and end by themselves; a cell alone, which is told; both."""
    pace = Path("cells/pace")
    first = sweeping("seed=0..1", "--jobs", "2")
    until(Path("cells/sweep.json").exists)
    pace.write_text("1000")
    until(lambda: all((pace.parent / name / "ticks").exists() for name in NAMES[:2]))
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not trainers(tmp_path))
    assert [ends(name) for name in NAMES[:2]] == [["saved"], ["saved"]]
    second = sweeping("seed=0..1", "--jobs", "2")
    until(lambda: len(trainers(tmp_path)) == 2 and "seed=1: goes on" in second.said.read_text())
    until(lambda: all(len((pace.parent / name / "ticks").read_text()) > 3 for name in NAMES[:2]))
    os.kill(trainers(tmp_path)[0], signal.SIGKILL)
    until(lambda: "failed: killed by SIGKILL" in second.said.read_text())
    for pid in (second.pid, *trainers(tmp_path)):
        os.kill(pid, signal.SIGKILL)
    second.end()
    pace.write_text("30")
    third = sweeping("seed=0..1", "--jobs", "2")
    assert third.end() == 0 and "2 of 2 cells are complete" in third.said.read_text()
    assert [ends(name).count("finished") for name in NAMES[:2]] == [1, 1]
    assert all(len((pace.parent / name / "ticks").read_text()) >= 30 for name in NAMES[:2])


@pytest.mark.slow
def test_a_cell_that_an_earlier_sweep_left_running_is_waited_for_and_not_begun_twice(
    sweeping, until, trainers, tmp_path
):
    """Its keeper was killed with the sweep: nobody tells it to end."""
    pace = Path("cells/pace")
    first = sweeping("seed=0..1")
    until(Path("cells/sweep.json").exists)
    pace.write_text("60")
    until(lambda: Path("cells/seed=0/ticks").exists())
    (trained,) = trainers(tmp_path)
    keeper = int(Path(f"/proc/{trained}/stat").read_text().split()[3])
    os.kill(keeper, signal.SIGKILL)
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    second = sweeping("seed=0..1")
    until(lambda: second.said.exists() and "1 still under way" in second.said.read_text())
    assert second.end() == 0
    assert (ends("seed=0"), ends("seed=1")) == (["finished"], ["finished"])


def test_a_warning_of_the_cluster_saves_a_cell_and_hands_it_back_to_the_queue(until, tmp_path, trainers):
    folder = SweepFolder(tmp_path / "cells")
    lock = folder.hold()
    pace, run = folder.path / "pace", folder.cell("seed=0")
    pace.write_text("1000")
    program = [sys.executable, str(Path(__file__).parent / "stand_in.py")]
    commands = [*program, "seed=0", f"run.dir={run}"], [*program, "--resume", str(run)]
    (job,) = Engine.here(folder.engine, 1).start(
        [Job(*commands, str(run / "config.yaml"), str(folder.log("seed=0")), {}, str(folder.lock))]
    )
    until((run / "ticks").exists)
    (trained,) = trainers(tmp_path)
    pace.write_text("1")
    os.kill(int(Path(f"/proc/{trained}/stat").read_text().split()[3]), signal.SIGUSR2)
    assert job.result() == 0
    lock.close()
    assert ends("seed=0") == ["saved", "finished"]


def test_the_same_sweep_on_a_cluster_is_one_array(capsys, cluster):
    status, said = swept(capsys, "seed=13,14", "--slurm", "partition=short,timeout_min=90", "--jobs", "1")
    assert status == 1 and "sweep: 1 of 2 cells are complete" in said
    script = (cluster / "script").read_text()
    assert all(
        f"#SBATCH --{flag}" in script for flag in ("array=0-1%1", "partition=short", "time=90", "job-name=tandem")
    )
    assert ends("seed=14") == ["finished"]


@pytest.mark.slow
def test_a_signal_cancels_the_jobs_of_a_cluster_and_a_killed_sweep_finds_its_jobs_again(
    sweeping, until, cluster, trainers, tmp_path
):
    asked, pace = ("seed=0..1", "--slurm", "partition=short"), Path("cells/pace")
    first = sweeping(*asked)
    until(Path("cells/sweep.json").exists)
    pace.write_text("1000")
    until(lambda: all((pace.parent / name / "ticks").exists() for name in NAMES[:2]))
    until(Path("cells/queued.json").exists)
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    second = sweeping(*asked)
    until(lambda: second.said.exists() and "2 still under way" in second.said.read_text())
    assert second.end(signal.SIGTERM) == 143
    until(lambda: not trainers(tmp_path))
    assert [ends(name) for name in NAMES[:2]] == [["saved"], ["saved"]]
    pace.write_text("1")
    assert sweeping(*asked).end() == 0
    assert [ends(name) for name in NAMES[:2]] == [["saved", "finished"], ["saved", "finished"]]
