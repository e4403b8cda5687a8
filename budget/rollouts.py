"""Noise against fidelity where raters score each rollout directly (theorem 2 of arXiv 2605.06732).

K rollouts of H steps give a policy gradient of variance (V0 + V1 sigma^2) / K: V0 from the rollouts themselves, V1 a unit of
reward noise. m answers a step leave sigma^2 = s^2 / m of a rater's variance s^2. Both V are to be estimated from gradients
of single rollouts: the theorem's own bound is some hundred times too large.
"""

import math
from dataclasses import dataclass

from .money import budget_in_micro, price_in_micro
from .scaling import check_positive_pair

_FEW = 64  # rollouts, up to which rounding their number matters


@dataclass(frozen=True)
class RolloutPlan:
    rollouts: int  # K
    replication: int  # m, answers a step
    variance: float  # of the policy gradient


def best_replication(
    variances: tuple[float, float], rater_variance: float, price_rollout: float, price_label: float, horizon: int
) -> float:
    """m* = sqrt(V1 s^2 c_roll / (V0 H c_1)), not rounded."""
    own, noise = variances
    return math.sqrt(noise * rater_variance * price_rollout / (own * horizon * price_label))


def best_rollouts(
    budget: float,
    variances: tuple[float, float],
    rater_variance: float,
    price_rollout: float,
    price_label: float,
    horizon: int,
) -> RolloutPlan:
    """The whole K and m of least gradient variance that `budget` (coins) pays for; beyond 64 rollouts to within a percent.

    Raises:
        ValueError: "<argument>: ...", out of range or a budget below one rollout with one answer a step.
    """
    _check(variances, rater_variance, price_rollout, price_label, horizon)
    money, per_rollout = budget_in_micro(budget), price_in_micro(price_rollout)
    per_answer = horizon * price_in_micro(price_label)
    wanted = max(1.0, best_replication(variances, rater_variance, price_rollout, price_label, horizon))
    replications = {1, math.floor(wanted), math.ceil(wanted)}
    # Few rollouts leave much money over by rounding: then it buys further answers.
    for rollouts in range(1, _FEW + 1):
        replications.add(max(1, (money // rollouts - per_rollout) // per_answer))
    plans = []
    for replication in replications:
        if rollouts := money // (per_rollout + replication * per_answer):
            variance = (variances[0] + variances[1] * rater_variance / replication) / rollouts
            plans.append(RolloutPlan(rollouts, replication, variance))
    if not plans:
        raise ValueError(
            f"budget: must pay for one scored rollout, {price_rollout + horizon * price_label:g}, got {budget}"
        )
    return min(plans, key=lambda plan: (plan.variance, plan.replication))


def _check(variances, rater_variance, price_rollout, price_label, horizon) -> None:
    check_positive_pair("gradient_variance", variances)
    for field, value in (("price_rollout", price_rollout), ("price_label", price_label)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{field}: must be positive and finite, got {value}")
    if not (math.isfinite(rater_variance) and rater_variance >= 0):
        raise ValueError(f"rater_variance: must be 0 or more and finite, got {rater_variance}")
    if horizon < 1:
        raise ValueError(f"horizon: must be 1 or more, got {horizon}")
