"""The loop: what a run leaves behind, how many updates it does, and how it goes on."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tandem.cli
import tandem.training.pace
from tandem.budget.ledger import Ledger
from tandem.budget.money import BudgetConfig
from tandem.training.build import build
from tandem.training.config import ConfigError
from tandem.training.phases import train
from tandem.training.purchases.transitions import Collector
from tandem.training.storage import checkpoint
from tandem.worldmodel.replay.journal.transitions import read_ticks

ROOT = Path(__file__).resolve().parents[2]


def progress(config) -> dict:
    return checkpoint.load(Path(config.run.dir) / "checkpoints").parts["progress"]


def metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def decisions(folder: Path) -> list[dict]:
    ledger = Ledger.open(folder / "ledger.db")
    found = ledger.decisions()
    ledger.close()
    return found


@pytest.mark.run
def test_the_smoke_preset_runs_the_whole_loop(tmp_path, audit):
    folder = tmp_path / "smoke"
    command = [sys.executable, str(ROOT / "train.py"), "smoke", f"run.dir={folder}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    summary = audit(folder)
    assert 0 < summary["labels"] < summary["transitions"]
    assert len(decisions(folder)) >= 3  # a pilot and two phases
    parts = checkpoint.load(folder / "checkpoints").parts
    assert parts["progress"]["updates"] == 40
    assert all(torch.isfinite(p).all() for p in parts["learner"]["dynamics"].values())
    rows = metrics(folder)
    keys = {key for row in rows for key in row}
    for key in ("eval/return", "dynamics/loss/dyn", "reward/loss", "actor/entropy", "critic/value", "budget/labels"):
        assert key in keys
    shares = {key: value for key, value in rows[-1].items() if key.startswith("time/share_")}
    assert abs(sum(shares.values()) - 1) < 0.001 and shares["time/share_look"] > 0.1
    assert "\nphase 2 took " in done.stdout
    assert rows[-1]["step"] == summary["transitions"] * 8  # environment steps: each action is repeated
    assert list(folder.glob("events.out.tfevents.*")) and list((folder / "report").glob("*.png"))
    assert "return" in done.stdout and "coins" in done.stdout


@pytest.mark.parametrize(
    "settings",
    [pytest.param(("train.updates=13",), marks=pytest.mark.slow), ("train.updates=7", "labeler.delay=3")],
    ids=str,
)
def test_train_updates_is_the_number_of_updates(tiny, monkeypatch, settings):
    config = tiny(*settings)
    count, update = [], tandem.training.pace.update
    monkeypatch.setattr(tandem.training.pace, "update", lambda run: (count.append(run.progress.phase), update(run)))
    train(config)
    assert len(count) == config.train.updates == progress(config)["updates"]
    assert {1, 2} <= set(count)  # spread over the phases, not done at the end


def test_a_phase_that_buys_labels_alone_still_learns(tiny, monkeypatch):
    config = tiny("train.label_batch=4")
    phases, update = [], tandem.training.pace.update

    class LabelsLast:
        def __init__(self, inner):
            self.inner = inner

        def plan(self, evidence, ledger):
            plan = self.inner.plan(evidence, ledger)
            if evidence.phase == evidence.phases:
                labels = ledger.remaining // ledger.prices["label"]
                plan = replace(plan, transitions=0, labels=labels)
            return plan

    make = tandem.training.build.make_allocator
    monkeypatch.setattr(tandem.training.build, "make_allocator", lambda section: LabelsLast(make(section)))
    monkeypatch.setattr(tandem.training.pace, "update", lambda run: (phases.append(run.progress.phase), update(run)))
    train(config)
    last = progress(config)["history"][-1]
    assert last["plan"]["transitions"] == 0 and last["plan"]["labels"] > 20
    # learning starts in the pilot, at 66 of the 320 coins; the last phase spends 124 of the 254 that are left
    assert abs(phases.count(2) - 16 * 124 / 254) <= 1


COUPLED = ("mode=coupled", "allocator.name=coupled", "price.label=1", "envs.heldout_share=0")


def test_train_ratio_replays_that_many_steps_for_every_row(tiny):
    config = tiny(*COUPLED, "train.updates=null", "train.ratio=3", "train.batch=2", "train.length=6")
    train(config)
    ticks = list(read_ticks(Path(config.run.dir) / "transitions"))
    rows = 2 * len(ticks)
    # 12 starts are there once two rings hold r rows each with 2 (r - 6) >= 12: after 12 ticks, 24 rows
    assert progress(config)["start"] == 24
    assert progress(config)["updates"] == int((rows - 24) * 3 / (2 * 6))


def test_reference_mode_labels_every_transition(tiny, audit):
    config = tiny(*COUPLED)
    train(config)
    summary = audit(Path(config.run.dir))
    assert summary["labels"] == summary["transitions"] == 160
    run = build(config, is_resumed=True)
    assert len(run.transitions.open) == 0 and run.transitions.num_heldout_rows == 0
    batch = run.labels.join(run.transitions.sample(16, np.random.default_rng(0)))
    assert bool((batch.reward_weight == 1).all()) and run.learner.reward.config.members == 1
    run.close()


def test_a_discrete_task_trains(tiny, audit):
    config = tiny("task=gym:CartPole-v1")
    train(config)
    audit(Path(config.run.dir))
    actions = np.concatenate([tick.action for tick in read_ticks(Path(config.run.dir) / "transitions")])
    assert set(np.unique(actions)) == {0.0, 1.0} and set(actions.sum(1)) <= {0.0, 1.0}  # one-hot, or zero on a last row
    assert all(length > 0 for length in progress(config)["evaluations"][-1]["returns_mode"])


OWN = """
import gymnasium, numpy as np
class Walk(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-9, 9, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.normal(size=3).astype(np.float32)
        return self.x, {}
    def step(self, action):
        assert abs(action).max() <= 2
        self.x = self.x * 0.9 + 0.1 * action.sum()
        return self.x.astype(np.float32), float(-abs(self.x).sum()), False, False, {}
"""


def test_a_persons_own_environment_trains_and_its_agent_acts(tiny, tmp_path, monkeypatch):
    (tmp_path / "own_walk.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = tiny("task=own_walk:Walk")
    train(config)
    agent = tandem.load(config.run.dir)
    action, state = agent.act({"state": np.zeros(3, np.float32)})
    assert action.shape == (2,) and abs(action).max() <= 1 and action.dtype == np.float32
    again, _ = agent.act({"state": np.ones(3, np.float32)}, state)
    assert np.isfinite(again).all()


def test_a_run_stopped_by_ctrl_c_goes_on_with_its_counters(tiny, audit, monkeypatch):
    config = tiny()
    folder, tick, calls = Path(config.run.dir), Collector.tick, []

    def interrupting(self, agent):
        calls.append(0)
        if len(calls) == 60:
            os.kill(os.getpid(), signal.SIGINT)
        return tick(self, agent)

    monkeypatch.setattr(Collector, "tick", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.undo()
    before, bought = progress(config), audit(folder)
    assert 0 < before["updates"] < 16 and before["plan"] is not None
    train(config, folder)
    after, summary = progress(config), audit(folder)
    assert (after["updates"], summary["transitions"], summary["labels"]) == (16, 160, 40)
    assert after["history"][: len(before["history"])] == before["history"] and after["start"] == before["start"]
    assert len(decisions(folder)) == 3  # the phase under way kept its plan
    assert bought["spent"] < summary["spent"]
    steps = [row["step"] for row in metrics(folder)]
    assert steps == sorted(steps) and steps[-1] == 160


def test_a_finished_run_is_refused_and_goes_on_with_a_larger_budget(tiny, audit):
    config = tiny()
    folder = Path(config.run.dir)
    train(config)
    with pytest.raises(ConfigError, match=r"budget.total.*finished"):
        train(config, folder)
    richer = replace(config, budget=BudgetConfig(total=480.0))
    train(richer, folder)
    summary = audit(folder)
    assert (summary["total"], summary["spent"], summary["remaining"]) == (480, 480, 0)
    # updates in proportion to the money: 16 for 320 coins, 24 for 480; half of the phases on top for half of the money
    assert progress(config)["updates"] == 24 and progress(config)["phases"] == 3
    assert [row["phase"] for row in progress(config)["history"]] == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="finished"):
        train(richer, folder)


@pytest.mark.parametrize("setting", ["measure.labels=6", pytest.param("labels.capacity=20", marks=pytest.mark.slow)])
def test_a_run_whose_measured_labels_were_all_chosen_ends_and_goes_on(tiny, audit, setting):
    """Chosen labels score no error: where none was drawn uniformly among the newest, there is no error to score."""
    config = tiny("labels.choice=disagreement", setting)
    train(config)
    more = replace(config, budget=replace(config.budget, total=400.0))
    train(more, resume=Path(config.run.dir))
    assert audit(Path(config.run.dir))["spent"] == 400


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tiny):
    runs = {}
    for name, settings in (("a", ("seed=1",)), ("b", ("seed=1",)), ("c", ("seed=2",))):
        config = tiny(*settings, folder=name)
        train(config)
        learner = checkpoint.load(Path(config.run.dir) / "checkpoints").parts["learner"]
        runs[name] = torch.cat([p.flatten() for p in learner["dynamics"].values()])
    assert torch.equal(runs["a"], runs["b"]) and not torch.equal(runs["a"], runs["c"])


def test_a_damaged_newest_checkpoint_falls_back_and_buys_nothing_twice(tiny, audit):
    config = tiny()
    folder = Path(config.run.dir)
    train(config)
    newest = checkpoint.list_checkpoints(folder / "checkpoints")[-1]
    (newest / "learner.pt").write_bytes(b"rubbish")
    train(config, folder)
    summary = audit(folder)
    assert (summary["spent"], summary["transitions"], summary["labels"]) == (320, 160, 40)
    assert progress(config)["updates"] == 16
    assert "warning" in (folder / "console.log").read_text()
