"""How the errors of single answers add up along an episode, and how sure a mean of them is.

A reward model that is wrong about a row is wrong about its neighbours too, but not about all that follow: a sum over H rows
errs by less than H times a row, and by more than sqrt(H) times. Where labels stand near one another in an episode, they tell.
"""

import math
from dataclasses import dataclass

import numpy as np

USUAL_CORRELATION, WORTH = 0.5, 32.0  # of the errors of rows within a horizon: a belief, which stands for so many pairs
RESAMPLES = 200
UNLIKE = 1.0  # standard deviation of the log of an episode's mean error around that of all


@dataclass(frozen=True)
class LabelErrors:
    """Errors rhat - y of n answers about the `rows` rows that end in each step, (n,) each; in the order of the answers."""

    error: np.ndarray  # float, reward units, of a clip that of its sum
    env: np.ndarray  # int
    episode: np.ndarray  # int: with env, one number for an episode
    step: np.ndarray  # int

    @property
    def cluster(self) -> np.ndarray:
        """(n,) one number for an episode, from 0 on."""
        return np.unique(np.stack([self.env, self.episode], 1), axis=0, return_inverse=True)[1].reshape(-1)


def correlation(errors: LabelErrors, clean_part: float, horizon: int, rows: float = 1.0) -> float:
    """Of the errors of answers that stand from `rows` to `horizon` rows apart in one episode, 0 .. 1; few such pairs leave
    the usual one.

    clean_part: of the mean squared error, what is no rater's noise, 0 .. 1: noise of two answers is not correlated.
    """
    order = np.lexsort((errors.step, errors.cluster))
    error, cluster, step = errors.error[order], errors.cluster[order], errors.step[order]
    products = [np.zeros(0)]
    for apart in range(1, horizon):  # in the order: further ones are further apart in the episode too
        distance = step[apart:] - step[:-apart]
        is_near = (cluster[apart:] == cluster[:-apart]) & (distance >= rows) & (distance < horizon)
        products.append((error[apart:] * error[:-apart])[is_near])
    found = np.concatenate(products)
    variance = clean_part * float((error**2).mean()) if len(error) else 0.0
    if not len(found) or not (math.isfinite(variance) and variance > 0):
        return USUAL_CORRELATION
    measured = float(found.mean()) / variance
    return min(max((len(found) * measured + WORTH * USUAL_CORRELATION) / (len(found) + WORTH), 0.0), 1.0)


def horizon_factor(correlation: float, horizon: int, discount: float, rows: float = 1.0) -> float:
    """What the error of an answer about `rows` rows is multiplied with to be that of `horizon` rows, recurring for ever:
    return units an error. With a correlation of 1 and a row an answer it is 1 / (1 - discount)."""
    parts = max(1, round(horizon / rows))
    weights = discount ** (rows * np.arange(parts))
    together = math.sqrt((1 - correlation) * float((weights**2).sum()) + correlation * float(weights.sum()) ** 2)
    return together * horizon / (parts * rows) / (1 - discount**horizon)


def deviation_ahead(
    answers: LabelErrors, noise_variance: float, horizon: int, discount: float, rows: float = 1.0
) -> float:
    """Standard deviation of what `horizon` rows bring, recurring for ever, in return units: what there is to foresee.

    answers: `error` holds answers minus their mean. noise_variance: of the raters' noise in one.
    """
    squared = float((answers.error**2).mean()) if len(answers.error) else 0.0
    clean = max(squared - noise_variance, 0.0)
    alike = correlation(answers, clean / squared if squared > 0 else 1.0, horizon, rows)
    return math.sqrt(clean) * horizon_factor(alike, horizon, discount, rows)


def log_spread(size: np.ndarray, cluster: np.ndarray, seed: int, clean_part: float = 1.0) -> float:
    """Standard error of the logarithm of a mean of sizes (n,): what drawing whole episodes (`cluster`, (n,)) anew shows and,
    since few episodes do not show how unlike others may be, as much as their number leaves open. Without episodes, or where
    all is zero, that of one.

    clean_part: of the mean square of the sizes. What is left once noise is taken off is as uncertain as all of it was, and so
    the more beside itself."""
    _, index = np.unique(cluster, return_inverse=True)
    sums, counts = np.bincount(index, size), np.bincount(index)
    if not len(sums) or not (np.isfinite(sums).all() and sums.sum() > 0):
        return UNLIKE
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)
    means = (drawn @ sums) / (drawn @ counts)
    seen = float(np.log(np.maximum(means, means.max() * 1e-6)).std())
    return math.hypot(seen / clean_part, UNLIKE / math.sqrt(len(sums)))
