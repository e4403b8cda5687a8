"""How smooth the learned world is, and what theory says that its errors may cost: a diagnostic, never an input to buying.

Theory: "On Training in Imagination" (arXiv 2605.06732), lemma 1. rho is the growth of a small error of the state over
one closed-loop step, at most L_f (1 + L_pi); `reward` is the slope of the reward along the closed loop, at most
L_r (1 + L_pi).

Local constants are those of the expected model, whose stoch is the prior's probabilities. A sampled one-hot stoch is a
step function of the state: its derivative is zero almost everywhere and a finite difference of it measures chance. The
expected step has the gradient that straight-through training sees. Errors within a group of classes sum to zero, as
those of probabilities do.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vjp

from .dynamics import DynamicsModel
from .reward import RewardModel
from .rssm import Latent

ITERATIONS = 10  # on an untrained model of 128 + 16 x 16 features: at most .1 % too low
LARGE = 0.95  # quantile over states that stands for the largest


def lemma_coefficients(gamma: float, rho: float, reward: float) -> tuple[float, float]:
    """(w_d, w_r) of lemma 1: |J(M) - J(Mhat)| <= w_d eps_d + w_r eps_r, errors in the supremum norm.

    w_d = gamma reward / ((1 - gamma) (1 - gamma rho)) is infinite where gamma rho >= 1, and 0 for a constant reward.
    """
    _check_discount(gamma)
    w_r = 1.0 / (1.0 - gamma)
    if reward == 0.0:
        return 0.0, w_r
    return (gamma * reward * w_r / (1.0 - gamma * rho) if gamma * rho < 1.0 else math.inf), w_r


def horizon_weights(
    gamma: float, rho: float, reward: float, value: float, horizon: int, lam: float
) -> tuple[float, float]:
    """(w_d, w_r) where imagination restarts from real states, finite for every rho. value: slope of the critic.

    An n-step return has w_r(n) = sum_{t<n} gamma^t and w_d(n) = reward sum_{t<n} gamma^t S_t + gamma^n value S_n, with
    S_0 = 0, S_{t+1} = rho S_t + 1. A lambda-return mixes n = 1 .. horizon with p_n; as its critic is trained in the same
    imagination, both sums are divided by 1 - sum p_n gamma^n.
    """
    _check_discount(gamma)
    if horizon < 1:
        raise ValueError(f"horizon: must be 1 or more, got {horizon}")
    if not 0.0 <= lam <= 1.0:
        raise ValueError(f"lam: must be from 0 to 1, got {lam}")
    w_d = w_r = kept = growth = reward_part = horizon_part = 0.0
    for n in range(1, horizon + 1):
        reward_part += gamma ** (n - 1) * growth
        horizon_part += gamma ** (n - 1)
        growth = rho * growth + 1.0
        share = (1.0 - lam) * lam ** (n - 1) if n < horizon else lam ** (horizon - 1)
        w_d += share * (reward * reward_part + gamma**n * value * growth)
        w_r += share * horizon_part
        kept += share * gamma**n
    return w_d / (1.0 - kept), w_r / (1.0 - kept)


@dataclass(frozen=True)
class Smoothness:
    """Local Lipschitz constants in Euclidean norms of features and actions: median and 95th percentile over states."""

    rho: float  # of one closed-loop step, from features to features
    rho_p95: float
    dynamics_state: float  # of one step, its action held
    dynamics_state_p95: float
    dynamics_action: float  # of one step, its state held; per unit of action
    dynamics_action_p95: float
    policy: float  # action per feature
    policy_p95: float
    reward: float  # raw reward per feature
    reward_p95: float
    value: float  # raw return per feature
    value_p95: float


def lemma_bound(smoothness: Smoothness, dynamics_error: float, reward_error: float, gamma: float) -> float:
    """Lemma 1's bound on the return gap, the large local constants standing for the global ones; may be infinite.

    dynamics_error: largest distance, in feature units, of the predicted from the true next state; reward_error: largest
    error of the reward on true states. The reward belongs to the row arrived at, and reads the state alone: its slope
    along the closed loop is reward * rho, and an error of the step itself is also one of its reward.
    """
    reward = smoothness.reward_p95
    w_d, w_r = lemma_coefficients(gamma, smoothness.rho_p95, reward * smoothness.rho_p95)
    state_part = w_d * dynamics_error if dynamics_error else 0.0  # no error stays none where the weight is infinite
    return state_part + w_r * (reward_error + reward * dynamics_error)


@torch.no_grad()  # the derivatives below ask for gradient themselves
def smoothness(
    dynamics: DynamicsModel,
    reward: RewardModel,
    policy_mean: Callable[[Tensor], Tensor],
    value: Callable[[Tensor], Tensor],
    latent: Latent,
    generator: torch.Generator,
) -> Smoothness:
    """Local constants at `latent` (N, ...), by exact derivatives.

    policy_mean: features (N, F) -> expected actions (N, A), differentiable (class probabilities where actions are
    discrete: the derivative of a mode is zero); value: (N, F) -> (N,). `generator`, on the latent's device, draws the
    directions to start the search of the largest stretch from.
    """
    feat = latent.feat
    action = policy_mean(feat)
    model = _ExpectedStep(dynamics)

    def norm(function: Callable[[Tensor], Tensor], point: Tensor, keep: Callable[[Tensor], Tensor]) -> Tensor:
        start = torch.randn(point.shape, generator=generator, device=point.device)
        return largest_stretch(function, point, start, keep)

    constants = {
        "rho": norm(lambda x: model.step(x, policy_mean(x)), feat, model.tangent),
        "dynamics_state": norm(lambda x: model.step(x, action), feat, model.tangent),
        "dynamics_action": norm(lambda u: model.step(feat, u), action, _all_directions),
        "policy": norm(policy_mean, feat, model.tangent),
        "reward": model.tangent(_gradient(reward.predict, feat)).norm(dim=-1),
        "value": model.tangent(_gradient(value, feat)).norm(dim=-1),
    }
    levels = torch.tensor([0.5, LARGE], device=feat.device)
    quantiles = torch.stack(list(constants.values())).quantile(levels, dim=1).T.tolist()
    names = [name for constant in constants for name in (constant, f"{constant}_p95")]
    return Smoothness(**dict(zip(names, (number for pair in quantiles for number in pair), strict=True)))


class _ExpectedStep:
    """One prior step between feature vectors (N, F), its stoch the prior's probabilities."""

    def __init__(self, dynamics: DynamicsModel):
        self.rssm, self.deter_size = dynamics.rssm, dynamics.config.deter
        self.weights = self.rssm.scan_weights()

    def step(self, feat: Tensor, action: Tensor) -> Tensor:
        deter, stoch = feat.split([self.deter_size, feat.shape[-1] - self.deter_size], -1)
        deter = self.rssm.core_step(deter, stoch, self.rssm.action_input(action, self.weights), self.weights)
        return Latent(deter, self.rssm.prior_probs(deter)).feat

    def tangent(self, direction: Tensor) -> Tensor:
        """The part of a direction (N, F) along which every group of classes keeps its sum."""
        deter, stoch = direction.split([self.deter_size, direction.shape[-1] - self.deter_size], -1)
        groups = stoch.unflatten(-1, (self.rssm.stoch, self.rssm.classes))
        return Latent(deter, groups - groups.mean(-1, keepdim=True)).feat


def largest_stretch(
    function: Callable[[Tensor], Tensor],
    point: Tensor,
    start: Tensor,
    keep: Callable[[Tensor], Tensor],
) -> Tensor:
    """Largest singular value of the Jacobian of each row of `function` (N, P) -> (N, Q): (N,), never above the true one.

    By Golub and Kahan's bidiagonalisation, of which a few steps do what many of the power method would. start (N, P):
    directions to begin with; keep: projection on the directions that are allowed.
    """
    # vjp gives a third value only where the function has one to pass on, and none here has.
    output, pull, *_ = vjp(function, point)  # cotangent (N, Q) -> (N, P)
    # Its transpose: the Jacobian itself.
    _, push, *_ = vjp(lambda cotangent: pull(cotangent)[0], torch.zeros_like(output))
    right, left, beta = _unit(keep(start)), torch.zeros_like(output), torch.zeros_like(output[:, :1])
    diagonal, above = [], []
    for _ in range(ITERATIONS):
        left = push(right)[0] - beta * left
        alpha, left = left.norm(dim=-1, keepdim=True), _unit(left)
        right = keep(pull(left)[0]) - alpha * right
        beta, right = right.norm(dim=-1, keepdim=True), _unit(right)
        diagonal.append(alpha)
        above.append(beta)
    bidiagonal = torch.diag_embed(torch.cat(diagonal, -1)) + torch.diag_embed(torch.cat(above[:-1], -1), offset=1)
    is_finite = bidiagonal.isfinite().all(-1).all(-1)  # a model that has diverged has no slope
    norms = torch.linalg.matrix_norm(torch.where(is_finite[:, None, None], bidiagonal, 0.0), 2)
    return torch.where(is_finite, norms, torch.nan)


def _gradient(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    value, pull, *_ = vjp(function, point)
    return pull(torch.ones_like(value))[0]


def _unit(direction: Tensor) -> Tensor:
    """Zero where the function is flat."""
    return direction / direction.norm(dim=-1, keepdim=True).clamp(min=1e-30)


def _all_directions(direction: Tensor) -> Tensor:
    return direction


def _check_discount(gamma: float) -> None:
    if not 0.0 <= gamma < 1.0:
        raise ValueError(f"gamma: must be at least 0 and below 1, got {gamma}")
