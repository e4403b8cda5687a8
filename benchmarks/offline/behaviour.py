"""Who plays Pendulum-v1 for the data set: somebody who knows how, somebody who wavers, and chance. Written by Minari's own tools."""

import os
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np

TASK, STEPS = "Pendulum-v1", 200
ID = "pendulum/mixture-v0"
UPRIGHT = 5.0  # the pole's energy where it stands still on top
Policy = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def able(obs: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Swings up by pumping energy, and holds near the top."""
    cosine, sine, speed = obs.astype(float)
    if cosine > 0.9:
        torque = -12.0 * np.arctan2(sine, cosine) - 3.0 * speed
    else:
        energy = speed**2 / 6 + 5.0 * cosine
        torque = 2.0 * (UPRIGHT - energy) * np.sign(speed or 1.0)
    return np.clip([torque], -2.0, 2.0).astype(np.float32)


def at_random(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-2.0, 2.0, 1).astype(np.float32)


def wavering(obs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Able half of the time."""
    return able(obs, rng) if rng.random() < 0.5 else at_random(obs, rng)


POLICIES: dict[str, Policy] = {"at random": at_random, "wavering": wavering, "able": able}  # in turn


def make_set(root: Path, episodes: int, seed: int = 0) -> dict[str, list[float]]:
    """Write the set below `root`, as Minari keeps its sets. -> true returns by policy."""
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    import minari  # after its folder is named
    from minari.data_collector import EpisodeBuffer

    env, rng = gymnasium.make(TASK), np.random.default_rng(seed)
    buffers, returns = [], {name: [] for name in POLICIES}
    for number in range(episodes):
        name = list(POLICIES)[number % len(POLICIES)]
        buffer = EpisodeBuffer(id=number, **_played(env, POLICIES[name], rng, seed * 10_000 + number))
        returns[name].append(float(sum(buffer.rewards)))
        buffers.append(buffer)
    minari.create_dataset_from_buffers(
        ID,
        buffers,
        env=env,
        algorithm_name="a third each: at random, wavering, able",
        description="for benchmarks/offline",
    )
    return returns


def _played(env: gymnasium.Env, policy: Policy, rng: np.random.Generator, seed: int) -> dict[str, list]:
    obs, _ = env.reset(seed=seed)
    kept: dict[str, list] = {"observations": [obs], "actions": [], "rewards": [], "terminations": [], "truncations": []}
    is_over = False
    while not is_over:
        action = policy(obs, rng)
        obs, reward, terminated, truncated, _ = env.step(action)
        row = {"observations": obs, "actions": action, "rewards": float(reward)}
        for key, value in (row | {"terminations": terminated, "truncations": truncated}).items():
            kept[key].append(value)
        is_over = terminated or truncated
    return kept
