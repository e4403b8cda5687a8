"""What a chunk costs in waits for the disk: each journal once, then one commit, and only then the labeler is asked."""

import os
from pathlib import Path

import pytest

import tandem.durable
import tandem.training.phases
from tandem.budget.ledger import Ledger
from tandem.envs.labelers.env_reward import EnvReward
from tandem.training.phases import train
from tandem.worldmodel.replay.journal.labels import LabelJournal

IN_ORDER = ["vault", "transitions", "labels", "commit", "ask"]


@pytest.fixture
def events(monkeypatch):
    """What happens in turn, by group: which folder's file was brought on disk, when the ledger was, who was asked."""
    groups: list[list[str]] = []
    now: list[str] = []
    trade, execute, submit = tandem.training.phases.trade, Ledger._execute, EnvReward.submit

    def fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        now.append(path.parent.name if path.suffix == ".log" else "another")

    def in_a_group(run, plan) -> None:
        now.clear()
        trade(run, plan)
        groups.append(list(now))

    def executed(self, statement: str):
        if statement == "COMMIT" and self._written:
            now.append("commit")
        return execute(self, statement)

    def submitted(self, questions) -> None:
        now.append("ask")
        submit(self, questions)

    monkeypatch.setattr(tandem.durable.os, "fsync", fsync)
    monkeypatch.setattr(tandem.training.phases, "trade", in_a_group)
    monkeypatch.setattr(Ledger, "_execute", executed)
    monkeypatch.setattr(EnvReward, "submit", submitted)
    return groups


@pytest.mark.run
def test_a_chunk_waits_for_each_journal_once_and_for_one_commit(tiny, events):
    train(tiny("train.updates=2"))
    events = [[event for event in group if event != "another"] for group in events]  # folders of files that are new
    assert IN_ORDER in events and len(events) >= 6  # the first of each phase opens a chunk, the others close it
    for group in events:
        assert group == [event for event in IN_ORDER if event in group]


@pytest.mark.run
def test_what_a_person_answers_is_on_disk_before_anything_is_learned_from_it(tiny, events, monkeypatch):
    for name in ("state_dict", "load_state_dict"):
        monkeypatch.delattr(EnvReward, name)  # nobody says the same again
    config = tiny("train.updates=2")
    train(config)
    endings = [group[-2:] for group in events if "ask" in group]
    assert len(endings) >= 3 and all(ending == ["ask", "labels"] for ending in endings)
    assert len(LabelJournal(Path(config.run.dir) / "labels").read_answers()) == 40
