"""A run of a second or two, and the books that every run must keep."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from tandem.budget.ledger import Ledger
from tandem.budget.money import price_in_micro, to_micro
from tandem.envs.records import Question
from tandem.training.config import Config
from tandem.training.phases import train
from tandem.training.settings import load_config, read_config
from tandem.training.storage import checkpoint
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.transitions import TransitionJournal

TINY = [
    "smoke",
    "task=toy_lq",
    "threads=1",
    "envs.repeat=1",
    "envs.time_limit=20",
    "budget.total=320",
    "allocator.pilot_labels=8",
    "train.updates=16",
    "train.batch=2",
    "train.length=6",
    "train.horizon=3",
    "evaluate.episodes=1",
    "evaluate.final_episodes=1",
    "log.figures=false",
    "log.every_seconds=1000",
]


def pytest_collection_modifyitems(items):
    """A test that takes a tiny run makes one: it bears the mark `run` without saying so."""
    for item in items:
        if {"tiny", "tiny_command"} & set(item.fixturenames):
            item.add_marker("run")


@pytest.fixture
def tiny_command(tmp_path):
    """tiny_command("seed=3", folder="b") -> the arguments of a tiny run with these settings on top: two phases after the
    pilot on the linear-quadratic toy."""

    def make(*settings: str, folder: str = "run") -> list[str]:
        return [*merged(*settings), f"run.dir={tmp_path / folder}"]

    return make


@pytest.fixture
def tiny(tmp_path):
    """The same as a Config."""

    def make(*settings: str, folder: str = "run") -> Config:
        config = loaded(*settings)
        return replace(config, run=replace(config.run, dir=str(tmp_path / folder)))

    return make


def merged(*settings: str) -> list[str]:
    changed = {setting.split("=")[0] for setting in settings}
    return [*(setting for setting in TINY if setting.split("=")[0] not in changed), *settings]


@cache  # reading a configuration takes as long as half a tiny run
def loaded(*settings: str) -> Config:
    return load_config(merged(*settings))


@pytest.fixture(scope="session")
def whole_run_in():
    """whole_run_in(folder) -> the folder, with a tiny run in it that nothing interrupted."""

    def make(folder: Path) -> Path:
        config = loaded()
        train(replace(config, run=replace(config.run, dir=str(folder))))
        return folder

    return make


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
def differences():
    return differing


def differing(one: Path, other: Path) -> list[str]:
    """Names of what differs between the newest checkpoints, the ledgers, the journals and the metrics of two runs."""
    return [
        *_of_states(*(checkpoint.load(run / "checkpoints").parts for run in (one, other)), "checkpoint"),
        *(["ledger"] if _ledger(one) != _ledger(other) else []),
        *(["decisions"] if _decisions(one) != _decisions(other) else []),
        *_of_states(*(_rows(run) for run in (one, other)), "transitions"),
        *(["metrics"] if _metrics(one) != _metrics(other) else []),
    ]


def _of_states(one, other, where: str) -> list[str]:
    if type(one) is not type(other):
        return [f"{where}: {type(one).__name__} and {type(other).__name__}"]
    if isinstance(one, torch.Tensor):
        same = (
            one.shape == other.shape and one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())
        )
        return [] if same else [where]
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{where}: {sorted(one.keys() ^ other.keys())}"]
        return [found for key in one for found in _of_states(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)} long"]
        pairs = zip(one, other, strict=True)
        return [found for i, pair in enumerate(pairs) for found in _of_states(*pair, f"{where}[{i}]")]
    return [] if one == other or where.endswith(".metrics_bytes") else [f"{where}: {one!r} and {other!r}"]


def _ledger(run: Path) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{run / 'ledger.db'}?mode=ro", uri=True)) as db:
        columns = "event, key, kind, units, price_micro, tier, total, spent, reserved, transitions, labels"
        return db.execute(f"SELECT {columns} FROM events ORDER BY id").fetchall()


def _decisions(run: Path) -> list:
    ledger = Ledger.open(run / "ledger.db")
    try:
        return [{key: value for key, value in row.items() if key != "time"} for row in ledger.decisions()]
    finally:
        ledger.close()


def _rows(run: Path) -> dict:
    journal = TransitionJournal(run / "transitions")
    blocks = list(journal.read())
    names = ("step", "is_first", "is_last", "is_heldout", "action", "deter")
    rows = {name: torch.cat([torch.tensor(getattr(block, name)) for block in blocks]) for name in names}
    return rows | {f"obs/{k}": torch.cat([torch.tensor(block.obs[k]) for block in blocks]) for k in blocks[0].obs}


def _metrics(run: Path) -> list[dict]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("time")} for row in rows]
