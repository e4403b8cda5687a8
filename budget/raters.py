"""What repeated and gold answers say about a rater: how noisy it is, and how much of its bias is left unexplained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PRIOR_PAIRS = 4  # a belief about the noise stands for as many duplicate pairs as are missing to these
GOLD_TO_START = 100  # gold pairs below which a bias is never thought to be less than was feared
GOLD_TO_TRUST = 200  # gold pairs from which on a rater is known, and fewer of its items are checked
LEAST_FITTED = 20  # gold pairs below which nothing is regressed
EVIDENCE_GAIN = 3.0  # in log evidence: what a bias must explain to be corrected
CHANGE_GAIN = 5.0  # in log evidence: what two times must explain better than one, for older pairs to be forgotten
CHANGE_PAIRS = (25, 50, 100, 200, 400)  # newest gold pairs that are tried as the time after a change
CONFIDENCE = 0.95
TAIL = 4  # degrees of freedom of the prior of a bias: a wrong belief gives way to a few dozen pairs
_RATIOS = np.concatenate([[0.0], np.logspace(-6, 6, 241)])  # variance of a weight over that of the noise; 0: no bias


@dataclass(frozen=True)
class NoiseEstimate:
    """Of one rater's answers about the same item. What an item flips at random counts as noise."""

    variance: float  # reward units squared
    deviation: float = 0.0  # standard error of the variance
    pairs: int = 0  # duplicate pairs that it rests on (degrees of freedom)

    def averaged(self, part: float) -> "NoiseEstimate":
        """Of means over several answers, in which so much of the variance is left."""
        return NoiseEstimate(part * self.variance, part * self.deviation, self.pairs)


@dataclass(frozen=True)
class BiasEstimate:
    """Of one rater against the gold tier. `weights` belong to a constant and the standardised features."""

    bound: float  # 95 % upper bound of the mean squared bias that no correction removes, reward units squared
    expected: float = 0.0  # the square of what its root is expected to be: for whoever cannot pay for more certainty
    gain: float = 0.0  # log evidence of the regression over "no bias"
    pairs: int = 0  # gold pairs since the last change
    weights: tuple[float, ...] = ()  # what to take off the answers; empty where the gain is too small to correct

    def correction(self, features: np.ndarray) -> np.ndarray:
        """features (n, k), standardised like those of the estimate -> (n,) to be subtracted from the answers."""
        return _design(features) @ np.array(self.weights) if self.weights else np.zeros(len(features))


def estimate_noise(item: np.ndarray, value: np.ndarray, prior_variance: float | None = None) -> NoiseEstimate:
    """sigma^2 = mean (y1 - y2)^2 / 2 over duplicate pairs; with more answers an item, the variance within items.

    Args:
        item, value: (n,) what an answer is about, any whole numbers, and the answer; one rater's.
        prior_variance: a belief, which fills up to PRIOR_PAIRS pairs: more of it would never be forgotten where it is
            orders of magnitude too large. None: none.

    Raises:
        ValueError: "prior_variance: ..." where there is neither a belief nor a single pair.
    """
    _, index, counts = np.unique(item, return_inverse=True, return_counts=True)
    centred = value - (np.bincount(index, value) / counts)[index] if len(value) else value
    pairs = int((counts - 1).sum())
    if prior_variance is None and not pairs:
        raise ValueError("prior_variance: must be given for a tier without duplicate answers, got None")
    prior_pairs = 0 if prior_variance is None else max(0, PRIOR_PAIRS - pairs)
    squares = np.bincount(index, centred**2)[counts > 1] if pairs else np.zeros(0)
    variance = (squares.sum() + prior_pairs * (prior_variance or 0.0)) / (pairs + prior_pairs)
    gaussian = variance * math.sqrt(2 / (pairs + prior_pairs))
    empirical = squares.std() * math.sqrt(len(squares)) / (pairs + prior_pairs) if pairs else 0.0  # flips: heavy tails
    return NoiseEstimate(float(variance), float(max(gaussian, empirical)), pairs)


def estimate_bias(
    difference: np.ndarray, features: np.ndarray, noises: Sequence[NoiseEstimate], prior_variance: float
) -> BiasEstimate:
    """The bias of a rater from items that the gold tier answered too, in the order they were answered.

    The difference is regressed on a constant and the features with a common prior variance of the weights, chosen by
    the evidence (empirical Bayes); only where the log evidence beats "no bias" by more than EVIDENCE_GAIN is it corrected.
    The bound is about what remains, a left-one-out difference being normal with the variance of both answers' noise and
    of the bias left: the 95 % point of the latter's posterior, under a half-t prior of scale sqrt(prior_variance). So it
    is 2.8 times that scale without gold, in deviations, and below GOLD_TO_START pairs never less than the scale itself.
    Pairs from before a change of the bias are forgotten.

    Args:
        difference: (n,) the rater's answer less the gold one.
        features: (n, k) standardised.
        noises: of the two answers, those that are known: what is not known is not taken off.
        prior_variance: mean squared bias to be feared; positive.
    """
    start = _last_change(difference, features)
    difference, features = difference[start:], features[start:]
    fit = _Fit(difference, _design(features)) if len(difference) >= LEAST_FITTED else None
    evident = fit if fit is not None and fit.gain > EVIDENCE_GAIN else None
    left = evident.left_out() if evident else difference
    bound, expected = _left_over(left**2, noises, prior_variance)
    return BiasEstimate(
        bound=bound,
        expected=expected,
        gain=fit.gain if fit else 0.0,
        pairs=len(difference),
        weights=tuple(evident.weights().tolist()) if evident else (),
    )


def _left_over(squares: np.ndarray, noises: Sequence[NoiseEstimate], prior_variance: float) -> tuple[float, float]:
    """Upper bound and expectation. The posterior is evaluated on a grid of log-spaced deviations."""
    scale = math.sqrt(max(prior_variance, 1e-12))
    largest = math.sqrt(squares.mean()) if len(squares) else 0.0
    deviations = np.geomspace(1e-3 * scale, 20 * max(scale, largest), 800)
    log_prior = -(TAIL + 1) / 2 * np.log1p(deviations**2 / (TAIL * scale**2)) + np.log(deviations)  # of the logs' grid
    total = sum(one.variance for one in noises) + deviations**2
    likelihood = -_worth(squares, noises) / 2 * (np.log(total) + squares.mean() / total) if len(squares) else 0.0
    log_posterior = log_prior + likelihood
    posterior = np.exp(log_posterior - log_posterior.max())
    posterior /= posterior.sum()
    place = np.searchsorted(np.cumsum(posterior), CONFIDENCE)
    bound = float(deviations[min(place, len(deviations) - 1)] ** 2)
    expected = float(posterior @ deviations) ** 2
    return bound if len(squares) >= GOLD_TO_START else max(bound, prior_variance), expected


def _worth(squares: np.ndarray, noises: Sequence[NoiseEstimate]) -> float:
    """How many pairs of normal differences and known noise would tell as much: fewer than there are where flips make
    tails heavy, and where the noise that is taken off is itself in doubt."""
    mean = squares.mean()
    if mean == 0:
        return float(len(squares))
    variances = [max(2 * mean**2, squares.var()) / len(squares), *(one.deviation**2 for one in noises)]
    return float(2 * mean**2 / sum(variances))


def _last_change(difference: np.ndarray, features: np.ndarray) -> int:
    """Where the newest pairs begin that follow another law than the older ones; 0 where one law explains all."""
    design, best, start = _design(features), CHANGE_GAIN, 0
    for newest in CHANGE_PAIRS:
        cut = len(difference) - newest
        if cut < LEAST_FITTED:
            break
        parts = [_Fit(difference[rows], design[rows]) for rows in (slice(0, cut), slice(cut, None), slice(None))]
        gain = parts[0].log_evidence + parts[1].log_evidence - parts[2].log_evidence
        if gain > best:
            best, start = gain, cut
    return start


def _design(features: np.ndarray) -> np.ndarray:
    """(n, k) -> (n, 1 + k)"""
    return np.column_stack([np.ones(len(features)), features])


class _Fit:
    """Bayesian linear regression: weights N(0, ratio s^2), noise N(0, s^2), with s^2 and the ratio at their most evident.

    With the singular values of the design the evidence of every ratio is a sum over its few directions.
    """

    def __init__(self, target: np.ndarray, design: np.ndarray):
        self.target, self.design = target, design
        self.left, self.singular, self.right = np.linalg.svd(design, full_matrices=False)
        self.along = self.left.T @ target
        shrunk = 1 / (1 + np.outer(_RATIOS, self.singular**2))  # (R, k)
        rest = max(0.0, float(target @ target - self.along @ self.along))
        least = 1e-12 * float(target @ target) + 1e-300  # an exact law has no noise, but its log must be finite
        variance = np.maximum(rest + (self.along**2 * shrunk).sum(1), least) / len(target)
        evidence = -len(target) / 2 * (np.log(2 * np.pi * variance) + 1) + np.log(shrunk).sum(1) / 2
        best = int(evidence.argmax())
        self.log_evidence, self.gain = float(evidence[best]), float(evidence[best] - evidence[0])
        self.kept = 1 - shrunk[best]  # (k,) part of each direction that the prior lets through

    def weights(self) -> np.ndarray:
        return self.right.T @ (self.kept * self.along / np.maximum(self.singular, 1e-12))

    def left_out(self) -> np.ndarray:
        """(n,) what is left of each target when the others alone predict it."""
        leverage = (self.left**2 * self.kept).sum(1)
        return (self.target - self.left @ (self.kept * self.along)) / np.maximum(1 - leverage, 1e-6)
