"""A run on all kinds of observations and actions at once is a run like any other."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import tandem
from tandem.envs.make import make_env
from tandem.training.phases import train
from tandem.training.purchases.transitions import Collector
from tandem.training.storage.card import RunCard
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.transitions import TransitionJournal

SETTINGS = ("task=zoo:Everything", "envs.keys=[-mission]", "envs.size=16")
DTYPES = {"arm/place": "float32", "arm/grips": "int32", "eye": "uint8", "sides/0": "int32", "sides/1": "uint8"}


@pytest.fixture(autouse=True)
def zoo_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "envs"))
    yield
    sys.modules.pop("zoo", None)


def test_all_kinds_are_bought_kept_looked_at_and_taken_up_again(tiny, audit, differences, monkeypatch):
    whole, broken = tiny(*SETTINGS, folder="whole"), tiny(*SETTINGS, "envs.processes=true", folder="broken")
    train(whole)
    stop_before_tick(40, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(broken)
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "envs"))
    train(broken, Path(broken.run.dir))
    folder = Path(whole.run.dir)
    assert differences(folder, Path(broken.run.dir)) == []
    assert audit(folder)["spent"] == 320
    assert "warning" not in (folder / "console.log").read_text()
    check_what_is_kept(folder)
    check_the_agent(whole, folder)


def stop_before_tick(number: int, monkeypatch) -> None:
    original, ticks = Collector.tick, []

    def tick(self, agent):
        ticks.append(0)
        if len(ticks) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, agent)

    monkeypatch.setattr(Collector, "tick", tick)


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
