"""What a phase's end measures for the next plan: the two errors in return units, and whether they mean anything.

Nothing here is trained on, and no true reward that was not bought is read: reward errors come from bought labels, dynamics
errors from held-out transitions, values and returns from the models themselves.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...budget.offers import residual_squared
from ...budget.plan import Measured
from ...budget.scaling import Curve
from ...seeds import Channel, derive_seed
from ...worldmodel.distributions import twohot_mean
from ...worldmodel.dynamics import DynamicsModel
from ...worldmodel.replay.labels import LabelReplay
from ...worldmodel.reward import RewardModel
from ..run import Run
from .block import Block, block_of
from .bounds import bounds
from .dynamics_gap import DynamicsGap, adjoint_gap, dynamics_gap, explained_variance
from .features import encoded, predictor
from .raters import TierEstimates, clean_equivalents, estimate
from .reward_refit import LabelledFeatures, RefitError, clean_part, moved, noise_free, refit_errors

RECENCY = 0.9  # weight of a phase's dynamics error, for each phase that has passed since
LEAST_EXPLAINED = 0.2  # variance of held-out returns, below which a critic's values mean nothing
NO_ROLLS = 10**6  # rows to roll blindly, more than any window has: the error over one step is all that is asked
LEAST_DEVIATION = 1e-8  # of a critic's values: below, it has learned no scale yet


@dataclass(frozen=True)
class Models:
    """What an error is measured of."""

    dynamics: DynamicsModel
    reward: RewardModel
    critic: torch.nn.Module
    bins: Tensor  # of the critic

    def value(self, feat: Tensor) -> Tensor:
        """(..., F) -> (...)"""
        return twohot_mean(self.critic(feat).float(), self.bins)


@dataclass(frozen=True)
class Findings:
    """What a phase's end has found out."""

    scalars: dict[str, float]  # for the log
    measured: Measured | None = None  # None where there is too little to measure on
    residual: float | None = None  # mean squared reward error that is no rater's noise, reward units squared
    tiers: TierEstimates | None = None
    clean_labels: float = 0.0  # what all labels held are worth in labels of a perfect rater


def measure(run: Run) -> Findings:
    """Measure all there is to measure on, and take this phase's snapshot. Coupled mode allocates and measures nothing."""
    if not isinstance(run.labels, LabelReplay):
        return Findings({})
    config, generator, models = run.config.measure, _generator(run), _models(run)
    parts = models.dynamics, models.reward
    episodes = [episode.to(run.device) for episode in run.transitions.heldout_episodes(config.episodes)]
    variance = explained_variance(*parts, models.value, episodes, generator)
    run.snapshots.take(run.learner, run.progress.phase, run.transitions.received, variance)
    estimates = estimate(run.labels, run.config.labeler, predictor(run))
    refits, live = reward_errors(run, generator)
    noises = label_noise(run, estimates), label_noise(run, estimates, is_heldout=True)
    residual = residual_squared(refits[-1].squared, noises[0]) if refits else math.nan
    is_known = math.isfinite(residual)  # a model that has diverged knows nothing
    known = {"residual": residual if is_known else None, "tiers": estimates}
    known["clean_labels"] = clean_equivalents(run.labels, estimates if is_known else None, known["residual"])
    block = block_of(episodes, config.windows)
    if block is None:
        return Findings({}, **known)
    gap = gap_on(models, block, run.config.train.horizon, config.samples, generator)
    adjoint = adjoint_gap(*parts, models.value, block, run.config.train.horizon, config.samples, generator)
    curve = reward_curve(refits, noises, live, run.labels.num_training, known["clean_labels"])
    factor = 1.0 / (1.0 - run.config.dynamics.discount)
    scalars = {
        **_dynamics_scalars(gap, adjoint),
        **_reward_scalars(refits, curve, live, factor),
        "gap/explained_variance": variance,
        **bounds(*parts, run.learner.actor_critic, block, live.abs(), run.config.train.horizon, generator),
    }
    scalars = {key: value for key, value in scalars.items() if not math.isnan(value)}
    if not all(map(math.isfinite, (gap.one_step, gap.value_deviation, variance))):
        return Findings(scalars, **known)
    measured = Measured(
        dynamics=dynamics_curve(run, block, gap, generator),
        reward=curve,
        weights=(gap.value_deviation, factor),
        explained_variance=variance,
    )
    return Findings(scalars, measured, **known)


def gap_on(models: Models, block: Block, horizon: int, samples: int, generator: torch.Generator) -> DynamicsGap:
    return dynamics_gap(models.dynamics, models.reward, models.value, block, horizon, samples, generator)


def dynamics_curve(run: Run, block: Block, now: DynamicsGap, generator: torch.Generator) -> Curve:
    """Each phase's model on today's block. Its error is divided by its own critic's deviation there: the scale of
    returns grows while the agent learns, and today's deviation, as a weight, puts it back. A phase whose critic explained
    nothing yet is left out: its errors say how little it was trained, not how little data it had."""
    old, config = copy.deepcopy(_models(run)), run.config.measure
    points = []
    for snapshot in run.snapshots.before(run.progress.phase, run.logger.line):
        if snapshot.explained_variance < LEAST_EXPLAINED:
            continue
        for name, state in snapshot.states.items():
            getattr(old, name).load_state_dict(state)
        gap = gap_on(old, block, NO_ROLLS, config.samples, generator)
        points.append((snapshot.transitions, gap, RECENCY ** (run.progress.phase - snapshot.phase)))
    points.append((run.transitions.received, now, 1.0))
    kept = [
        (float(count), gap.one_step / gap.value_deviation, weight)
        for count, gap, weight in points
        if gap.value_deviation > LEAST_DEVIATION and math.isfinite(gap.one_step)
    ]
    return Curve(*zip(*kept, strict=True)) if kept else Curve((), (), ())


def reward_errors(run: Run, generator: torch.Generator) -> tuple[list[RefitError], Tensor]:
    """The refits' errors, and rhat - y (K,) of the ensemble in use on uniform labels of held-out episodes."""
    labels, is_uniform = run.labels.newest(run.config.measure.labels)
    refits = []
    if len(labels.value):
        labels, feat = encoded(run, labels, generator)
        features = LabelledFeatures(feat, labels.value, labels.weight, labels.fold, is_uniform.to(run.device))
        refits = refit_errors(features, run.learner.reward.config, generator)
    heldout, is_uniform = run.labels.newest(run.config.measure.labels, is_heldout=True)
    if not len(heldout.value):
        return refits, heldout.value
    heldout, feat = encoded(run, heldout, generator)
    with torch.no_grad():
        live = run.learner.reward.predict(feat) - heldout.value
    return refits, live[is_uniform.to(run.device)]


def label_noise(run: Run, estimates: TierEstimates | None, is_heldout: bool = False) -> float:
    """Mean variance of the raters' noise in the labels that score an error; 0 where nothing is known of it."""
    if estimates is None:
        return 0.0
    answers = run.labels.answers(is_heldout)
    variance = np.array([estimates.tiers[name].noise.variance for name in run.labels.tiers])
    scored = answers.tier[answers.is_uniform]
    return float(variance[scored].mean()) if len(scored) else 0.0


def reward_curve(
    refits: list[RefitError], noises: tuple[float, float], live: Tensor, training: int, clean: float
) -> Curve:
    """Absolute errors without the raters' noise, against labels held, in clean equivalents.

    The last point is moved towards the ensemble in use, in its level and in its count, as far as the labels of held-out
    episodes can tell of it, and the others with it.

    Args:
        noises: mean variances of the raters' noise in the labels that score the refits, and in those that score `live`.
        live: (K,) errors of the ensemble in use on labels of held-out episodes.
        training: labels that the ensemble learns from; the refits may have seen the newest of them alone.
        clean: clean equivalents of all labels held, those of held-out episodes, which train nothing, included.
    """
    if not refits:
        return Curve((), (), ())
    levels = [noise_free(one.absolute, one.squared, noises[0]) for one in refits]
    live_level = noise_free(float(live.abs().mean()), float((live**2).mean()), noises[1]) if len(live) else 0.0
    # A level that tells nothing moves nothing. One that is left after noise was taken off tells as much as one from fewer
    # labels without noise: the spread of a mean square does not shrink with it.
    is_told = live_level > 0 and math.isfinite(levels[-1])
    number = len(live) * clean_part(refits[-1].squared, noises[0]) ** 2 if is_told else 0
    nearer = moved(levels[-1], live_level, number)
    further = moved(refits[-1].count, training, number) * clean / max(1, training)
    points = [
        (one.count * further, level * nearer, 1.0)
        for one, level in zip(refits, levels)
        if one.squared > 0 and math.isfinite(level)
    ]
    return Curve(*zip(*points, strict=True)) if points else Curve((), (), ())


def _dynamics_scalars(gap: DynamicsGap, adjoint: float) -> dict[str, float]:
    return {
        "gap/dynamics": gap.one_step,
        "gap/dynamics_signed": gap.one_step_signed,
        "gap/dynamics_steps": gap.many_steps,
        "gap/dynamics_steps_signed": gap.many_steps_signed,
        "gap/dynamics_ratio": gap.many_steps / gap.one_step if gap.one_step > 0 else math.nan,  # above 3: compounding
        "gap/dynamics_adjoint": adjoint,
        "gap/value_deviation": gap.value_deviation,
    }


def _reward_scalars(refits: list[RefitError], curve: Curve, live: Tensor, factor: float) -> dict[str, float]:
    scalars = {}
    if curve.errors:
        scalars |= {"gap/reward": factor * curve.errors[-1], "gap/reward_signed": factor * refits[-1].signed}
        scalars |= {"gap/reward_refit": factor * refits[-1].absolute}
    if len(live):
        scalars |= {"gap/reward_heldout": factor * float(live.abs().mean())}
    return scalars


def _models(run: Run) -> Models:
    learner = run.learner
    return Models(learner.dynamics, learner.reward, learner.actor_critic.critic, learner.actor_critic.bins)


def _generator(run: Run) -> torch.Generator:
    """Noise for measuring, from a generator of its own: looking changes nothing in training."""
    return torch.Generator(run.device).manual_seed(derive_seed(run.config.seed, Channel.MEASURING, run.progress.phase))
