"""What a phase's end measures for the next plan: the two errors in return units, and whether they mean anything.

Nothing here is trained on, and no true reward that was not bought is read: reward errors come from bought labels, dynamics
errors from held-out transitions, values and returns from the models themselves.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...budget.offers import LabelOffer, residual_squared
from ...budget.plan import LEAST_EXPLAINED, Measured, critic_trust
from ...budget.scaling import Curve
from ...envs.labelers.base import LabelerConfig
from ...seeds import Channel, derive_seed
from ...worldmodel.replay.labels import LabelReplay
from ...worldmodel.replay.transitions import TransitionReplay
from ..models import Models
from . import raters
from .block import SCORED, Block, block_of
from .bounds import bounds
from .dynamics_gap import (
    Dreamed,
    DynamicsGap,
    Footing,
    adjoint_gap,
    dynamics_gap,
    explained_variance,
    horizon_for,
    rolled,
)
from .errors_in_time import (
    UNLIKE,
    USUAL_CORRELATION,
    LabelErrors,
    correlation,
    deviation_ahead,
    horizon_factor,
    log_spread,
)
from .features import mean_prediction, predictor, sampled
from .people import has_unit, judge_pairs
from .raters import TierEstimates
from .reward_refit import FEW, Read, RefitError, clean_part, moved, noise_free
from .snapshots import Snapshots

RECENCY = 0.9  # weight of a phase's error, for each phase that has passed since
PAST_READ = 2  # earlier phases off whose latents labels are read: each costs a refit with all of them
NINETY_PERCENT = 1.645  # standard deviations on either side


@dataclass(frozen=True)
class MeasureConfig:
    samples: int = 8  # latent samples averaged, so that chance in the latents does not count as error
    episodes: int = 8  # newest held-out episodes
    windows: int = 32  # of them at most, 48 scored rows each
    labels: int = 8192  # newest labels that the reward refits use
    refit_steps: int = 600  # of descent in a reward refit, at most
    snapshots: int = 12  # past phases whose models are kept on disk, to be asked what today's are

    def __post_init__(self):
        for name in ("samples", "episodes", "windows", "labels", "refit_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.snapshots < 0:
            raise ValueError(f"snapshots: must be 0 or more, got {self.snapshots}")


@dataclass(frozen=True)
class Findings:
    """What a phase's end has found out."""

    scalars: dict[str, float]  # for the log
    measured: Measured | None = None  # None where there is too little to measure on
    residual: float | None = None  # mean squared reward error that is no rater's noise, reward units squared
    tiers: TierEstimates | None = None
    clean_labels: float = 0.0  # what all labels held are worth in labels of a perfect rater
    offers: tuple[LabelOffer, ...] = ()  # the ways to buy more of them; none without named tiers


@dataclass(frozen=True)
class Measurer:
    """Measures at a phase's end, with noise of its own: how much is measured changes nothing that is trained."""

    config: MeasureConfig
    models: Models
    transitions: TransitionReplay
    labels: LabelReplay
    labeler: LabelerConfig
    snapshots: Snapshots
    horizon: int  # rows rolled blindly
    seed: int
    warn: Callable[[str], None]
    label_money: int  # micro-coins for labels in the whole run, about

    def measure(self, phase: int) -> Findings:
        """All there is to measure on; takes the phase's snapshot."""
        generator = self._generator(Channel.MEASURING, phase)
        judged = judge_pairs(self.models, self.labels, self._generator(Channel.RATERS, phase))
        if not has_unit(self.labels):
            self.warn("the unit of rewards is not known, since no clip was scored: plans are half of the spend each")
        episodes = [
            episode.to(self.models.device) for episode in self.transitions.heldout_episodes(self.config.episodes)
        ]
        variance = explained_variance(self.models, episodes, generator)
        estimates = raters.estimate(self.labels, self.labeler, self.predictor(phase))
        noises = self.label_noise(estimates), self.label_noise(estimates, is_heldout=True)
        read = self.read(raters.clean_share(self.labels, estimates))
        refits, live = self.reward_errors(generator, read)
        explained = refits[-1].scored.explained(noises[0]) if refits and refits[-1].scored else 0.0
        self.snapshots.take(self.models, phase, self.transitions.received, variance, explained)
        residual = residual_squared(refits[-1].squared, noises[0]) if refits else math.nan
        known = self._known(estimates, residual)
        block = block_of(episodes, self.config.windows)
        if block is None:
            return Findings(judged, **known)
        rows, footing = self.labels.mean_rows, self.footing(block, variance)
        gap = dynamics_gap(self.models, block, footing.near, self.config.samples, generator)
        blind = rolled(self.models, block, footing.far, self.config.samples, generator)
        curve = reward_curve(refits, noises, live, self.labels.num_training, known["clean_labels"], rows)
        together = self.reward_in_time(refits, noises[0], footing)
        dreamed = Dreamed(gap.rolled, blind, footing, together.foreseeable, explained)
        past = Past(phase, block, dreamed, read, refits[-1] if refits else None, noises[1])
        measured = self.measured(past, (curve, together), (variance, explained), generator)
        scalars = {
            **_dynamics_scalars(gap, adjoint_gap(self.models, block, footing.near, self.config.samples, generator)),
            "gap/dynamics_rewards": blind.absolute(0.0),
            "gap/dynamics_rewards_signed": blind.signed(0.0),
            **_reward_scalars(refits, live, together.factor / rows),
            **_measured_scalars(measured, together),
            "gap/explained_variance": variance,
            "gap/explained_labels": explained,
            **judged,
            **bounds(self.models, block, live.abs() / rows, footing.near, generator),
        }
        scalars = {key: value for key, value in scalars.items() if not math.isnan(value)}
        return Findings(scalars, measured, **known)

    def footing(self, block: Block, explained: float) -> Footing:
        """explained: of the variance of held-out returns, by the critic."""
        discount = self.models.dynamics.config.discount
        near = horizon_for(block, self.horizon)
        far = max(near, horizon_for(block, min(SCORED - 1, round(1 / (1 - discount)))))
        return Footing(near, far, critic_trust(explained))

    def measured(
        self,
        past: "Past",
        reward: tuple[Curve, "InTime"],
        explained: tuple[float, float],
        generator: torch.Generator,
    ) -> Measured | None:
        """Both sides on one footing. How the dynamics error falls with data is read off the rewards, which every phase's
        models are asked about in the same way, and off the values only where no reward was in sight. None where there is no
        number.

        explained: of held-out returns by the critic, of held-out labels by the reward model.
        """
        level, share, (curve, together) = past.now.level, past.now.share, reward
        if not all(math.isfinite(value) and value > 0 for value in (level, share)) or not math.isfinite(explained[0]):
            return None
        dynamics, latents = self.past_curves(past, generator)
        return Measured(
            dynamics=dynamics,
            reward=curve,
            weights=(level / share, together.factor),
            explained_variance=explained[0],
            explained_labels=explained[1],
            log_spreads=(past.now.log_spread(self.seed), together.log_spread),
            latents=latents,
        )

    def read(self, step: float) -> Read:
        """The newest labels. step: part of one that refits take."""
        labels, heldout = (self.labels.newest(self.config.labels, is_heldout) for is_heldout in (False, True))
        return Read(*labels, *heldout, self.config.samples, self.config.refit_steps, step)

    def reward_in_time(self, refits: list[RefitError], noise: float, footing: Footing) -> "InTime":
        """From the errors that the refit with all labels makes."""
        rows, discount = self.labels.mean_rows, self.models.dynamics.config.discount
        horizons, alike, spread, foreseeable = (footing.near, footing.far), [USUAL_CORRELATION] * 2, UNLIKE, math.nan
        if refits and refits[-1].scored is not None:
            scored, answers = refits[-1].scored, self.labels.answers(most=self.config.labels)
            where = [one[scored.place] for one in (answers.env, answers.episode, answers.step)]
            errors = LabelErrors(scored.error, *where)
            clean = clean_part(refits[-1].squared, noise)
            alike = [correlation(errors, clean, horizon, rows) for horizon in horizons]
            spread = log_spread(np.abs(errors.error), errors.cluster, self.seed, clean)
            answered = LabelErrors(scored.value - scored.value.mean(), *where)
            foreseeable = deviation_ahead(answered, noise, footing.far, discount, rows)
        factors = [
            rows * horizon_factor(rho, horizon, discount, rows) for rho, horizon in zip(alike, horizons, strict=True)
        ]
        return InTime(footing.blend(*alike), footing.blend(*factors), spread, foreseeable)

    def predictor(self, phase: int) -> raters.Predict:
        """What raters are held against."""
        return predictor(self.models, derive_seed(self.seed, Channel.RATERS, phase))

    def _known(self, estimates: TierEstimates | None, residual: float) -> dict:
        """Of the raters; a model that has diverged knows nothing."""
        is_known = math.isfinite(residual)
        told, s0_squared = (estimates, residual) if is_known else (None, None)
        offers = raters.offers(self.labeler, told, s0_squared, self.label_money)
        bias = raters.held_bias(self.labels, told, s0_squared)
        return {
            "residual": s0_squared,
            "tiers": estimates,
            "clean_labels": raters.clean_equivalents(self.labels, told, s0_squared),
            "offers": tuple(replace(offer, held_bias=bias if offer.is_trusted else 0.0) for offer in offers),
        }

    def past_curves(self, past: "Past", generator: torch.Generator) -> tuple[Curve, Curve]:
        """Each phase's models on today's block, the error as a part of what there is to foresee: the scale of what models
        promise grows while they learn, and today's scale, as a weight, puts it back. A phase whose models explained nothing
        yet is left out: its errors say how little they were trained, not how little data they had.

        And today's labels read off the latents of the first of these phases and of one half way from it, in logs, the error on
        held-out episodes: what more transitions do for the reward model.
        """
        now, block, received = past.now, past.block, float(self.transitions.received)
        old, points, read, following = copy.deepcopy(self.models), [], [], 0.0
        is_read = bool(past.read.is_heldout_uniform.any())
        for snapshot in self.snapshots.before(past.phase, self.warn):
            if snapshot.explains(now.by) < LEAST_EXPLAINED:
                continue
            snapshot.put_into(old)
            then = rolled(old, block, now.horizon, self.config.samples, generator).share(now.by)
            count, recency = float(snapshot.transitions), RECENCY ** (past.phase - snapshot.phase)
            points.append((count, then, recency))
            if is_read and len(read) < PAST_READ and following <= count < received:
                read += [(count, recency, one) for one in past.read.errors(old, generator, (1.0,))]
                following = math.sqrt(count * received)
        points.append((received, now.share, 1.0))
        read += [(received, 1.0, past.refit)] if past.refit else []
        known = [(count, recency, *one.unseen(past.noise)) for count, recency, one in read]
        latents = [
            (count, level, recency * number / (number + FEW))
            for count, recency, level, number in known
            if math.isfinite(level) and number > 0
        ]
        return Curve.of([point for point in points if math.isfinite(point[1])]), Curve.of(latents)

    def reward_errors(self, generator: torch.Generator, read: Read) -> tuple[list[RefitError], Tensor]:
        """The refits' errors, and rhat - y (K,) of the ensemble in use on uniform labels of held-out episodes.

        Predictions are averaged over as many draws of the latents as the dynamics error is.
        """
        refits = read.errors(self.models, generator)
        if not len(read.heldout.value):
            return refits, read.heldout.value
        heldout, features = sampled(self.models, read.heldout, self.config.samples, generator)
        live = mean_prediction(self.models, features, heldout) - heldout.value
        return refits, live[read.is_heldout_uniform.to(live.device)]

    def label_noise(self, estimates: TierEstimates | None, is_heldout: bool = False) -> float:
        """Mean variance of the raters' noise in the labels that score an error: the newest, as `reward_errors` takes
        them. 0 where nothing is known of it."""
        if estimates is None:
            return 0.0
        answers = self.labels.answers(is_heldout, self.config.labels)
        variance = raters.noise_by_tier(self.labels, estimates)
        scored = answers.tier[answers.is_uniform]
        return float(variance[scored].mean()) if len(scored) else 0.0

    def _generator(self, channel: Channel, phase: int) -> torch.Generator:
        return torch.Generator(self.models.device).manual_seed(derive_seed(self.seed, channel, phase))


def reward_curve(
    refits: list[RefitError],
    noises: tuple[float, float],
    live: Tensor,
    training: int,
    clean: float,
    rows: float = 1.0,
) -> Curve:
    """Absolute errors of a row's reward without the raters' noise, against labels held, in clean equivalents.

    An answer about a clip tells the error of its sum; that of a row is counted as the sum's over its rows: what adds up.

    Each error is moved towards that of the same refit on held-out episodes, of which the latents tell less, as far as their
    labels can tell. The last point is moved towards the ensemble in use, in its level and in its count, as far as the labels of held-out
    episodes can tell of it, and the others with it.

    Args:
        noises: mean variances of the raters' noise in the labels that score the refits, and in those that score `live`.
        live: (K,) errors of the ensemble in use on labels of held-out episodes.
        training: labels that the ensemble learns from; the refits may have seen the newest of them alone.
        clean: clean equivalents of all labels held, those of held-out episodes, which train nothing, included.
        rows: that an answer is about, on average.
    """
    if not refits:
        return Curve((), (), ())
    levels, unseen = _levels(refits, noises)
    live_level = noise_free(float(live.abs().mean()), float((live**2).mean()), noises[1]) if len(live) else 0.0
    # A level that tells nothing moves nothing. One that is left after noise was taken off tells as much as one from fewer
    # labels without noise: the spread of a mean square does not shrink with it.
    is_told = live_level > 0 and math.isfinite(levels[-1])
    number = len(live) * clean_part(refits[-1].squared, noises[0]) ** 2 if is_told else 0
    nearer = moved(unseen, live_level, number)
    further = moved(refits[-1].count, training, number) * clean / max(1, training)
    # How the error falls is told by the refits with fewer labels only as far as noise does not hide it: levels that are nearly all
    # noise look alike, and the error as if labels did not help. The last one is what it falls from.
    points = [
        (
            one.count * further,
            level * nearer / rows,
            1.0 if one is refits[-1] else clean_part(one.squared, noises[0]) ** 2,
        )
        for one, level in zip(refits, levels, strict=True)
        if one.squared > 0 and math.isfinite(level)
    ]
    return Curve.of(points)


def _levels(refits: list[RefitError], noises: tuple[float, float]) -> tuple[list[float], float]:
    """Absolute errors without noise, moved towards those on held-out episodes, all by the same part of the way: the last one's,
    or the clearest would be moved furthest. And what that last one was moved to, which the ensemble in use is held against."""
    seen = [noise_free(one.absolute, one.squared, noises[0]) for one in refits]
    unseen = [one.unseen(noises[1])[0] for one in refits]
    last, number = refits[-1].unseen(noises[1])
    levels = [level * moved(level, other, number) for level, other in zip(seen, unseen, strict=True)]
    return levels, last if math.isfinite(last) and last > 0 else seen[-1]


@dataclass(frozen=True)
class Past:
    """What models of earlier phases are asked, and how today's answered."""

    phase: int
    block: Block
    now: Dreamed
    read: Read
    refit: RefitError | None  # today's, with all labels
    noise: float  # mean variance of the raters' noise in a label of held-out episodes


@dataclass(frozen=True)
class InTime:
    """How a row's reward error adds up."""

    correlation: float  # of the errors of rows within the horizon, 0 .. 1
    factor: float  # return units, recurring for ever, an error of one row
    log_spread: float  # standard error of the log of the mean error
    foreseeable: float = math.nan  # deviation of what the answers say of all rows in the horizon, in return units


def _dynamics_scalars(gap: DynamicsGap, adjoint: float) -> dict[str, float]:
    return {
        "gap/dynamics_one_step": gap.one_step,
        "gap/dynamics_one_step_signed": gap.one_step_signed,
        "gap/dynamics_steps": gap.many_steps,
        "gap/dynamics_steps_signed": gap.many_steps_signed,
        "gap/dynamics_ratio": gap.many_steps / gap.one_step if gap.one_step > 0 else math.nan,  # above 3: compounding
        "gap/dynamics_adjoint": adjoint,
        "gap/value_deviation": gap.value_deviation,
    }


def _reward_scalars(refits: list[RefitError], live: Tensor, factor: float) -> dict[str, float]:
    """factor: return units an error of an answer."""
    scalars = {}
    if refits:
        scalars |= {"gap/reward_signed": factor * refits[-1].signed, "gap/reward_refit": factor * refits[-1].absolute}
    if len(live):
        scalars |= {"gap/reward_heldout": factor * float(live.abs().mean())}
    return scalars


def _measured_scalars(measured: Measured | None, together: InTime) -> dict[str, float]:
    """What the next plan weighs, and how sure it is: 90 % intervals of both gaps."""
    scalars = {"gap/reward_correlation": together.correlation}
    if measured is None:
        return scalars
    sides = (("dynamics", measured.dynamics), ("reward", measured.reward))
    for (side, curve), weight, spread in zip(sides, measured.weights, measured.log_spreads, strict=True):
        if curve.errors:
            gap, wide = weight * curve.errors[-1], math.exp(NINETY_PERCENT * spread)
            scalars |= {f"gap/{side}": gap, f"gap/{side}_low": gap / wide, f"gap/{side}_high": gap * wide}
    return scalars | {"gap/critic_trust": measured.trust}
