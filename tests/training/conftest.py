"""A run of a second or two, and the books that every run must keep."""

import importlib
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tandem.budget.ledger import Ledger
from tandem.budget.money import price_in_micro, to_micro
from tandem.envs.records import Question
from tandem.training.config import Config
from tandem.training.phases import train
from tandem.training.purchases.transitions import Collector
from tandem.training.run import Run
from tandem.training.settings import load_config, read_config
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.transitions import TransitionJournal

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
accidents = importlib.import_module("accidents.lives")
changed = accidents.changed  # changed("seed=3"): the settings of a tiny run


def pytest_collection_modifyitems(items):
    """A test that takes a tiny run makes one: it bears the mark `run` without saying so."""
    for item in items:
        if {"tiny", "tiny_command", "tiny_arguments"} & set(item.fixturenames):
            item.add_marker("run")


@pytest.fixture
def tiny_command(tmp_path):
    """tiny_command("seed=3", folder="b") -> the arguments of a tiny run with these settings on top: two phases after the
    pilot on the linear-quadratic toy."""

    def make(*settings: str, folder: str = "run") -> list[str]:
        return [*changed(*settings), f"run.dir={tmp_path / folder}"]

    return make


@pytest.fixture
def tiny(tmp_path):
    """The same as a Config."""

    def make(*settings: str, folder: str = "run") -> Config:
        config = loaded(*settings)
        return replace(config, run=replace(config.run, dir=str(tmp_path / folder)))

    return make


@pytest.fixture(scope="session")
def buy():
    """buy(run, transitions, labels): rows of forty ticks, paid for, and answers about them."""

    def make(run: Run, transitions: int, labels: int) -> None:
        run.collector.open(transitions)
        for _ in range(40):
            run.collector.tick(run.agent)
        run.collector.close()
        run.desk.ask(labels, run.numpy_rng)
        run.desk.collect()

    return make


@pytest.fixture(scope="session")
def tiny_arguments():
    """tiny_arguments("seed=3") -> the arguments of a tiny run, without a folder."""
    return changed


@cache  # reading a configuration takes as long as half a tiny run
def loaded(*settings: str) -> Config:
    return load_config(changed(*settings))


@pytest.fixture(scope="session")
def whole_run_in():
    """whole_run_in(folder) -> the folder, with a tiny run in it that nothing interrupted."""

    def make(folder: Path) -> Path:
        config = loaded()
        train(replace(config, run=replace(config.run, dir=str(folder))))
        return folder

    return make


@pytest.fixture
def at_ticks(monkeypatch):
    """at_ticks({3, 9}, act): do `act` before these ticks, counted over the lives of a test, until monkeypatch.undo()."""

    def arrange(numbers: set[int], act: Callable[[], object]) -> None:
        original, calls = Collector.tick, []

        def ticking(self, agent):
            calls.append(0)
            if len(calls) in numbers:
                act()
            return original(self, agent)

        monkeypatch.setattr(Collector, "tick", ticking)

    return arrange


@pytest.fixture
def audit():
    return check_books


def check_books(folder: Path) -> dict:
    """The money's identities, from what is on disk; holds whenever no process has the run open. -> ledger.summary()"""
    ledger = Ledger.open(folder / "ledger.db")  # refuses events that do not add up to its balance
    balance, outstanding, summary = ledger.balance(), ledger.outstanding(), ledger.summary()
    prices = ledger.prices
    ledger.close()
    open_keys = {purchase.key.removeprefix("transitions/") for purchase in outstanding if purchase.kind == "transition"}
    chunks, ticks = TransitionJournal(folder / "transitions"), []
    for block in chunks.read():
        ticks += [tick.transition for tick in block]
    rows = [(env, int(step)) for tick in ticks for env, step in enumerate(tick.step)]
    journal = LabelJournal(folder / "labels")
    questions = [item.question for item in journal.read_asked()]
    asked = [question.key for question in questions]
    answered = [label.key for label in journal.read_answers()]

    assert balance.total == balance.spent + balance.reserved + balance.remaining
    assert summary["total"] == summary["spent"] + summary["reserved"] + summary["remaining"]
    assert len(set(rows)) == len(rows)  # a row has one number for ever
    # A run that was stopped inside a chunk has not paid for it yet.
    open_units = sum(units for key, units in chunks.units.items() if key in open_keys)
    assert len(open_keys) <= 1
    assert balance.transitions == sum(tick.num_bought for tick in ticks) - open_units
    assert len(set(asked)) == len(asked) and len(set(answered)) == len(answered)
    labels_open = {purchase.key for purchase in outstanding if purchase.kind == "label"}
    paid = [key for key in answered if key not in labels_open]  # what was answered last waits for the next commit
    assert balance.labels == len(paid)
    label_prices = prices_of(questions, read_config(folder / "config.yaml"))
    label_cost = sum(label_prices[key] for key in paid)
    assert balance.spent == balance.transitions * prices["transition"] + label_cost
    for tier, row in summary["by_tier"].items():
        keys = {question.key for question in questions if question.tier == tier} & set(paid)
        assert (row["labels"], to_micro(row["spent"])) == (len(keys), sum(label_prices[key] for key in keys))
    declined = {one.key for one in journal.read_declined()}
    assert declined <= set(asked) and not declined & set(answered)
    assert set(asked) - set(answered) - declined == labels_open - set(answered) - declined
    assert paid_twice(folder) == []
    return summary


def prices_of(questions: list[Question], config: Config) -> dict[str, int]:
    """Key -> micro-coins: the price of its tier and, of named tiers, what showing the row to the first one costs."""
    labeler, seen, prices = config.labeler, set(), {}
    for question in questions:
        if question.tier == "default":
            prices[question.key] = price_in_micro(config.price.label)
        else:
            showing = 0 if question.clip in seen else price_in_micro(labeler.item_price)
            prices[question.key] = price_in_micro(labeler.tiers[question.tier].price) + showing
        seen.add(question.clip)
    return prices


def paid_twice(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "ledger.db") as db:
        query = "SELECT key FROM events WHERE event = 'settle' GROUP BY key HAVING COUNT(*) > 1"
        return [key for (key,) in db.execute(query)]


@pytest.fixture
def lives():
    """benchmarks/accidents/lives.py: runs in processes that may be killed."""
    return accidents


@pytest.fixture
def differences():
    """Of benchmarks/accidents/comparison.py, which the benchmark of accidents uses too."""
    return importlib.import_module("accidents.comparison").differing


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Path:
    """A tiny run of a gymnasium environment: nobody changes what lies in its folder."""
    folder = tmp_path_factory.mktemp("small") / "run"
    settings = ("task=gym:Pendulum-v1", "envs.repeat=2", f"run.dir={folder}")
    train(load_config(changed(*settings)))
    return folder
