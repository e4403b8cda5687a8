"""What is an answer worth? Scores of steps and of clips, marked moments and pairs teach the same small reward model.

    python benchmarks/labels [--kinds step,clip,keys,keys-squared,pair] [--counts 50,150,500] [--seeds 3] [--results FOLDER]

Episodes of Pendulum-v1 under random torques that are held for a while. Answers are about single rows, or about clips of 16;
of pairs the first 30 are clip scores, 5 % of the others are pressed at random. `keys` are clip scores by five keys, a tenth of
which are pressed at random, learned as a run learns from people; `keys-squared` the same as other clip scores are learned.
Noise is a part of the spread of what is judged. A RewardModel of three members, each of which leaves a third of the episodes
out, sees the angle, the speed and the torque, and learns as a run does. What is told is the correlation of its mean with the
true reward of each row of unseen episodes, and the mean error in percent of the reward's spread. Writes results/labels.md.
"""

import argparse
import math
from pathlib import Path

import gymnasium
import numpy as np
import torch
from torch import Tensor

from cells import MACHINE
from tandem.envs.gymnasium_env import GymnasiumEnv
from tandem.envs.labelers.base import LabelerConfig
from tandem.worldmodel.optimizer import LaProp, OptimizerConfig
from tandem.worldmodel.records import LabelBatch, Side
from tandem.worldmodel.reward import RewardConfig, RewardModel, fold_weights

RESULTS = Path(__file__).parents[1] / "results"
KINDS = ("step", "clip", "pair", "keys", "keys-squared")  # in this order: each has its own random numbers
KEYS, ANY_KEY = 5, 0.1
SCALE = LabelerConfig(name="people", kind="clip", low=-16.3, high=0.0)
NOISES = (0.0, 0.3, 1.0)
LENGTH, ANCHORS, LAPSE = 16, 30, 0.05
EPISODES, UNSEEN, ROWS = 60, 20, 200
STEPS, BATCH = 2000, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--counts", default="50,150,500")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts = [int(count) for count in options.counts.split(",")]
    lines = [
        f"Made by `python benchmarks/labels` ({MACHINE}); Pendulum-v1, {options.seeds} seeds, means.",
        "Correlation with the true reward of unseen rows, and mean error in percent of its spread.",
        "",
        "| answers | noise | " + " | ".join(f"{count} of them" for count in counts) + " |",
        "|---|---|" + "---|" * len(counts),
    ]
    worlds = [World(seed) for seed in range(options.seeds)]
    for kind in options.kinds.split(","):
        for noise in NOISES:
            cells = []
            for count in counts:
                found = np.array([world.taught(kind, count, noise) for world in worlds])
                cells.append(f"{found[:, 0].mean():.2f}, {found[:, 1].mean():.0f} %")
            lines.append(f"| {kind} | {noise:g} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    options.results.mkdir(exist_ok=True)
    (options.results / "labels.md").write_text("\n".join(lines) + "\n")


class World:
    """Rows of episodes, for training and unseen ones, and their true rewards."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.seed = seed
        rows = [self._episode(1000 * seed + number) for number in range(EPISODES + UNSEEN)]
        self.feat = torch.tensor(np.stack([feat for feat, _ in rows]), dtype=torch.float32)  # (E, T, 4)
        self.reward = torch.tensor(np.stack([reward for _, reward in rows]), dtype=torch.float32)  # (E, T)

    def _episode(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        env = GymnasiumEnv(gymnasium.make("Pendulum-v1"), "gym:Pendulum-v1")
        obs, _ = env.reset(seed=seed)
        torque = np.zeros(1, np.float32)
        feats, rewards = [], []
        for step in range(ROWS):
            if step % 10 == 0:
                torque = self.rng.uniform(-1, 1, 1).astype(np.float32)
            before = np.concatenate([*obs.values(), torque])  # a reward is a function of the state that was left
            obs, reward, *_ = env.step(torque)
            feats.append(before)
            rewards.append(reward)
        return np.stack(feats) / np.array([1, 1, 8, 1], np.float32), np.array(rewards)

    def taught(self, kind: str, count: int, noise: float) -> tuple[float, float]:
        """-> correlation, error in percent of the spread."""
        rng = np.random.default_rng([self.seed, count, int(10 * noise), KINDS.index(kind.partition("-")[0])])
        length = 1 if kind == "step" else LENGTH
        labels, feat = self._answers(kind, length, count, noise, rng)
        torch.manual_seed(self.seed)
        model = RewardModel(RewardConfig(units=64, layers=2), self.feat.shape[-1])
        optimizer = LaProp(model.parameters(), OptimizerConfig(lr=1e-3, warmup=50))
        weight = fold_weights(labels.fold, labels.weight, model.config.members)
        if labels.right is not None:
            weight = weight * (fold_weights(labels.right.fold, labels.weight, model.config.members) > 0)
        for _ in range(STEPS):
            drawn = torch.from_numpy(rng.integers(count, size=BATCH))
            of_drawn = feat[drawn] if feat.dim() == 3 else feat[:, drawn]
            if length == 1:
                loss, _ = model(of_drawn[:, 0], labels.value[drawn], weight[drawn])
            else:
                loss, _ = model.judge(labels[drawn], of_drawn, weight[drawn])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step(is_live=torch.tensor(True))
        with torch.no_grad():
            predicted = model.predict(self.feat[EPISODES:]).flatten().numpy()
        truth = self.reward[EPISODES:].flatten().numpy()
        error = 100 * np.abs(predicted - truth).mean() / truth.std()
        return float(np.corrcoef(predicted, truth)[0, 1]) if predicted.std() > 0 else 0.0, float(error)

    def _answers(
        self, kind: str, length: int, count: int, noise: float, rng: np.random.Generator
    ) -> tuple[LabelBatch, Tensor]:
        """-> answers without observations, features (n, R, F), of pairs (2, n, R, F)."""
        sides = 2 if kind == "pair" else 1
        episode = torch.from_numpy(rng.integers(EPISODES, size=(sides, count)))
        end = torch.from_numpy(rng.integers(length - 1, ROWS, size=(sides, count)))
        row = end[..., None] + torch.arange(1 - length, 1)  # (sides, n, R)
        feat, sums = self.feat[episode[..., None], row], self.reward[episode[..., None], row].sum(-1)
        spread = float(sums.std())
        seen = sums + noise * spread * torch.from_numpy(rng.standard_normal(sums.shape)).float()
        fields = {"weight": torch.ones(count), "fold": episode[0], "length": length}
        none = {"obs": {}, "prev_action": torch.zeros(count, 0), "is_first": torch.zeros(count, 0, dtype=torch.bool)}
        none |= {"start_deter": torch.zeros(count, 0), "start_stoch": torch.zeros(count, 0)}
        rows = torch.full((count,), length)
        if kind == "step":
            return LabelBatch(**none, value=seen[0], **fields), feat[0]
        if kind == "clip":
            return LabelBatch(**none, value=seen[0], rows=rows, **fields), feat[0]
        if kind.startswith("keys"):
            reach = SCALE.reach if kind == "keys" else math.inf
            return LabelBatch(**none, value=by_keys(seen[0], rng), rows=rows, reach=reach, **fields), feat[0]
        is_pair = torch.arange(count) >= ANCHORS
        is_random = torch.from_numpy(rng.random(count) < LAPSE)
        better = torch.where(is_random, torch.from_numpy(rng.random(count) < 0.5), seen[0] > seen[1]).float()
        judgement = torch.tensor([[2 / spread, LAPSE]]).expand(count, 2)
        right = Side(**none, rows=rows, fold=episode[1])
        value = torch.where(is_pair, better, seen[0])
        labels = LabelBatch(**none, value=value, rows=rows, right=right, is_pair=is_pair, judgement=judgement, **fields)
        return labels, feat


def by_keys(seen: Tensor, rng: np.random.Generator) -> Tensor:
    """What sums (n,) are said to be by keys, now and then by any."""
    low, high = SCALE.low * LENGTH, SCALE.high * LENGTH
    key = ((seen - low) / (high - low) * (KEYS - 1)).round().clamp(0, KEYS - 1)
    is_any = torch.from_numpy(rng.random(len(seen)) < ANY_KEY)
    any_key = torch.from_numpy(rng.integers(KEYS, size=len(seen))).float()
    return low + torch.where(is_any, any_key, key) / (KEYS - 1) * (high - low)
