"""A sink of one's own gets what metrics.jsonl gets, once, and cannot end a run."""

import importlib.util
import json
import sys
import types
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tandem.cli
from tandem.training.reports.logger import LogConfig, Logger
from tandem.training.reports.sinks.begin import begin_logging
from tandem.training.reports.sinks.told import ToldSettings
from tandem.training.settings import load_config
from tandem.training.storage.folder import RunFolder

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"
SOURCE = """
made, rows, closed = [], [], []

class Keep:
    def __init__(self, folder, config, resumed):
        made.append((folder, config, resumed))
    def write(self, row):
        rows.append(row)
    def close(self):
        closed.append(True)

class Plain:
    def __init__(self, folder, config):
        pass
    def write(self, row):
        row.clear()  # which is its own
    def close(self):
        raise SystemExit("no word")

class Third(Plain):
    num = 0
    def write(self, row):
        self.num += 1
        if self.num == 3:
            raise ValueError("no disk")

class Broken:
    def __init__(self, folder, config):
        raise OSError("no network")

class Mute:
    def __init__(self, folder, config):
        pass
"""


@pytest.fixture(autouse=True)
def theirs(tmp_path, monkeypatch):
    """A module of a person's own, named `theirs`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "theirs.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("theirs", tmp_path / "theirs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "theirs", module)
    return module


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def logging(folder: Path, *names: str, **more) -> Logger:
    return Logger(folder, LogConfig(sinks=tuple(f"theirs:{name}" for name in names)), **more)


def test_it_gets_every_row_and_the_settings_as_plain_data(tmp_path, theirs):
    told = ToldSettings.of("task: a\nreward: {units: 3}\n", "task: a\nreward: {units: 3}\n")
    with logging(tmp_path / "run", "Keep", "Plain", settings=told) as logger:
        logger.scalars(1, {"a": 2.0, "b": float("nan")})
        logger.add({"loss": 3.0})
        logger.flush(2)
    assert theirs.rows == rows(tmp_path / "run") and [row["step"] for row in theirs.rows] == [1, 2]
    assert theirs.rows[0]["b"] is None
    assert theirs.made == [(str(tmp_path / "run"), {"task": "a", "reward": {"units": 3}}, False)]
    assert theirs.closed == [True]


def test_one_that_raises_is_told_once_and_dropped_and_the_others_go_on(tmp_path, theirs, capsys):
    with logging(tmp_path / "run", "Third", "Keep", "Broken", "Mute") as logger:
        for step in range(5):
            logger.scalars(step, {"a": 1.0})
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: log.sinks: ")]
    assert len(said) == 3 and all("; it gets no more rows, the run goes on" in line for line in said)
    assert "theirs:Broken cannot be made: OSError: no network" in said[0]
    assert "theirs:Mute must have write() and close(), got no write() and close()" in said[1]
    assert "theirs:Third: ValueError: no disk" in said[2] and "theirs.py, line" in said[2]
    assert "Traceback" in (tmp_path / "run" / "console.log").read_text()
    assert [row["step"] for row in theirs.rows] == [row["step"] for row in rows(tmp_path / "run")] == list(range(5))


def write(logger: Logger, *steps: int) -> None:
    for step in steps:
        logger.scalars(step, {"a": float(step)})


def test_rows_that_come_again_are_not_given_again_however_often_the_run_was_killed(tmp_path, theirs):
    """A checkpoint after two rows, a kill after five; a kill after three of which one is new to nobody; then to the end."""
    folder = tmp_path / "run"
    with logging(folder, "Keep") as logger:
        write(logger, 1, 2)
        size = (folder / "metrics.jsonl").stat().st_size
        write(logger, 3, 4, 5)
    with logging(folder, "Keep", purge_step=3) as logger:
        logger.cut(size)
        write(logger, 3)
    with logging(folder, "Keep", purge_step=3) as logger:
        logger.cut(size)
        write(logger, 3, 4, 5, 6)
    assert [row["step"] for row in theirs.rows] == [1, 2, 3, 4, 5, 6] == [row["step"] for row in rows(folder)]
    assert [resumed for *_, resumed in theirs.made] == [False, True, True]


def test_a_run_that_does_not_repeat_itself_gives_all_its_new_rows(tmp_path, theirs):
    folder = tmp_path / "run"
    with logging(folder, "Keep") as logger:
        write(logger, 1)
        size = (folder / "metrics.jsonl").stat().st_size
        write(logger, 2, 3, 4)
    with logging(folder, "Keep", purge_step=2) as logger:
        logger.cut(size)  # it begins to go on exactly, sees that it cannot ...
        write(logger, 2)
    with logging(folder, "Keep") as logger:  # ... and begins with all that was bought: its rows are others
        write(logger, 30, 40, 50)
    assert [row["step"] for row in theirs.rows] == [1, 2, 3, 4, 30, 40, 50]


def test_a_sink_that_is_new_to_a_run_gets_what_is_written_from_then_on(tmp_path, theirs):
    folder = tmp_path / "run"
    with Logger(folder, LogConfig()) as logger:
        write(logger, 1)
        size = (folder / "metrics.jsonl").stat().st_size
        write(logger, 2, 3)
    with logging(folder, "Keep", purge_step=2) as logger:
        logger.cut(size)
        write(logger, 2, 3)
    assert [row["step"] for row in theirs.rows] == [2, 3]


def test_secrets_of_an_address_are_told_nobody(tmp_path, theirs):
    config = load_config(["smoke", "labeler.url=http://me:pass@host/judge?key=word", "log.sinks=[theirs:Keep]"])
    begin_logging(config, RunFolder(tmp_path / "run"), None).close()
    ((_, settings, _),) = theirs.made
    assert settings["labeler"]["url"] == "http://***@host/judge?***" and settings["log"]["sinks"] == ["theirs:Keep"]
    assert all(b"pass" not in path.read_bytes() for path in (tmp_path / "run").glob("events*"))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("[nosuch:Sink]", ["log.sinks: nosuch:Sink cannot be imported", "nosuch"]),
        ("[theirs:Sunk]", ["log.sinks: theirs:Sunk cannot be imported", "Sunk"]),
        ("[theirs]", ["log.sinks: must be a list of module:Class of your own, got 'theirs'"]),
        ("[theirs:Keep,theirs:Keep]", ["log.sinks: theirs:Keep is named twice"]),
        ("theirs:Keep", ["log.sinks: must be a list of names"]),
    ],
)
def test_a_sink_that_cannot_be_is_told_before_a_run_is_made(tmp_path, capsys, names, words):
    assert tandem.cli.main(["train", "smoke", "task=toy_lq", f"log.sinks={names}", "run.dir=run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and all(word in line for word in words), line
    assert not (tmp_path / "run").exists()


def test_the_example_hands_rows_to_wandb_and_goes_on_under_the_same_name(tmp_path, monkeypatch):
    calls = []

    class Run:
        def log(self, numbers, step):
            calls.append(("log", numbers, step))

        def finish(self):
            calls.append(("finish",))

    wandb = types.ModuleType("wandb")
    wandb.init = lambda **given: calls.append(("init", given)) or Run()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delitem(sys.modules, "wandb_sink", raising=False)
    monkeypatch.syspath_prepend(EXAMPLES)
    told = ToldSettings.of("task: a\n", "task: a\n")
    for purge_step in (None, 2):
        with Logger(tmp_path / "run", LogConfig(sinks=("wandb_sink:Wandb",)), lambda: 7.0, purge_step, told) as logger:
            logger.scalars(purge_step or 1, {"eval/return": 5.0, "gap/reward": float("inf")})
    monkeypatch.delitem(sys.modules, "wandb_sink")
    first, again = (given for name, *rest in calls if name == "init" for given in rest)
    assert first == again and (first["name"], first["config"], first["resume"]) == ("run", {"task": "a"}, "allow")
    assert [call for call in calls if call[0] != "init"] == [
        ("log", {"step": 1, "time": 7.0, "eval/return": 5.0}, 1),
        ("finish",),
        ("log", {"step": 2, "time": 7.0, "eval/return": 5.0}, 2),
        ("finish",),
    ]


@pytest.mark.run
@pytest.mark.slow
def test_a_run_gives_its_rows_also_when_it_was_killed_and_goes_on(tmp_path, lives):
    """Killed by its own sink, at the ninth row; what came after the last checkpoint is done again, and not given again."""
    source = "import os, signal\nclass Keep:\n    def __init__(self, folder, config, resumed):\n"
    source += "        self.rows = open('rows', 'a')\n        print('resumed', resumed, flush=True)\n"
    source += "    def write(self, row):\n        self.rows.write(f'{sorted(row)}{row[\"step\"]}\\n')\n        self.rows.flush()\n"
    source += "        if len(open('rows').readlines()) == 9:\n            os.kill(os.getpid(), signal.SIGKILL)\n"
    source += "    def close(self):\n        pass\n"
    (tmp_path / "killer.py").write_text(source)
    settings = lives.changed("log.sinks=[killer:Keep]", "log.every_updates=2", "checkpoint.every_minutes=1000")
    first, second = lives.live(tmp_path / "run", settings), lives.live(tmp_path / "run", settings)
    assert first.is_killed and "resumed False" in first.said
    assert second.status == 0 and "resumed True" in second.said, second.said
    given = (tmp_path / "rows").read_text().splitlines()
    assert given == [f"{sorted(row)}{row['step']}" for row in rows(tmp_path / "run")] and len(given) > 12
    board = EventAccumulator(str(tmp_path / "run"), size_guidance={"tensors": 0, "scalars": 0}).Reload()
    told = board.Tensors("plan/why/text_summary")  # texts are not purged: what comes again stands at its step again
    plans = {event.step: event.tensor_proto.string_val[0].decode() for event in told}
    assert len(plans) == 3 and "pilot" in plans[0] and all("to buy: transitions" in plan for plan in plans.values())
    assert [event.step for event in board.Scalars("by_cost/return")][-1] == 320  # of 320 coins
