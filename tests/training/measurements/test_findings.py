"""What a run measures: plain numbers that survive a checkpoint, from data that it may see, without touching training."""

import errno
import json
from pathlib import Path

import pytest
import torch

from tandem.budget.ledger import Ledger
from tandem.budget.plan import Measured, Plan
from tandem.training.measurements.snapshots import Snapshots
from tandem.training.phases import train
from tandem.training.storage import checkpoint
from tandem.training.storage.checkpoint import CheckpointError


def learner_state(config) -> dict:
    return checkpoint.load(Path(config.run.dir) / "checkpoints").parts["learner"]


def history(config) -> list[dict]:
    return checkpoint.load(Path(config.run.dir) / "checkpoints").parts["progress"]["history"]


def assert_same(first, second) -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])


@pytest.mark.slow
def test_how_much_is_measured_changes_nothing_that_is_trained(tiny):
    little, much = (
        tiny("measure.samples=1", "allocator.name=fixed", folder="a"),
        tiny("allocator.name=fixed", folder="b"),
    )
    train(little)
    train(much)
    assert history(little)[-1]["gaps"] != history(much)[-1]["gaps"]
    assert_same(learner_state(little), learner_state(much))


def test_what_was_measured_and_planned_comes_back_as_it_was(tiny):
    config = tiny()
    train(config)
    rows = [row for row in history(config) if row["measured"]]
    assert rows, "the toy has a held-out episode in its pilot"
    for row in rows:
        measured = Measured.from_record(row["measured"])
        assert len(measured.reward.counts) == len(measured.reward.errors) == len(measured.reward.weights)
        json.dumps(row["measured"], allow_nan=False)
    ledger = Ledger.open(Path(config.run.dir) / "ledger.db")
    outputs = [decision["outputs"] for decision in ledger.decisions()]
    ledger.close()
    assert Plan.from_record(outputs[-1]).transitions == outputs[-1]["transitions"]


def test_gaps_are_logged_in_return_units(tiny):
    config = tiny()
    train(config)
    rows = [json.loads(line) for line in (Path(config.run.dir) / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if "eval/return" in row][-1]
    assert {"gap/dynamics", "gap/reward", "gap/explained_variance", "eval/imagined_gap"} <= last.keys()
    assert {"smoothness/rho", "bound/lemma", "bound/horizon"} <= last.keys()
    assert last["bound/horizon"] > 0 and last["smoothness/rho"] > 0


def test_coupled_mode_measures_nothing(tiny):
    config = tiny("mode=coupled", "allocator.name=coupled", "envs.heldout_share=0", "budget.total=800")
    train(config)
    assert all(row["measured"] is None for row in history(config))
    assert not (Path(config.run.dir) / "snapshots").exists()


class FakeLearner:
    """Only what a snapshot reads."""

    def __init__(self, value: float):
        self.dynamics, self.reward, self.actor_critic = (torch.nn.Linear(1, 1) for _ in range(3))
        self.actor_critic.critic = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.dynamics.weight, value)


def test_snapshots_keep_the_newest_and_give_only_earlier_phases(tmp_path):
    snapshots = Snapshots(tmp_path / "snapshots", most=3)
    for phase in range(6):
        snapshots.take(FakeLearner(phase), phase, 100 * phase, 0.5, None)
    found = list(snapshots.before(5, print))
    assert [(one.phase, one.transitions) for one in found] == [(3, 300), (4, 400)]
    assert [float(one.states["dynamics"]["weight"]) for one in found] == [3.0, 4.0]
    assert found[0].explains(trust=0.0) == 0.5, "a model of an older version is judged by its critic"
    snapshots.take(FakeLearner(40.0), 4, 444, 0.9, None)  # a resumed run does the phase again
    assert [one.transitions for one in snapshots.before(5, print)] == [300, 444]


def test_no_snapshots_are_kept_where_none_are_wanted(tmp_path):
    snapshots = Snapshots(tmp_path / "snapshots", most=0)
    snapshots.take(FakeLearner(1.0), 0, 10, 0.5, None)
    assert list(snapshots.before(1, print)) == [] and list((tmp_path / "snapshots").iterdir()) == []


def test_a_damaged_snapshot_is_told_and_left_out(tmp_path):
    snapshots = Snapshots(tmp_path, most=3)
    snapshots.take(FakeLearner(1.0), 0, 10, 0.5, None)
    path = next(tmp_path.glob("*.pt"))
    path.write_bytes(path.read_bytes()[:100])
    snapshots.take(FakeLearner(2.0), 1, 20, 0.5, None)
    told = []
    assert [one.phase for one in snapshots.before(2, told.append)] == [1]
    assert len(told) == 1 and "phase-0000.pt: not readable" in told[0]


def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"phase-0000.pt: could not be saved .*No space left"):
        Snapshots(tmp_path, most=3).take(FakeLearner(1.0), 0, 10, 0.5, None)
    assert list(tmp_path.iterdir()) == []
