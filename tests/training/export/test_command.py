"""`tandem export` on a run that was trained, and its mistakes in one line each."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import tandem
import tandem.cli
from tandem.training.settings import load_config, save_config

pytestmark = pytest.mark.run


@pytest.fixture(scope="module")
def files(small_run, tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("exported")
    policy, reward = folder / "policy.pt2", folder / "reward.pt2"
    assert tandem.cli.main(["export", str(small_run), "--policy", str(policy), "--reward", str(reward)]) == 0
    assert sorted(folder.iterdir()) == [policy, reward]
    return policy, reward


def test_a_trained_policy_and_its_rewards_are_those_of_the_run_in_its_environment(use_exported, files, small_run):
    """The run's own agent sees what the example saw; an episode that the example played is what it would have done."""
    (policy, about), (reward, about_reward) = (use_exported.load(path) for path in files)
    agent = tandem.load(small_run)
    rows = use_exported.play(use_exported.make(about), policy, about, seed=3)
    agent.generator.manual_seed(3)
    state = None
    for obs, vector in zip([row[0] for row in rows], [row[1] for row in rows[1:]], strict=False):
        action, state = agent.act(obs, state)
        np.testing.assert_allclose(vector, action, rtol=0, atol=1e-6)
    obs = {key: np.stack([row[0][key] for row in rows]) for key in about["obs"]}
    vectors = np.stack([row[1] for row in rows])
    own, (mean, disagreement) = agent.reward(obs, vectors), use_exported.score(reward, about_reward, obs, vectors)
    assert len(rows) == 11 and np.abs(own.mean).max() > 0  # 20 steps, each action taken twice
    np.testing.assert_allclose(mean, own.mean, rtol=1e-6, atol=1e-6 * np.abs(own.mean).max())
    np.testing.assert_allclose(disagreement, own.disagreement, rtol=1e-6, atol=1e-6 * np.abs(own.mean).max())


def test_the_example_runs_where_there_is_none_of_our_package(use_exported, files, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "tandem"]:
        monkeypatch.setitem(sys.modules, name, None)  # to import it is an error
    monkeypatch.setattr(sys, "argv", [use_exported.__file__, *map(str, files)])
    runpy.run_path(use_exported.__file__, run_name="__main__")
    said = capsys.readouterr().out
    assert said.startswith("episode 0: 10 steps, true return -") and "by the reward model" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RUN"], ["--policy", "neither"]),
        (["RUN", "--reward", "r.pt2", "--sampled"], ["--sampled"]),
        (["RUN", "--policy", "p.pt2", "--reward", "./p.pt2"], ["another file"]),
        (["RUN", "--policy", "."], ["--policy .:", "folder"]),
        (["RUN", "--policy", "nowhere/p.pt2"], ["no folder nowhere"]),
        (["nowhere", "--policy", "p.pt2"], ["nowhere", "not a run"]),
        (["begun", "--policy", "p.pt2"], ["begun", "checkpoint"]),
        (["theirs", "--policy", "p.pt2"], ["their_env:Env", "--trust"]),
    ],
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(
    small_run, tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    for name, task in (("begun", "gym:Pendulum-v1"), ("theirs", "their_env:Env")):
        (tmp_path / name).mkdir()
        save_config(load_config(["smoke", f"task={task}"]), tmp_path / name / "config.yaml")
    before = sorted(tmp_path.rglob("*"))
    assert tandem.cli.main(["export", *(str(small_run) if one == "RUN" else one for one in arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and all(word in err for word in words), err
    assert sorted(tmp_path.rglob("*")) == before
