"""Runs in environments as people have them: of every kind at once, and those that fail, which must cost no more than it has to."""

import multiprocessing
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tandem
from tandem.envs.make import make_env
from tandem.errors import UserError
from tandem.training import stop as stopping
from tandem.training.phases import train
from tandem.training.reports.evaluate import Evaluator
from tandem.training.stop import Interrupted
from tandem.training.storage.card import RunCard
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.transitions import TransitionJournal

ZOO = str(Path(__file__).parents[1] / "envs")
EVERYTHING = ("task=zoo:Everything", "envs.keys=[-mission]", "envs.size=16")
slow = partial(pytest.param, marks=pytest.mark.slow)
DTYPES = {"arm/place": "float32", "arm/grips": "int32", "eye": "uint8", "sides/0": "int32", "sides/1": "uint8"}


@pytest.fixture(autouse=True)
def zoo_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(ZOO)
    yield
    sys.modules.pop("zoo", None)


def console(config) -> str:
    return (Path(config.run.dir) / "console.log").read_text()


def rows_of(config):
    """Of the whole journal: is_first, is_last, is_terminal (T, N)."""
    blocks = list(TransitionJournal(Path(config.run.dir) / "transitions").read())
    return [
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("is_first", "is_last", "is_terminal")
    ]


def in_marks(name, tmp_path, most=1) -> tuple[str, ...]:
    """The task that fails in its first `most` episodes."""
    (tmp_path / "marks").mkdir()
    return f"task=zoo:{name}", f"envs.kwargs={{marks: {tmp_path / 'marks'}, most: {most}}}"


@pytest.mark.parametrize("processes", ["true", "false"])
@pytest.mark.parametrize("kind", ["FileNotFoundError", "ValueError"])
def test_an_environment_that_always_raises_ends_the_run_saved_and_is_named_with_its_place(tiny, audit, kind, processes):
    settings = (f"envs.processes={processes}", "envs.patience=3", "envs.num=1", "envs.heldout_share=0.5")
    config = tiny("task=zoo:FailingWith", f"envs.kwargs={{kind: {kind}}}", *settings)
    expected = rf"^task: zoo:FailingWith: environment 0 raised {kind}: .*zoo.py, line \d+\), .*patience is 3.*--resume"
    with pytest.raises(UserError, match=expected) as caught:
        train(config)
    assert "\n" not in str(caught.value)
    assert console(config).count(f"raised {kind}: ") == 2
    assert audit(Path(config.run.dir))["spent"] == 0  # the chunk is open
    is_first, is_last, is_terminal = rows_of(config)
    # three episodes of a first row and six steps each; the step that failed is none
    assert np.flatnonzero(is_first).tolist() == [0, 7, 14] and len(is_first) == 21
    assert not is_last.any() and not is_terminal.any()


def test_a_mended_environment_goes_on_where_the_run_was_saved(tiny, audit, monkeypatch):
    config = tiny("task=zoo:Failing", "envs.patience=2")
    with pytest.raises(UserError, match="simulator connection lost"):
        train(config)
    monkeypatch.setattr("zoo.Failing.is_due", lambda self: False)
    train(config, Path(config.run.dir))
    assert audit(Path(config.run.dir))["spent"] == 320


@pytest.mark.parametrize(
    ("name", "processes", "said"),
    [
        slow("FailingOnce", "false", "raised RuntimeError: simulator connection lost (" + ZOO),
        ("FailingOnce", "true", "raised RuntimeError: simulator connection lost (" + ZOO),
        slow("Dying", "true", "is gone: its process was ended by signal 9"),
        slow("Hanging", "true", "did not answer within 4 seconds (envs.timeout)"),
        slow("Hanging", "false", "did not answer within 4 seconds (envs.timeout)"),
    ],
)
def test_a_failure_costs_an_episode_and_is_told_in_the_console(tiny, audit, tmp_path, name, processes, said):
    config = tiny(*in_marks(name, tmp_path), f"envs.processes={processes}", "envs.timeout=4")
    train(config)
    assert said in console(config) and console(config).count("its episode is closed as truncated") == 1
    assert audit(Path(config.run.dir))["spent"] >= 318  # the first row of one more episode is free
    is_first, is_last, is_terminal = rows_of(config)
    assert np.count_nonzero(is_first[1:] & ~is_last[:-1]) == 1  # one begins after a row that was not the last
    assert not is_terminal.any()


def test_a_signal_ends_a_run_whose_environment_hangs_in_its_process(tiny, tmp_path, monkeypatch, audit):
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.5)
    config = tiny(*in_marks("Hanging", tmp_path), "envs.processes=true", "envs.timeout=0")
    marks, ended = tmp_path / "marks", threading.Event()

    def ask_when_it_hangs() -> None:
        while not any(marks.iterdir()):
            ended.wait(0.05)
        ended.wait(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask_when_it_hangs)
    asking.start()
    with pytest.raises(Interrupted) as caught:
        train(config)
    asking.join()
    assert caught.value.number == signal.SIGTERM and caught.value.folder == Path(config.run.dir)
    assert multiprocessing.active_children() == []
    train(config, Path(config.run.dir))
    assert audit(Path(config.run.dir))["spent"] == 320


def test_an_observation_that_is_no_number_does_not_end_the_run_from_within_an_evaluation(tiny, audit, monkeypatch):
    config = tiny("task=zoo:NanSeen", "envs.time_limit=12")
    original, seen = Evaluator.run, sys.modules.setdefault("zoo", __import__("zoo")).NanSeen.seen
    monkeypatch.setattr("zoo.NanSeen.seen", lambda self: self.place.astype(np.float32))

    def run(self, *arguments, **keywords):
        with monkeypatch.context() as patch:
            patch.setattr("zoo.NanSeen.seen", seen)
            return original(self, *arguments, **keywords)

    monkeypatch.setattr(Evaluator, "run", run)
    train(config)
    assert "warning: in evaluation: environment 0, row 7, gave an observation that is not finite" in console(config)
    assert "warning: the evaluation failed, the run goes on: UserError: task: zoo:NanSeen: " in console(config)
    assert audit(Path(config.run.dir))["spent"] == 320


@pytest.mark.slow
def test_a_task_of_which_one_alone_can_be_open_is_evaluated_where_it_is_borrowed(tiny, audit):
    settings = ("task=zoo:Single", "envs.num=1", "envs.heldout_share=0.3")
    config = tiny(*settings, "evaluate.borrow=true")
    train(config)
    assert "the evaluation failed" not in console(config) and "done: return -" in console(config)
    assert audit(Path(config.run.dir))["spent"] == 320
    alone = tiny(*settings, folder="alone")
    train(alone)
    assert "the evaluation failed, the run goes on: UserError: task: zoo:Single cannot be made: OSError" in console(
        alone
    )
    assert "if only so many can be open: evaluate.borrow=true plays in training's" in console(alone)


@pytest.mark.slow
def test_all_kinds_are_bought_kept_looked_at_and_taken_up_again(tiny, audit, differences, monkeypatch, at_ticks):
    whole, broken = tiny(*EVERYTHING, folder="whole"), tiny(*EVERYTHING, "envs.processes=true", folder="broken")
    train(whole)
    at_ticks({40}, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(broken)
    monkeypatch.undo()
    monkeypatch.syspath_prepend(ZOO)
    train(broken, Path(broken.run.dir))
    folder = Path(whole.run.dir)
    assert differences(folder, Path(broken.run.dir)) == []
    assert audit(folder)["spent"] == 320
    assert "warning" not in (folder / "console.log").read_text()
    check_what_is_kept(folder)
    check_the_agent(whole, folder)


def check_what_is_kept(folder: Path) -> None:
    card = RunCard.read(folder)
    assert {key: spec.dtype for key, spec in card.spaces.obs.items()} == DTYPES
    assert (card.spaces.num_continuous, card.spaces.factors) == (2, (2, 2, 3))
    kept = [block.obs for block in TransitionJournal(folder / "transitions").read()]
    kept += [item.copy.obs for item in LabelJournal(folder / "labels").read_asked()]
    assert all({key: values.dtype.name for key, values in obs.items()} == DTYPES for obs in kept)
    assert len({one["eye"].tobytes() for one in kept}) > 10  # they see something


def check_the_agent(config, folder: Path) -> None:
    agent, env, state = tandem.load(folder), make_env(config.task, config.envs, 0), None
    obs, _ = env.reset()
    for _ in range(3):
        action, state = agent.act(obs, state)
        assert action.shape == (9,) and [one.sum() for one in np.split(action[2:], [2, 4])] == [1, 1, 1]
        obs, *_ = env.step(action)
