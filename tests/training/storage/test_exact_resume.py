"""A run that was stopped or killed and goes on is the run that was not, bit for bit."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import tandem.training.phases
from tandem.agents.agent import Agent
from tandem.budget.ledger import Diverged
from tandem.envs.pool import ProcessPool
from tandem.errors import UserError
from tandem.frames import DamagedLog
from tandem.training.build import build
from tandem.training.phases import train
from tandem.training.reports.evaluate import Evaluator
from tandem.training.storage import checkpoint
from tandem.training.storage.checkpoint import CheckpointError
from tandem.training.storage.folder import RunFolder
from tandem.training.storage.verify import verify_files
from tandem.worldmodel.replay.journal.transitions import TransitionJournal

COUPLED = ("mode=coupled", "allocator.name=coupled", "price.label=1", "envs.heldout_share=0")


class Crash(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


def resume(config) -> None:
    train(config, Path(config.run.dir))


def crash() -> None:
    raise Crash


@pytest.mark.parametrize(
    "settings",
    [
        (),
        COUPLED,
        pytest.param(("envs.num=1", "replay.latents=bfloat16"), marks=pytest.mark.slow),
        pytest.param(("envs.num=4", "labeler.name=noisy", "labeler.delay=3"), marks=pytest.mark.slow),
        pytest.param(("envs.processes=true",), marks=pytest.mark.slow),
        pytest.param(("evaluate.borrow=true", "envs.num=2"), marks=pytest.mark.slow),
        pytest.param(("task=gym:Pendulum-v1",), marks=pytest.mark.slow),
        pytest.param(("task=gym:CartPole-v1", "precision=bfloat16"), marks=pytest.mark.slow),
        pytest.param(("task=dmc_cartpole_swingup", "labels.choice=disagreement"), marks=pytest.mark.slow),
        pytest.param(
            ("labeler.kind=pair", "labeler.length=4", "labeler.anchors=10", "labeler.delay=2"), marks=pytest.mark.slow
        ),
    ],
    ids=lambda settings: " ".join(settings) or "toy",
)
def test_stopped_twice_and_killed_once_it_is_what_it_would_have_been(
    tiny, differences, monkeypatch, at_ticks, settings
):
    whole, broken = tiny(*settings, folder="whole"), tiny(*settings, folder="broken")
    train(whole)
    number = whole.envs.num
    stops = {round(share * 160 / number) for share in (0.3, 0.55)}
    at_ticks(stops, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(broken)
    with pytest.raises(KeyboardInterrupt):
        resume(broken)
    monkeypatch.undo()
    at_ticks({4}, crash)
    with pytest.raises(Crash):
        resume(broken)
    monkeypatch.undo()
    resume(broken)
    assert differences(Path(whole.run.dir), Path(broken.run.dir)) == []


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(("task=gym:Pendulum-v1",), id="decoupled"),
        pytest.param((*COUPLED, "envs.num=3"), id="coupled"),
    ],
)
@pytest.mark.slow
def test_an_evaluation_that_borrows_the_environments_leaves_no_trace(tiny, differences, settings):
    own, borrowed = tiny(*settings, folder="own"), tiny(*settings, "evaluate.borrow=true", folder="borrowed")
    train(own), train(borrowed)
    assert differences(Path(own.run.dir), Path(borrowed.run.dir)) == []


@pytest.mark.slow
def test_environments_that_play_beside_the_learner_leave_no_trace(tiny, differences, monkeypatch):
    here, beside = tiny("envs.num=3", folder="here"), tiny("envs.num=3", "envs.processes=true", folder="beside")
    begin, during = ProcessPool.begin, []
    monkeypatch.setattr(
        ProcessPool, "begin", lambda pool, orders, *_: (during.append(len(orders)), begin(pool, orders))
    )
    train(here), train(beside)
    ticks = checkpoint.load(Path(beside.run.dir) / "checkpoints").parts["positions"]["ticks"]
    assert ticks - 6 <= len(during) < ticks and set(during) == {3}  # all but the last tick of each chunk
    assert differences(Path(here.run.dir), Path(beside.run.dir)) == []


@pytest.mark.slow
def test_a_signal_in_an_evaluation_ends_at_once_and_loses_nothing(
    tiny, differences, whole_run_in, tmp_path, monkeypatch
):
    config = tiny()
    original, calls = Evaluator.run, []

    def run(self, *arguments, **keywords):
        calls.append(0)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("it went on")
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(Evaluator, "run", run)
    with pytest.raises(KeyboardInterrupt) as ended:
        train(config)
    assert (ended.value.number, ended.value.folder) == (signal.SIGTERM, Path(config.run.dir))
    monkeypatch.undo()
    resume(config)
    assert differences(whole_run_in(tmp_path / "whole"), Path(config.run.dir)) == []


def test_a_run_without_a_whole_checkpoint_is_done_again_and_paid_once(
    tiny, differences, whole_run_in, tmp_path, monkeypatch, at_ticks
):
    config = tiny()
    at_ticks({60}, crash)
    with pytest.raises(Crash):
        train(config)
    monkeypatch.undo()
    for path in checkpoint.list_checkpoints(Path(config.run.dir) / "checkpoints"):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    resume(config)
    assert differences(whole_run_in(tmp_path / "whole"), Path(config.run.dir)) == []


def test_an_environment_that_raises_in_the_middle_of_a_phase_is_saved_before(tiny, audit, monkeypatch, at_ticks):
    config = tiny()

    def fail(self, action):
        raise ValueError("simulator connection lost")

    at_ticks({50}, lambda: monkeypatch.setattr("tandem.envs.vector.VectorEnv.step", fail))
    with pytest.raises(
        UserError, match=r"ValueError: simulator connection lost \(.*test_exact_resume.py, line .*--resume goes on"
    ):
        train(config)
    monkeypatch.undo()
    found = checkpoint.load(Path(config.run.dir) / "checkpoints")
    assert found.parts["positions"]["ticks"] == 49
    resume(config)
    assert audit(Path(config.run.dir))["spent"] == 320


@pytest.mark.parametrize("number", [float("nan"), pytest.param(float("inf"), marks=pytest.mark.slow)])
def test_an_action_that_is_no_number_is_refused_and_kept_nowhere(tiny, audit, monkeypatch, at_ticks, number):
    config, original = tiny(), Agent.act

    def act(self, *arguments, **keywords):
        action, state = original(self, *arguments, **keywords)
        action[1] = number
        return action, state

    at_ticks({50}, lambda: monkeypatch.setattr(Agent, "act", act))
    said = rf"^task: toy_lq: the action for environment 1 is not finite: \[{number}].*--resume goes on"
    with pytest.raises(UserError, match=said):
        train(config)
    monkeypatch.undo()
    assert checkpoint.load(Path(config.run.dir) / "checkpoints").parts["positions"]["ticks"] == 49
    resume(config)
    assert audit(Path(config.run.dir))["spent"] == 320
    ticks = list(TransitionJournal(Path(config.run.dir) / "transitions").read())
    assert all(np.isfinite(block.action).all() for block in ticks)


def test_what_does_not_come_out_as_it_was_goes_on_with_all_that_was_bought(tiny, audit, monkeypatch, at_ticks, capsys):
    config = tiny()
    at_ticks({60}, crash)
    with pytest.raises(Crash):
        train(config)
    monkeypatch.undo()
    original, lives = tandem.training.phases.decide, []

    def decide(run):
        if run.ledger.is_ahead and not lives:
            lives.append(run.ledger.spent)
            raise Diverged("another plan")
        return original(run)

    monkeypatch.setattr(tandem.training.phases, "decide", decide)
    resume(config)
    said = capsys.readouterr().out
    assert lives and "cannot be done again as it was: another plan" in said
    assert "going on with everything that was bought" in said
    assert audit(Path(config.run.dir))["remaining"] < 4


def test_latents_and_the_queue_of_fresh_windows_are_kept_where_all_is_taken_in_at_once(tiny):
    config = tiny()
    train(config)
    before = build(config, is_resumed=True)
    before.close()
    after = build(config, is_resumed=True, is_exact=False)
    after.close()
    np.testing.assert_array_equal(
        before.transitions.training.columns["deter"], after.transitions.training.columns["deter"]
    )
    assert list(before.transitions.online.queue) == list(after.transitions.online.queue)


def test_every_file_of_a_run_is_verified(tiny):
    config = tiny()
    train(config)
    folder = RunFolder(Path(config.run.dir))
    lines = verify_files(folder)
    assert [line.split(":")[0] for line in lines] == [
        "transitions", "labels", "vault", "checkpoints", "journals and snapshots"
    ]  # fmt: skip
    newest = checkpoint.list_checkpoints(folder.checkpoints)[-1]
    files = [folder.transitions / "000000.log", folder.labels / "000000.log", folder.vault / "000000.log"]
    for path in [*files, *sorted(folder.snapshots.iterdir()), newest / "learner.pt", newest / "run.pt"]:
        content = path.read_bytes()
        for place in (len(content) // 2, len(content) - 1):
            path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
            with pytest.raises((DamagedLog, CheckpointError), match=path.name):
                verify_files(folder)
        path.write_bytes(content)
    (folder.vault / "000000.log").unlink()
    with pytest.raises(CheckpointError, match=r"vault/000000.log is missing"):
        verify_files(folder)


def test_the_metrics_that_a_checkpoint_counts_are_on_disk_before_it(tiny, monkeypatch, at_ticks):
    config, synced, fsync = tiny(), {}, os.fsync

    def noted(descriptor):
        fsync(descriptor)
        synced[os.readlink(f"/proc/self/fd/{descriptor}")] = os.fstat(descriptor).st_size

    monkeypatch.setattr(os, "fsync", noted)
    at_ticks({60}, crash)
    with pytest.raises(Crash):
        train(config)
    counted = checkpoint.load(Path(config.run.dir) / "checkpoints").parts["logger"]["metrics_bytes"]
    assert 0 < counted <= synced[str(Path(config.run.dir) / "metrics.jsonl")]
