"""Environments in processes of their own: what dies, hangs or raises is rebuilt and said, and nothing stays behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tandem.envs import pool
from tandem.envs.make import EnvConfig
from tandem.envs.records import Clip
from tandem.envs.vault import RewardVault, UnknownReward
from tandem.envs.vector import VectorEnv
from tandem.errors import UserError

pytestmark = pytest.mark.run  # they start processes
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def zoo_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


def failures(tmp_path, most=1):
    """Arguments of the environments that fail a number of times."""
    return {"marks": str(tmp_path), "most": most}


def opened(name, said=None, vault=None, **changes):
    config = EnvConfig(**{"num": 2, "processes": True} | changes)
    lines = [] if said is None else said
    return VectorEnv(f"zoo:{name}", config, 0, RewardVault() if vault is None else vault, warn=lines.append)


@pytest.fixture
def made():
    """opened(), closed at the test's end."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(contextlib.closing(opened(*args, **kwargs)))


def play(env, num_ticks):
    return [env.step(np.full((env.num, env.spaces.action_size), 0.5, np.float32)) for _ in range(num_ticks)]


def firsts(rows):
    return [row.is_first.tolist() for row in rows]


def test_a_worker_that_is_killed_costs_its_own_episode_alone(made):
    vault, said = RewardVault(), []
    env = made("Drift", said, vault)
    rows = play(env, 3)
    env._pool.workers[1].process.kill()
    rows += play(env, 2)
    assert firsts(rows) == [[True, True], [False, False], [False, False], [False, True], [False, False]]
    assert [row.step.tolist() for row in rows] == [[step] * 2 for step in range(5)]
    assert env.next_episodes.tolist() == [1, 2]
    assert said == [
        "warning: environment 1, row 3, is gone: its process was ended by signal 9: its episode is closed as truncated"
    ]
    assert not any(row.is_terminal.any() or row.is_last.any() for row in rows)
    vault.reward(Clip(0, 3)), vault.reward(Clip(1, 4))
    with pytest.raises(UnknownReward):
        vault.reward(Clip(1, 3))  # the step that was lost earned nothing


@pytest.mark.parametrize("processes", [False, True])
def test_an_environment_that_raises_once_is_rebuilt_and_said(made, tmp_path, processes):
    said = []
    env = made("FailingOnce", said, num=1, processes=processes, kwargs=failures(tmp_path))
    rows = play(env, 20)
    assert [step for step, row in enumerate(rows) if row.is_first[0]] == [0, 7]
    assert len(said) == 1 and said[0].startswith(
        "warning: environment 0, row 7, raised RuntimeError: simulator connection lost ("
    )
    assert f"{HERE / 'zoo.py'}, line" in said[0]


def test_failures_are_the_same_in_processes_and_without(made):
    streams = [play(made("BadStarts", num=3, patience=9, processes=processes), 30) for processes in (False, True)]
    for one, other in zip(*streams, strict=True):
        np.testing.assert_array_equal(one.obs["state"], other.obs["state"])
        np.testing.assert_array_equal(one.is_first, other.is_first)


@pytest.mark.slow
def test_twenty_workers_that_die_are_twenty_rebuilt(made, tmp_path):
    said = []
    env = made("Dying", said, num=1, patience=21, kwargs=failures(tmp_path, 20))
    rows = play(env, 20 * 7 + 13)
    assert len(said) == 20
    assert sum(row.is_first[0] for row in rows) == 21 and rows[-1].is_last[0]


@pytest.mark.slow
def test_twenty_kills_from_outside_are_twenty_rebuilt_and_told_with_the_patience_there_is(made):
    said, rows = [], []
    env = made("Drift", said, num=1)
    for _ in range(20):
        rows += play(env, 13 + 3)  # a whole episode, and the beginning of one
        env._pool.workers[0].process.kill()
    rows += play(env, 1)
    assert len(said) == 20
    assert all(
        "is gone: its process was ended by signal 9: its episode is closed as truncated" in line for line in said
    )
    assert not any(row.is_terminal.any() for row in rows)
    assert [row.step[0] for row in rows] == list(range(len(rows)))


def test_an_environments_own_connection_error_is_no_dead_worker(made, tmp_path):
    said = []
    env = made("Resetting", said, num=1, kwargs=failures(tmp_path))
    play(env, 3)
    process = env._pool.workers[0].process
    play(env, 10)
    assert len(said) == 1 and "raised ConnectionResetError: the robot hung up (" in said[0]
    assert env._pool.workers[0].process is process and process.is_alive()


@pytest.mark.parametrize("processes", [False, True])
def test_one_that_hangs_is_ended_after_its_time_and_rebuilt(made, tmp_path, processes):
    said = []
    settings = {"num": 1, "timeout": 0.5, "patience": 6, "processes": processes}
    env = made("Hanging", said, **settings, kwargs=failures(tmp_path, 5))
    rows = play(env, 5 * 7 + 13)
    assert sum(row.is_first[0] for row in rows) == 6 and rows[-1].is_last[0]
    assert len(said) == 5 and all("did not answer within 0.5 seconds (envs.timeout)" in line for line in said)


def test_one_that_hangs_in_this_process_is_named_with_its_place(made, tmp_path):
    said = []
    play(made("Hanging", said, num=1, timeout=0.3, processes=False, kwargs=failures(tmp_path)), 9)
    assert len(said) == 1 and f"did not answer within 0.3 seconds (envs.timeout) ({HERE / 'zoo.py'}, line" in said[0]


def test_patience_ends_with_a_worker_that_always_dies(made, tmp_path):
    env = made("Dying", num=1, patience=3, kwargs=failures(tmp_path, 99))
    rows, expected = [], r"^task: zoo:Dying: environment 0 is gone: its process was ended by signal 9, .*patience is 3"
    with pytest.raises(UserError, match=expected):
        for _ in range(99):
            rows += play(env, 1)
    assert len(rows) == 3 * 7 and env.next_steps.tolist() == [21]  # the tick that failed gave nothing
    assert env.next_episodes.tolist() == [3]


def test_a_completed_episode_renews_the_patience(made, tmp_path):
    said = []
    env = made(
        "FailingOnce", said, num=1, processes=False, patience=2, time_limit=6, kwargs=failures(tmp_path, 99)
    )  # ends before it fails
    play(env, 50)
    assert said == []


def test_what_cannot_be_made_is_said_at_once(made):
    for processes in (False, True):
        with pytest.raises(UserError, match=r"^task: zoo:Sized cannot be made: TypeError"):
            made("Sized", processes=processes)
        with pytest.raises(UserError, match=r"^task: zoo:Absent cannot be made: AttributeError"):
            made("Absent", processes=processes)


def test_closing_is_quiet_whatever_the_workers_do(tmp_path):
    env = opened("Drift", num=3)
    play(env, 2)
    workers = [worker.process for worker in env._pool.workers]
    workers[0].kill()
    env._pool.workers[1].ask(np.zeros(2, np.float32))  # and nobody waits for the answer
    env.close()
    env.close()
    assert not any(process.is_alive() for process in workers)


def test_closing_does_not_wait_for_one_that_hangs(tmp_path):
    env = opened("Hanging", num=1, kwargs=failures(tmp_path))
    play(env, 7)
    process = env._pool.workers[0].process
    env._pool.workers[0].ask(np.zeros(2, np.float32))
    time.sleep(0.3)
    began = time.monotonic()
    env.close()
    assert time.monotonic() - began < pool.CLOSE_SECONDS + 1 and not process.is_alive()


def test_workers_leave_signals_to_their_parent(made):
    said = []
    env = made("Drift", said)
    play(env, 1)
    for number in (signal.SIGINT, signal.SIGTERM):
        for worker in env._pool.workers:
            os.kill(worker.process.pid, number)
    play(env, 3)
    assert said == []


TRAINER = """
import sys
import numpy as np
from tandem.envs.make import EnvConfig
from tandem.envs.vault import RewardVault
from tandem.envs.vector import VectorEnv
if __name__ == "__main__":
    kwargs = {"marks": sys.argv[3], "most": 9} if sys.argv[3:] else {}
    env = VectorEnv(sys.argv[1], EnvConfig(num=2, processes=True, kwargs=kwargs), 0, RewardVault())
    print("playing", flush=True)
    for tick in range(int(sys.argv[2])):
        env.step(np.zeros((2, env.spaces.action_size), np.float32))
        print("tick", tick, flush=True)
"""


def trainer(task, num_ticks, tmp_path) -> subprocess.Popen:
    (tmp_path / "trainer.py").write_text(TRAINER)
    marks = tmp_path / "marks"
    marks.mkdir()
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(tmp_path / "trainer.py"), task, str(num_ticks)]
    command += [] if task == "zoo:Drift" else [str(marks)]
    env = os.environ | {"TEST_OF_ORPHANS": str(tmp_path), "PYTHONPATH": path}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)


def family(tmp_path) -> list[str]:
    """Processes that carry the mark of a trainer in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"TEST_OF_ORPHANS={tmp_path}".encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
    return found


def gone(tmp_path, seconds=5.0) -> bool:
    until = time.monotonic() + seconds
    while family(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    return not family(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells whose process is whose")
@pytest.mark.parametrize("task", ["zoo:Drift", "zoo:Hanging", "zoo:Holding"])
@pytest.mark.parametrize("end", [lambda pid: os.kill(pid, signal.SIGKILL), lambda pid: os.killpg(pid, signal.SIGTERM)])
def test_nothing_stays_behind_a_trainer_that_is_killed(tmp_path, task, end):
    process = trainer(task, 10**6, tmp_path)
    lines = 1 + (100 if task == "zoo:Drift" else 7)
    assert [process.stdout.readline() for _ in range(lines)][-1].startswith("tick")
    time.sleep(0.3)  # at the seventh step it hangs
    assert len(family(tmp_path)) >= 3
    end(process.pid)
    process.wait()
    assert gone(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells whose process is whose")
def test_a_program_ends_without_closing_its_environments(tmp_path):
    process = trainer("zoo:Drift", 3, tmp_path)
    process.stdout.read()
    assert process.wait(10) == 0
    assert gone(tmp_path)


def hanging(env):
    time.sleep(1000)


def dying(env):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("processes", "look", "said"),
    [(True, hanging, "answer within"), (False, hanging, "answer within"), (True, dying, "signal 9")],
)
def test_a_task_that_hangs_or_dies_when_it_is_tried_is_refused_by_name(monkeypatch, processes, look, said):
    monkeypatch.setattr(pool, "BUILD_SECONDS", 0.0)
    config = EnvConfig(processes=processes, timeout=4.0)
    with pytest.raises(UserError, match=f"^task: zoo:Drift: tried before the run.*{said}"):
        pool.look_at("zoo:Drift", config, 0, look)
    assert pool.look_at("zoo:Drift", config, 0, pool.spaces_of).action_size
