"""Episodes of the linear-quadratic toy in a file, and one run that has learned from them alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tandem.envs.make import EnvConfig, make_env
from tandem.training.config import Config
from tandem.training.phases import train
from tandem.training.settings import load_config

STEPS = 20


def toy_episodes(number: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Played at random, STEPS steps each, but the third, which is half as long and ends in truth."""
    env, rng = make_env("toy_lq", EnvConfig(time_limit=STEPS), seed), np.random.default_rng(seed)
    episodes = []
    for place in range(number):
        obs = [env.reset()[0]["state"]]
        rows: list[tuple] = []
        while len(rows) < (STEPS // 2 if place == 2 else STEPS):
            action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
            seen, *rest = env.step(action)[:4]
            obs.append(seen["state"])
            rows.append((action, *rest))
        actions, rewards, terminations, truncations = map(np.array, zip(*rows, strict=True))
        if place == 2:
            terminations[-1] = True
        flags = {"terminations": terminations, "truncations": truncations}
        episodes.append({"observations": np.array(obs), "actions": actions, "rewards": rewards} | flags)
    return episodes


def flat(episodes: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {f"episode_{i}/{key}": value for i, one in enumerate(episodes) for key, value in one.items()}


@pytest.fixture
def toy_rows() -> list[dict[str, np.ndarray]]:
    """The episodes of `toy_set`, to be changed."""
    return toy_episodes(16)


@pytest.fixture(scope="session")
def flatten():
    """flatten(episodes) -> the arrays of a file."""
    return flat


@pytest.fixture(scope="session")
def toy_set(tmp_path_factory) -> Path:
    """Sixteen episodes, 310 transitions, in one .npz file."""
    file = tmp_path_factory.mktemp("data") / "toy.npz"
    np.savez(file, **flat(toy_episodes(16)))
    return file


@pytest.fixture(scope="session")
def offline(tiny_arguments, toy_set):
    """offline(folder, "seed=1") -> the configuration of a tiny run that learns from the set alone."""

    def make(folder: Path, *settings: str) -> Config:
        named = (
            f"data.transitions={toy_set}",
            "data.collect=false",
            "measure.samples=1",
            "reward.members=2",
            "allocator.phases=1",
            *settings,
        )
        config = load_config([*tiny_arguments(*named)])
        return replace(config, run=replace(config.run, dir=str(folder)))

    return make


@pytest.fixture(scope="session")
def learned(offline, tmp_path_factory) -> Path:
    """The folder of a run that came to its end."""
    config = offline(tmp_path_factory.mktemp("learned") / "run")
    train(config)
    return Path(config.run.dir)
