"""Every coin is accounted for after normal, interrupted, killed and resumed runs."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tandem.cli
import tandem.training.phases
import tandem.training.purchases.transitions
from tandem.budget.ledger import Ledger
from tandem.budget.money import BudgetConfig
from tandem.training.build import build
from tandem.training.config import Config, ConfigError
from tandem.training.phases import train
from tandem.training.purchases.labels import LabelDesk
from tandem.training.purchases.transitions import Collector
from tandem.training.run import Run
from tandem.training.storage import checkpoint
from tandem.training.storage.keeper import Keeper
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.transitions import TransitionJournal

ROOT = Path(__file__).resolve().parents[2]


class Crash(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


@pytest.fixture(autouse=True, scope="module")
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tandem.training.purchases.transitions, "CHUNK", 16)
        yield


@pytest.fixture(scope="module")
def whole_run(small_chunks, whole_run_in, tmp_path_factory):
    """The folder of a tiny run that nothing interrupted."""
    return whole_run_in(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def crash_at(monkeypatch):
    """crash_at(owner, name, call, is_after): the run dies just before, or just after, that call of owner.name."""

    def arrange(owner, name: str, call: int, is_after: bool) -> None:
        original, calls = getattr(owner, name), []

        def dying(*arguments, **keywords):
            calls.append(name)
            if len(calls) == call and not is_after:
                raise Crash
            result = original(*arguments, **keywords)
            if len(calls) == call:
                raise Crash
            return result

        monkeypatch.setattr(owner, name, dying)

    return arrange


def resume(config: Config) -> None:
    train(config, Path(config.run.dir))


def assert_replays_hold_what_was_sold(config: Config) -> None:
    """In the run as a resume finds it, before it goes on."""
    run = build(config, is_resumed=True)
    assert run.transitions.received == run.ledger.units("transition")
    assert run.labels.received == run.ledger.units("label") + len(run.desk.till.answered)
    if not run.collector.chunk.is_open:
        unpaid = [*run.labels.pending, *run.desk.till.answered, *run.desk.till.declined]
        assert run.ledger.reserved == len(unpaid) * run.ledger.prices["label"]
    run.close()


def test_a_normal_run_spends_all_and_holds_what_it_paid_for(tiny, audit):
    config = tiny()
    train(config)
    summary = audit(Path(config.run.dir))
    # 160 transitions at 1 and 40 labels at 4: half of 320 coins each
    assert (summary["spent"], summary["transitions"], summary["labels"]) == (320, 160, 40)
    assert summary["remaining"] == summary["reserved"] == 0
    assert_replays_hold_what_was_sold(config)


def test_the_command_line_prints_the_same_books(tiny, audit, capsys):
    config = tiny()
    train(config)
    summary = audit(Path(config.run.dir))
    capsys.readouterr()
    assert tandem.cli.main(["ledger", config.run.dir, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary


def test_evicted_transitions_stay_paid(tiny, audit):
    config = tiny("replay.capacity=40", "replay.heldout_capacity=20")
    train(config)
    assert audit(Path(config.run.dir))["transitions"] == 160
    assert_replays_hold_what_was_sold(config)


def test_every_transition_of_reference_mode_is_paid_with_its_label(tiny, audit):
    config = tiny("mode=coupled", "allocator.name=coupled", "price.label=1", "envs.heldout_share=0")
    train(config)
    summary = audit(Path(config.run.dir))
    assert summary["transitions"] == summary["labels"] == 160


# What is on disk and what is booked at the moment of the crash, in the order in which a purchase goes
WINDOWS = [
    (Collector, "tick", 1, False, "transitions reserved, none received"),
    (Collector, "tick", 13, True, "in the middle of a chunk"),
    (TransitionJournal, "write", 2, False, "true rewards written, the chunk not"),
    (TransitionJournal, "write", 2, True, "chunk written, not settled"),
    (Collector, "close", 3, True, "chunk settled"),
    (LabelJournal, "write", 1, False, "nothing of a chunk committed, its questions not written"),
    (LabelJournal, "write", 5, True, "questions written, not committed"),
    (LabelJournal, "write", 4, False, "answers there, not written"),
    (LabelJournal, "write", 4, True, "answers written, not settled"),
    (LabelDesk, "order", 4, True, "everything of a chunk written, nothing of it committed"),
    (LabelDesk, "book", 4, True, "answers settled"),
    (Run, "save", 2, False, "phase bought, no checkpoint of it"),
    (Keeper, "save", 2, True, "checkpoint written"),
]


@pytest.fixture
def answers_after_crash(tiny, crash_at, monkeypatch):
    """The configuration of a run that ends at one of WINDOWS, and the answers that are on disk then."""

    def run(owner, name, call, is_after):
        config = tiny()
        crash_at(owner, name, call, is_after)
        with pytest.raises(Crash):
            train(config)
        monkeypatch.undo()
        return config, answers_on_disk(config)

    return run


def answers_on_disk(config):
    return {label.key: label.value for label in LabelJournal(Path(config.run.dir) / "labels").read_answers()}


CASES = {"argvalues": [case[:4] for case in WINDOWS], "ids": [case[4] for case in WINDOWS]}
USUAL = {
    "chunk written, not settled",
    "answers written, not settled",
    "nothing of a chunk committed, its questions not written",
    "phase bought, no checkpoint of it",
}
MOST_SLOW = [
    pytest.param(*case[:4], id=case[4], marks=() if case[4] in USUAL else pytest.mark.slow) for case in WINDOWS
]


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "name", "call", "is_after"), **CASES)
def test_what_a_crash_left_can_be_taken_in_as_a_whole(answers_after_crash, audit, owner, name, call, is_after):
    config, answers = answers_after_crash(owner, name, call, is_after)
    folder = Path(config.run.dir)
    build(config, is_resumed=True, is_exact=False).close()
    assert audit(folder)["labels"] == len(answers)  # an answer on disk is a paid one, and is not lost
    assert_replays_hold_what_was_sold(config)
    resume(config)
    summary = audit(folder)
    assert summary["reserved"] == 0 and summary["remaining"] < 4
    assert answers.items() <= answers_on_disk(config).items()


@pytest.mark.parametrize(("owner", "name", "call", "is_after"), MOST_SLOW)
def test_a_crash_between_two_steps_of_a_purchase_loses_and_doubles_nothing(
    answers_after_crash, audit, whole_run, differences, owner, name, call, is_after
):
    config, answers = answers_after_crash(owner, name, call, is_after)
    folder = Path(config.run.dir)
    assert_replays_hold_what_was_sold(config)
    resume(config)
    summary = audit(folder)
    assert summary["reserved"] == 0 and summary["remaining"] < 4
    assert answers.items() <= answers_on_disk(config).items()  # an answer on disk is not lost
    assert differences(folder, whole_run) == []  # and nothing shows that there was a crash


def test_late_answers_are_paid_when_they_come(tiny, audit):
    config = tiny("labeler.delay=5")
    train(config)
    summary = audit(Path(config.run.dir))
    assert (summary["labels"], summary["reserved"]) == (40, 0)


def test_answers_that_never_came_keep_their_money_reserved_until_a_resume_takes_them_in(tiny, audit, monkeypatch):
    config = tiny("labeler.delay=150")  # longer than the end of a run waits
    folder = Path(config.run.dir)
    train(config)
    summary = audit(folder)
    assert summary["reserved"] > 0 and summary["labels"] + summary["reserved"] / 4 == 40
    monkeypatch.setattr("tandem.training.phases.LAST_CALLS", 200)
    resume(config)
    summary = audit(folder)
    assert (summary["labels"], summary["reserved"], summary["spent"]) == (40, 0, 320)
    with pytest.raises(ConfigError, match="finished"):
        resume(config)


def test_a_crash_with_answers_on_their_way_asks_the_same_questions_again(tiny, audit, crash_at, monkeypatch):
    config = tiny("labeler.delay=4", "labeler.name=noisy")
    folder = Path(config.run.dir)
    crash_at(LabelDesk, "collect", 5, True)
    with pytest.raises(Crash):
        train(config)
    monkeypatch.undo()
    assert_replays_hold_what_was_sold(config)
    journal = LabelJournal(folder / "labels")
    pending = {item.question.key for item in journal.read_asked()} - {answer.key for answer in journal.read_answers()}
    assert pending
    resume(config)
    audit(folder)
    answered = [label.key for label in journal.read_answers()]
    assert pending <= set(answered) and len(answered) == 40


def test_a_run_interrupted_killed_and_resumed_buys_no_more_than_its_plan(tiny, audit, crash_at, monkeypatch):
    """The checkpoint of Ctrl-C knows a plan half carried out; what a later crash had bought on top must count."""
    config = tiny("allocator.phases=1")
    folder = Path(config.run.dir)
    interrupt_after_chunks(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.undo()
    audit(folder)
    crash_at(Collector, "close", 4, True)
    with pytest.raises(Crash):
        resume(config)
    monkeypatch.undo()
    resume(config)
    summary = audit(folder)
    assert (summary["transitions"], summary["labels"], summary["remaining"]) == (160, 40, 0)


def interrupt_after_chunks(monkeypatch, chunks: int) -> None:
    """Ctrl-C in the middle of this chunk of the process."""
    original, opened = Collector.open, []

    def opening(self, wanted):
        opened.append(wanted)
        if len(opened) == chunks:
            signal.raise_signal(signal.SIGINT)
        return original(self, wanted)

    monkeypatch.setattr(Collector, "open", opening)


@pytest.mark.slow
def test_a_larger_budget_survives_a_crash_right_after_it_was_granted(tiny, audit, crash_at, monkeypatch):
    config = tiny()
    folder = Path(config.run.dir)
    train(config)
    richer = replace(config, budget=BudgetConfig(total=400.0))
    crash_at(Collector, "tick", 3, True)
    with pytest.raises(Crash):
        resume(richer)
    monkeypatch.undo()
    resume(richer)
    summary = audit(folder)
    assert (summary["total"], summary["reserved"]) == (400, 0) and summary["remaining"] < 4


def test_a_crash_when_the_pilot_has_spent_everything_still_learns(tiny, crash_at, monkeypatch):
    config = tiny("allocator.pilot_share=1")
    crash_at(Run, "save", 1, False)
    with pytest.raises(Crash):
        train(config)
    monkeypatch.undo()
    resume(config)
    assert checkpoint.load(Path(config.run.dir) / "checkpoints").parts["progress"]["updates"] == 16


def test_a_failure_while_looking_at_a_phase_loses_nothing_and_buys_nothing_again(tiny, audit, monkeypatch):
    config = tiny()
    original, looks = tandem.training.phases.measure, []

    def failing(run):
        looks.append(run.ledger.spent)
        if len(looks) == 2:
            raise ValueError("a picture that cannot be drawn")
        return original(run)

    monkeypatch.setattr(tandem.training.phases, "measure", failing)
    with pytest.raises(ValueError, match="cannot be drawn"):
        train(config)
    before = checkpoint.load(Path(config.run.dir) / "checkpoints").parts["progress"]
    assert before["phase"] == 1 and before["updates"] > 0
    resume(config)
    assert looks[2] == looks[1]  # the phase was looked at again, not bought again
    assert audit(Path(config.run.dir))["remaining"] < 4


NURSERY = """
import importlib, json, os, sys
import torch
import tandem.cli, tandem.training.purchases.transitions, tandem.training.phases

def live_until(module, owner, name, call, number, settings):
    owner = getattr(importlib.import_module(module), owner)
    original, calls = getattr(owner, name), []

    def dying(*arguments, **keywords):
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return original(*arguments, **keywords)

    setattr(owner, name, dying)
    return tandem.cli.main(["train", *settings])

torch.set_num_threads(1)
tandem.training.purchases.transitions.CHUNK = 16
statuses = []
for case in json.loads(sys.argv[1]):
    if not (child := os.fork()):  # importing everything anew would take longer than the run
        os._exit(live_until(*case))
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(statuses))
"""


def signalled(number: signal.Signals, moments: list[tuple[type, str, int]], commands: list[list[str]]) -> list[int]:
    """Processes that get the signal at the call (owner, name, which one). -> their exit statuses, -number where it killed."""
    pairs = zip(moments, commands, strict=True)
    cases = [
        (owner.__module__, owner.__qualname__, name, call, int(number), command)
        for (owner, name, call), command in pairs
    ]
    done = subprocess.run(
        [sys.executable, "-c", NURSERY, json.dumps(cases)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_killed_processes_leave_books_that_a_resume_closes(tiny, tiny_command, audit):
    moments = [(Collector, "tick", 11), (Ledger, "settle", 3), (TransitionJournal, "append", 50)]
    configs = [tiny(folder=name) for _, name, _ in moments]
    statuses = signalled(signal.SIGKILL, moments, [tiny_command(folder=name) for _, name, _ in moments])
    assert statuses == [-signal.SIGKILL] * 3
    for config in configs:
        assert_replays_hold_what_was_sold(config)
        resume(config)
        assert audit(Path(config.run.dir))["remaining"] < 4


@pytest.mark.slow
def test_interrupted_processes_save_and_exit_130(tiny, tiny_command, audit):
    moments = [(Collector, "tick", 2), (LabelDesk, "order", 4), (Run, "save", 2)]
    configs = [tiny(folder=name) for _, name, _ in moments]
    statuses = signalled(signal.SIGINT, moments, [tiny_command(folder=name) for _, name, _ in moments])
    assert statuses == [130] * 3
    for config in configs:
        folder = Path(config.run.dir)
        summary = audit(folder)
        assert (
            0 < summary["spent"] + summary["reserved"] < 320 and summary["reserved"] <= 32
        )  # of an open chunk, and its labels
        assert checkpoint.load(folder / "checkpoints").warnings == ()
        resume(config)
        assert audit(folder)["spent"] == 320
