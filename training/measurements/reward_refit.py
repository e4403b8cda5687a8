"""The reward error against the number of labels: a small head refitted on frozen latents with 1/8, 1/4, 1/2 and all labels.

Folds are whole episodes, one a member of the ensemble, and every uniformly drawn label is scored by the member that did
not see its episode: folds by label would leak neighbours of the scored row. But the dynamics model has learned from these
episodes, and its latents tell more of them than of others: labels of held-out episodes are scored too, however few they are.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...budget.offers import residual_squared
from ...worldmodel.records import LabelBatch
from ...worldmodel.reward import RewardConfig, RewardModel, fold_weights
from ..models import Models
from .features import SampledFeatures, answered, sampled
from .raters import LEAST_VARIANCE

FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1.0)
BATCH = 256
LEAST_STEPS, PASSES = 120, 8  # of descent, where no fewer are allowed
FEW = 16  # labels, over which an error is known half as well as it can be
LEARNING_RATE = 3e-2  # of Adam, falling to 0: 3e-3 was far from fitted after as many steps


@dataclass(frozen=True)
class LabelledFeatures:
    """L labels: frozen features, values (L,), weights (L,), folds (L,), and which of them may score an error."""

    features: SampledFeatures
    value: Tensor
    weight: Tensor
    fold: Tensor
    is_uniform: Tensor  # (L,) bool: actively chosen labels never estimate an error
    clips: LabelBatch | None = None  # what was answered, where that was about clips
    step: float = 1.0  # part of a step that a refit takes, so that it does not learn the raters' noise by heart
    heldout: "LabelledFeatures | None" = None  # of episodes that trained nothing


@dataclass(frozen=True)
class Read:
    """Today's labels, to be read off the latents of any phase's models."""

    labels: LabelBatch  # L of them
    is_uniform: Tensor  # (L,) bool: those that may score an error
    heldout: LabelBatch  # of episodes that trained nothing, and the same of them
    is_heldout_uniform: Tensor
    samples: int  # draws of the latents that predictions are averaged over
    most_steps: int
    step: float  # part of one that a refit takes

    def errors(
        self, models: Models, generator: torch.Generator, fractions: tuple[float, ...] = FRACTIONS
    ) -> list["RefitError"]:
        """Refits with these parts of the labels; none without labels."""
        if not len(self.labels.value):
            return []
        labelled = self._labelled(models, self.labels, self.is_uniform, generator)
        if len(self.heldout.value):
            heldout = self._labelled(models, self.heldout, self.is_heldout_uniform, generator)
            labelled = replace(labelled, heldout=heldout)
        return refit_errors(labelled, models.reward.config, generator, self.most_steps, fractions)

    def _labelled(
        self, models: Models, labels: LabelBatch, is_uniform: Tensor, generator: torch.Generator
    ) -> LabelledFeatures:
        labels, features = sampled(models, labels, self.samples, generator)
        known = labels.value, labels.weight, labels.fold, is_uniform.to(models.device)
        return LabelledFeatures(features, *known, only_answers(labels), self.step)


@dataclass(frozen=True)
class RefitError:
    count: int  # labels that the refit had
    absolute: float  # mean |rhat - y|, of clips in units of their sums, over labels of episodes that the scoring member did not see
    squared: float
    signed: float  # mean rhat - y
    scored: "Scored | None" = None
    heldout: np.ndarray | None = None  # rhat - y (m,) of labels of held-out episodes; None without such labels

    def unseen(self, noise: float) -> tuple[float, float]:
        """On held-out episodes, the absolute error without the raters' noise (its mean variance), NaN where that is not known;
        and over how many labels without noise it tells as much."""
        if self.heldout is None or not len(self.heldout):
            return math.nan, 0.0
        absolute, squared = float(np.abs(self.heldout).mean()), float((self.heldout**2).mean())
        return noise_free(absolute, squared, noise), len(self.heldout) * clean_part(squared, noise) ** 2


@dataclass(frozen=True)
class Scored:
    """The labels that an error is the mean over, (n,) each."""

    error: np.ndarray  # rhat - y
    value: np.ndarray  # y
    place: np.ndarray  # int, in the labels given

    def explained(self, noise_variance: float) -> float:
        """How much of the variance of clean answers is explained, at most 1; 0 where they do not vary."""
        variance, left = float(self.value.var()), float((self.error**2).mean())
        if variance <= LEAST_VARIANCE:
            return 0.0
        told = variance - left  # there is as much noise in either, and none in the difference
        if told < 0:
            return told / residual_squared(variance, noise_variance)
        return told / (told + residual_squared(left, noise_variance))


def refit_errors(
    labels: LabelledFeatures,
    config: RewardConfig,
    generator: torch.Generator,
    most_steps: int,
    fractions: tuple[float, ...] = FRACTIONS,
) -> list[RefitError]:
    """One error a fraction, over nested random subsets. None where fewer than three episodes or a single member makes
    folds that mean nothing, and none where no label may score: an error over no label is not a number."""
    if not labels.is_uniform.any():
        return []
    number = len(labels.value)
    episodes = labels.fold.unique() % config.members
    if config.members < 2 or len(episodes.unique()) < config.members:
        return []
    order = torch.randperm(number, generator=generator, device=generator.device)
    counts = sorted({round(number * fraction) for fraction in fractions} - {0})
    return [_refit(labels, order[:count], config, generator, most_steps) for count in counts]


def _refit(
    labels: LabelledFeatures, subset: Tensor, config: RewardConfig, generator: torch.Generator, most_steps: int
) -> RefitError:
    model = _fresh_model(config, labels.features.size, generator)
    weight = fold_weights(labels.fold, labels.weight, config.members)  # (L, M)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    steps = min(max(LEAST_STEPS, PASSES * len(subset) // BATCH), most_steps)
    with torch.enable_grad():
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = labels.step * LEARNING_RATE * (1 - step / steps)
            drawn = torch.randint(len(subset), (min(BATCH, len(subset)),), generator=generator, device=subset.device)
            rows = subset[drawn]
            sample = torch.randint(labels.features.samples, rows.shape, generator=generator, device=rows.device)
            feat = labels.features.at(sample, rows)
            if labels.clips is None:
                loss, _ = model(feat, labels.value[rows], weight[rows])
            else:
                loss, _ = model.judge(labels.clips[rows], feat, weight[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.cap_slopes()
    return replace(_score(model, labels, len(subset)), heldout=_unseen(model, labels.heldout))


@torch.no_grad()
def _unseen(model: RewardModel, labels: LabelledFeatures | None) -> np.ndarray | None:
    """By all members, for none of them has seen these episodes."""
    if labels is None:
        return None
    scored, features = labels.is_uniform.nonzero()[:, 0], labels.features
    predicted = sum(model.predict(features.at(k, scored)) for k in range(features.samples))
    assert isinstance(predicted, Tensor), "at least one draw"
    clips = None if labels.clips is None else labels.clips[scored]
    return (answered(predicted / features.samples, clips) - labels.value[scored]).cpu().numpy()


@torch.no_grad()
def _score(model: RewardModel, labels: LabelledFeatures, count: int) -> RefitError:
    """Each label by the member that did not see its episode, its prediction averaged over the draws of its latent."""
    scored, features = labels.is_uniform.nonzero()[:, 0], labels.features
    unseen = (labels.fold[scored] % model.config.members).unsqueeze(0)
    clips = None if labels.clips is None else labels.clips[scored]
    each = (answered(model.members(features.at(k, scored)), clips) for k in range(features.samples))  # (M, L) each
    predicted = sum(one.gather(0, unseen)[0] for one in each)
    error = predicted / features.samples - labels.value[scored]
    told = (error, labels.value[scored], scored)
    return RefitError(
        count,
        absolute=float(error.abs().mean()),
        squared=float((error**2).mean()),
        signed=float(error.mean()),
        scored=Scored(*(one.cpu().numpy() for one in told)),
    )


def _fresh_model(config: RewardConfig, size: int, generator: torch.Generator) -> RewardModel:
    """Seeded from the generator; the global random state stays as it was."""
    seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
    device = generator.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return RewardModel(config, size).to(device)


def clean_part(squared: float, noise_variance: float) -> float:
    """Of a mean squared error against noisy labels, the part that is no rater's noise."""
    return min(1.0, residual_squared(squared, noise_variance) / squared) if squared > 0 else 1.0


def noise_free(absolute: float, squared: float, noise_variance: float) -> float:
    """A mean absolute error without the raters' noise that is in it and in the mean squared one."""
    return absolute * math.sqrt(clean_part(squared, noise_variance))


def moved(refit: float, live: float, number: float, prior_weight: float = FEW) -> float:
    """The factor that takes a figure of the refits to that of the ensemble in use, measured on `number` labels of
    held-out episodes: with few of those the refits' own keeps its weight (`prior_weight` labels). 1 where either is not
    positive and finite."""
    if not all(math.isfinite(value) and value > 0 for value in (refit, live)):
        return 1.0
    return (live / refit) ** (number / (number + prior_weight))


def only_answers(labels: LabelBatch) -> LabelBatch | None:
    """Of clips: what was answered, without what was seen, since features stand for that; None of single steps."""
    if labels.rows is None:
        return None
    nothing = {name: getattr(labels, name)[:, :0] for name in ("prev_action", "is_first", "start_deter", "start_stoch")}
    return replace(labels, obs={}, right=None, is_pair=None, judgement=None, **nothing)
