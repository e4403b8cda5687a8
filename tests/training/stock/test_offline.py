"""A run that learns from data that exists alone: labels are all that it buys, and nothing else changes."""

import json
import os
import signal
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

import tandem
import tandem.cli
import tandem.training.build
from tandem.budget.ledger import Ledger
from tandem.budget.reports.accounts import account_lines
from tandem.envs.vault import RewardVault
from tandem.training import pace
from tandem.training.build import build
from tandem.training.phases import train
from tandem.training.settings import resume_config
from tandem.training.storage import checkpoint
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.stock import StockJournal

pytestmark = pytest.mark.run
NUMBER = 310  # transitions of the set


def ledger_of(folder: Path) -> Ledger:
    return Ledger.open(folder / "ledger.db")


def test_all_the_money_buys_labels_and_the_ledger_names_the_source(learned, toy_set):
    with closing(ledger_of(learned)) as ledger:
        balance, summary, decisions = ledger.balance(), ledger.summary(), ledger.decisions()
    assert (balance.transitions, balance.labels, balance.spent) == (NUMBER, 80, balance.total)  # 320 coins, 4 a label
    assert summary["by_source"] == {str(toy_set): {"transitions": NUMBER, "spent": 0.0}}
    assert any(f"from {toy_set}: {NUMBER} transitions for 0 coins" in line for line in account_lines(summary))
    plans = [one["outputs"] for one in decisions]
    assert [plan["transitions"] for plan in plans] == [0, 0] and sum(plan["labels"] for plan in plans) == 80
    assert all("half of the spend each" not in plan["note"] for plan in plans)
    assert all("the transitions are there" in plan["note"] for plan in plans[1:])


def test_every_episode_is_held_where_the_file_has_it(learned, toy_set):
    """A tenth is held out, as whole episodes; observations, actions and ends are those of the file, rewards are not there."""
    episodes = list(StockJournal(learned / "stock/transitions").read())
    with np.load(toy_set) as arrays:
        for number, one in enumerate(episodes):
            assert one.origin == f"episode_{number}"
            assert np.array_equal(one.obs["state"], arrays[f"episode_{number}/observations"])
            assert np.array_equal(one.action, arrays[f"episode_{number}/actions"])
            assert one.is_terminal == arrays[f"episode_{number}/terminations"][-1]
    held = sum(len(one) for one in episodes if one.is_heldout)
    assert len(episodes) == 16 and 20 <= held <= 80
    kept = b"".join(file.read_bytes() for file in (learned / "stock/transitions").iterdir())
    assert b"reward" not in kept


def test_updates_are_spread_over_the_spend_and_count_as_steps(learned):
    rows = [json.loads(line) for line in (learned / "metrics.jsonl").read_text().splitlines()]
    spent = [
        (row["budget/spent"], row["train/updates"]) for row in rows if "budget/spent" in row and "train/updates" in row
    ]
    assert spent[-1] == (320, 16) and len({updates for _, updates in spent if 0 < updates < 16}) > 0
    assert rows[-1]["step"] == 16
    assert all(updates <= round(16 * money / 320) + 1 for money, updates in spent)
    records = [json.loads(line) for line in (learned / "phases.jsonl").read_text().splitlines()]
    assert [record["transitions"] for record in records] == [NUMBER] * 2


def test_it_was_evaluated_and_can_be_loaded(learned):
    assert any("eval/return" in line for line in (learned / "metrics.jsonl").read_text().splitlines())
    agent = tandem.load(learned)
    obs = {key: np.zeros((4, *spec.shape), spec.dtype) for key, spec in agent.spaces.obs.items()}
    assert agent.reward(obs, np.zeros((4, agent.spaces.action_size), np.float32)).mean.shape == (4,)


def parameters(folder: Path) -> dict:
    return checkpoint.load(folder / "checkpoints").parts["learner"]


def bought(folder: Path) -> dict[str, float]:
    return {one.key: one.value for one in LabelJournal(folder / "labels").read_answers()}


def tensors(value) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for one in inside for tensor in tensors(one)]


def test_rewards_that_were_not_bought_change_nothing(learned, offline, tmp_path, monkeypatch, differences):
    """Run B finds NaN in place of every reward of the set that run A did not buy."""
    sold = {tuple(map(int, key.split("/")[1:3])) for key in bought(learned)}
    hidden = []

    class Blanked(RewardVault):
        def _insert_all(self, env: np.ndarray, step: np.ndarray, reward: np.ndarray) -> None:
            is_sold = np.array([pair in sold for pair in zip(env.tolist(), step.tolist(), strict=True)])
            hidden.append(int((~is_sold).sum()))
            super()._insert_all(env, step, np.where(is_sold, reward, np.nan))

    monkeypatch.setattr(tandem.training.build, "RewardVault", Blanked)
    config = offline(tmp_path / "b")
    train(config)
    assert hidden == [NUMBER - 80] and len(sold) == 80
    assert differences(learned, tmp_path / "b") == [] and bought(learned) == bought(tmp_path / "b")
    assert all(torch.isfinite(tensor).all() for tensor in tensors(parameters(tmp_path / "b")))


@pytest.mark.slow
def test_a_bought_reward_does_change_the_run(learned, offline, tmp_path, monkeypatch):
    """The fence above can fail."""
    held = [one for one in StockJournal(learned / "stock/transitions").read() if one.is_heldout]
    heldout = {(one.env, one.step + row) for one in held for row in range(len(one) + 1)}
    places = [tuple(map(int, key.split("/")[1:3])) for key in bought(learned)]
    place = min(one for one in places if one not in heldout)

    class Shifted(RewardVault):
        def _insert_all(self, env: np.ndarray, step: np.ndarray, reward: np.ndarray) -> None:
            super()._insert_all(env, step, reward + 50.0 * ((env == place[0]) & (step == place[1])))

    monkeypatch.setattr(tandem.training.build, "RewardVault", Shifted)
    train(offline(tmp_path / "b"))
    pairs = zip(tensors(parameters(learned)), tensors(parameters(tmp_path / "b")), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


def test_a_run_that_is_stopped_goes_on_exactly_without_its_data_set(
    learned, offline, tmp_path, monkeypatch, differences
):
    folder, calls, update = tmp_path / "stopped", [], pace.update

    def updating(run):
        calls.append(0)
        if len(calls) == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return update(run)

    monkeypatch.setattr(pace, "update", updating)
    config = offline(folder)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.undo()
    saved = resume_config(folder, [])
    train(saved, resume=folder)
    assert len(calls) == 7 and differences(learned, folder) == []


@pytest.mark.slow
def test_a_run_that_crashed_before_its_first_checkpoint_pays_for_the_stock_once(
    learned, offline, tmp_path, differences
):
    folder = tmp_path / "crashed"
    config = offline(folder, "data.price_transition=0.1")
    run = build(config, is_resumed=False)
    tandem.training.phases.pay_for_stock(run.ledger, run.stock.source, run.stock.transitions, run.stock_price_micro)
    assert run.ledger.balance().spent == 31_000_000
    run.close()
    train(resume_config(folder, []), resume=folder)
    with closing(ledger_of(folder)) as ledger:
        assert ledger.state_of_keys()["stock/transitions"].settled == NUMBER
        assert ledger.balance().transitions == NUMBER and ledger.balance().labels == 72  # of 289 coins


@pytest.mark.slow
def test_without_evaluation_no_environment_is_made(offline, tmp_path, monkeypatch):
    """The task is a name, and the spaces are those of the set."""

    def refused(*_, **__):
        raise AssertionError("an environment was made")

    monkeypatch.setattr(tandem.envs.make, "make_env", refused)
    monkeypatch.setattr(tandem.envs.pool, "make_env", refused)
    folder = tmp_path / "run"
    settings = (
        "evaluate.episodes=0",
        "task=a-robot-that-is-gone",
        "budget.total=60",
        "train.updates=3",
    )
    train(offline(folder, *settings))
    assert "eval/return" not in (folder / "metrics.jsonl").read_text()
    build(resume_config(folder, ["budget.total=80"]), is_resumed=True).close()
    assert tandem.load(folder).spaces.obs["state"].shape == (2,)
    assert tandem.cli.main(["export", str(folder), "--reward", str(tmp_path / "reward.pt2")]) == 0
    monkeypatch.undo()
    files = {"tandem.json": ""}
    torch.export.load(tmp_path / "reward.pt2", extra_files=files)
    about = json.loads(files["tandem.json"])  # an observation and an action are as the set has them
    assert about["obs"]["state"]["path"] == ["state"] and about["action"]["space"]["kind"] == "numbers"
