"""What CHANGELOG.md promises about run folders of 0.1, on one that the last commit of 0.1 (72af623) wrote.

Its settings are those of a tiny run with networks as small as can be: 320 coins, three phases, toy_lq, seed 0.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import tandem
import tandem.cli
from tandem.envs.make import make_env
from tandem.training.phases import train
from tandem.training.settings import read_config

RUNS = Path(__file__).resolve().parents[2] / "older_runs"


@pytest.fixture
def older(tmp_path):
    shutil.unpack_archive(RUNS / "0.1.tar.gz", tmp_path)
    return tmp_path / "0.1"


def test_the_ledger_of_an_older_run_is_read(older, capsys):
    assert tandem.cli.main(["ledger", str(older)]) == 0
    words = capsys.readouterr().out.split()
    assert words[words.index("spent") + 1] == "320" and words[words.index("labels") + 1] == "40"
    assert tandem.cli.main(["ledger", str(older), "--decisions"]) == 0
    assert "half of the spend each: 24 answered labels are fewer than 32" in capsys.readouterr().out


def test_an_older_agent_acts_as_it_did(older, capsys):
    agent, config = tandem.load(older), read_config(older / "config.yaml")
    env = make_env(config.task, config.envs, 1)
    obs, _ = env.reset(seed=1)
    state, total, is_over = None, 0.0, False
    while not is_over:
        action, state = agent.act(obs, state)
        obs, reward, is_terminated, is_truncated, _ = env.step(action)
        total, is_over = total + reward, is_terminated or is_truncated
    assert total == pytest.approx(-2.2611826, rel=1e-4)  # as 0.1 said of the same folder and seeds
    assert tandem.cli.main(["eval", str(older), "--episodes", "1"]) == 0
    assert "mode actions, 1 episodes: mean return" in capsys.readouterr().out


@pytest.mark.run
def test_an_older_run_goes_on(older, audit):
    config = read_config(older / "config.yaml")
    config = replace(config, budget=replace(config.budget, total=400.0), run=replace(config.run, dir=str(older)))
    train(config, older)
    summary = audit(older)
    assert (summary["spent"], summary["transitions"], summary["labels"]) == (400, 200, 50)
