"""Does zero-mean label noise bias the reward model's mean? (allocation.md, section 6: it must not.)

    python benchmarks/reward_noise.py

Two settings, noise of standard deviation 1 and 3. Ideal fit: the two-hot distribution of least expected loss under the
noise, read as its mean in raw reward space, beside what a model would say that learns the mean of symlog(label) and
answers with its symexp. Trained: a RewardModel on noisy labels of four rewards at once. Noise is taken at evenly spaced
quantiles, so that what is off is the model's doing and not that of a sample's mean.

And does it learn noise by heart? Few labels of a map of random hills (benchmarks/ends/worlds.py), noise of up to 4 times what
rewards differ by: with whole steps, and with the part of a step that a run takes, which is what is no noise of the labels'
variance. Writes results/reward_noise.md.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cells import MACHINE
from ends.worlds import Bumps
from tandem.worldmodel.distributions import symexp, symlog, twohot_bins, twohot_loss, twohot_mean
from tandem.worldmodel.optimizer import LaProp, OptimizerConfig
from tandem.worldmodel.reward import RewardConfig, RewardModel, fold_weights

RESULTS = Path(__file__).parent / "results" / "reward_noise.md"
SIGMAS = (1.0, 3.0)
REWARDS = (-2.0, 0.5, 1.0, 5.0)  # of the trained model
SEEDS = (0, 1, 2)
STEPS, LEARNING_RATE = 600, 1e-2
FEW_SIGMAS, LABELS, WAVES = (0.0, 0.5, 1.0, 2.0, 4.0), 400, 192
UPDATES, BATCH, RATE = (600, 2_500), 128, 7e-4
AN_EPISODE = 15  # labels of a fold


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    lines = [
        "# The reward model's mean under zero-mean label noise",
        "",
        "`python benchmarks/reward_noise.py`; " + MACHINE + f"; trained: seeds {', '.join(map(str, SEEDS))}.",
        "",
        "Ideal fit, true reward 1: what the model's answer tends to with ever more labels.",
        "",
        "| noise | mean of the two-hot in raw space | symexp of the mean symlog |",
        "|--|--|--|",
    ]
    lines += [f"| {sigma:g} | {ideal_mean(1.0, sigma):.4f} | {symlog_mean(1.0, sigma):.3f} |" for sigma in SIGMAS]
    lines += [
        "",
        f"A trained RewardModel (units 32, {STEPS} Adam steps on all labels): the largest error over seeds, in percent of",
        "the reward, and the same of symexp of the mean symlog.",
        "",
        "| noise | true reward | two-hot mean, error % | symexp of the mean symlog, error % |",
        "|--|--|--|--|",
    ]
    for sigma in SIGMAS:
        found = torch.stack([trained_means(REWARDS, sigma, seed) for seed in SEEDS])  # (seeds, R)
        for reward, answers in zip(REWARDS, found.T, strict=True):
            off = 100 * ((answers - reward) / reward).abs().max()
            other = 100 * abs((symlog_mean(reward, sigma) - reward) / reward)
            lines.append(f"| {sigma:g} | {reward:g} | {off:.2f} | {other:.0f} |")
    lines += [
        "",
        f"{LABELS} labels of a map whose heights have a deviation of 1, {BATCH} of them an update, three members that read {WAVES}",
        "waves of the place: of the variance of true heights elsewhere, what the ensemble explains after so many updates, and",
        "its correlation with them. Means over seeds.",
        "",
        "| noise | steps | " + " | ".join(f"{number:,} updates" for number in UPDATES) + " |",
        "|--|--|" + "--|" * len(UPDATES),
    ]
    for sigma in FEW_SIGMAS:
        for part in sorted({1.0, 1 / (1 + sigma**2)}, reverse=True):
            found = torch.tensor([few_labels(sigma, part, seed) for seed in SEEDS]).mean(0)
            told = " | ".join(f"{explained:.2f} ({alike:.2f})" for explained, alike in found.tolist())
            lines.append(f"| {sigma:g} | {'whole' if part == 1 else f'{part:.2f} of one'} | {told} |")
    text = "\n".join(lines) + "\n"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text)
    print(text)


def noise(number: int) -> Tensor:
    """Evenly spaced quantiles of a standard normal, (number,) float64: their mean is exactly 0."""
    return torch.special.ndtri((torch.arange(number, dtype=torch.float64) + 0.5) / number)


def ideal_mean(reward: float, sigma: float, number: int = 100_001) -> float:
    """The mean of the distribution over bins that minimises the expected loss. At equal logits the gradient of the loss
    is their softmax less the mean two-hot code: that code is the minimiser."""
    bins = twohot_bins().double()
    logits = torch.zeros(len(bins), dtype=torch.float64, requires_grad=True)
    labels = reward + sigma * noise(number)
    twohot_loss(logits.expand(number, -1), labels, bins).mean().backward()
    best = torch.softmax(logits.detach(), -1) - logits.grad
    return float(twohot_mean(best.clamp(min=1e-300).log(), bins))


def symlog_mean(reward: float, sigma: float, number: int = 100_001) -> float:
    return float(symexp(symlog(reward + sigma * noise(number)).mean()))


def trained_means(rewards: tuple[float, ...], sigma: float, seed: int, number: int = 512) -> Tensor:
    """What a RewardModel says to each of the rewards (R,) after it has seen `number` noisy labels of each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RewardModel(RewardConfig(members=1, units=32), len(rewards))
    feat = torch.eye(len(rewards))
    truth = torch.tensor(rewards, dtype=torch.float64)
    labels = (truth[:, None] + sigma * noise(number)).float()  # (R, number)
    inputs, weight = feat[:, None].expand(-1, number, -1), torch.ones_like(labels)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS)
        loss, _ = model(inputs, labels, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return model.predict(feat)


def few_labels(
    sigma: float, part: float, seed: int, number: int = LABELS, updates: tuple[int, ...] = UPDATES
) -> list[tuple[float, float]]:
    """Of true heights at other places, what a model explains that has seen `number` noisy ones, and its correlation: after
    each of so many updates, with `part` of a step each."""
    rng = np.random.default_rng(seed)
    places, waves = rng.uniform(-1, 1, (number + 2_000, 2)), rng.normal(size=(2, WAVES))
    feat = torch.from_numpy(np.cos(3 * places @ waves + rng.uniform(0, 2 * np.pi, WAVES))).float()
    truth = torch.from_numpy(Bumps.drawn(2, 60, 0.3).at(places)).float()
    label = truth[:number] + sigma * torch.from_numpy(rng.standard_normal(number)).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RewardModel(RewardConfig(units=64, bins=63), WAVES)
    weight = part * fold_weights(torch.arange(number) // AN_EPISODE, torch.ones(number), model.config.members)
    optimizer, told = LaProp(model.parameters(), OptimizerConfig(lr=RATE, warmup=100)), []
    for update in range(1, max(updates) + 1):
        drawn = torch.from_numpy(rng.integers(number, size=BATCH))
        loss, metrics = model(feat[drawn], label[drawn], weight[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(part=metrics["reward/step"])
        if update in updates:
            with torch.no_grad():
                found, other = model.predict(feat[number:]), truth[number:]
            explained = 1 - float(((found - other) ** 2).mean() / other.var(correction=0))
            told.append((explained, float(torch.corrcoef(torch.stack([found, other]))[0, 1])))
    return told


if __name__ == "__main__":
    main()
