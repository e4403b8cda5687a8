"""A linear-quadratic system of which everything is known: dynamics, reward, optimal policy, values."""

from dataclasses import dataclass, field

import gymnasium
import numpy as np
import scipy.linalg
from gymnasium.spaces import Box, Dict

EPISODE_LENGTH = 200  # steps; the cut is a truncation, so values are those of the endless system


def _double_integrator() -> np.ndarray:
    return np.array([[1.0, 0.1], [0.0, 1.0]])


@dataclass(frozen=True)
class LinearQuadratic:
    """x' = A x + B u + noise; arriving at x' gives the reward -(x' Q x' + u R u). X state numbers, U action numbers.

    The value of a state is -x P x - c. With M = Q + discount P, Bellman's equation gives, the square completed, P =
    A'MA - A'MB (R + B'MB)^-1 B'MA: M solves the usual Riccati equation of sqrt(discount) A, sqrt(discount) B,
    discount R.
    """

    A: np.ndarray = field(default_factory=_double_integrator)  # (X, X)
    B: np.ndarray = field(default_factory=lambda: np.array([[0.0], [0.1]]))  # (X, U)
    Q: np.ndarray = field(default_factory=lambda: np.diag([1.0, 0.1]))  # (X, X)
    R: np.ndarray = field(default_factory=lambda: np.array([[0.5]]))  # (U, U)
    noise: float = 0.01  # standard deviation of every state number's noise, each step
    start: float = 0.3  # the first state is uniform in [-start, start]: from there the best actions stay within [-1, 1]

    def reward(self, action: np.ndarray, next_state: np.ndarray) -> float:
        """(U,), (X,) -> the reward of the row arrived at."""
        return -float(next_state @ self.Q @ next_state + action @ self.R @ action)

    def optimal_gain(self, discount: float) -> np.ndarray:
        """K (U, X) of the best policy u = -K x, the clip of actions at [-1, 1] aside."""
        M = self._optimal_cost(discount)
        return np.linalg.solve(self.R + self.B.T @ M @ self.B, self.B.T @ M @ self.A)

    def value(self, state: np.ndarray, discount: float, gain: np.ndarray | None = None) -> np.ndarray:
        """Expected discounted return from `state` (..., X) -> (...), under u = -gain x (default: the best policy).

        The policy's own cost M solves M = Q + discount (A - BK)' M (A - BK) + discount K'RK.
        ValueError where the policy is so unstable that the discounted return is unbounded.
        """
        K = self.optimal_gain(discount) if gain is None else gain
        closed = self.A - self.B @ K
        if discount * np.abs(np.linalg.eigvals(closed)).max() ** 2 >= 1:
            raise ValueError(f"gain: {K.tolist()} does not bound the return at discount {discount}")
        M = scipy.linalg.solve_discrete_lyapunov(np.sqrt(discount) * closed.T, self.Q + discount * K.T @ self.R @ K)
        P = (M - self.Q) / discount
        constant = self.noise**2 * np.trace(M) / (1 - discount)
        return -np.einsum("...i,ij,...j->...", state, P, state) - constant

    def _optimal_cost(self, discount: float) -> np.ndarray:
        root = np.sqrt(discount)
        return scipy.linalg.solve_discrete_are(root * self.A, root * self.B, self.Q, discount * self.R)


class ToyEnv(gymnasium.Env):
    """The system as an environment: observes {"state": (X,)}, clips actions to [-1, 1], ends at EPISODE_LENGTH."""

    def __init__(self, system: LinearQuadratic | None = None):
        self.system = system or LinearQuadratic()
        num_states, num_actions = self.system.B.shape
        self.observation_space = Dict({"state": Box(-np.inf, np.inf, (num_states,), np.float32)})
        self.action_space = Box(-1.0, 1.0, (num_actions,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self._num_steps = 0
        self._state = self.np_random.uniform(-self.system.start, self.system.start, self.system.A.shape[0])
        return {"state": self._state.astype(np.float32)}, {}

    def step(self, action: np.ndarray):
        system = self.system
        action = np.clip(action, -1.0, 1.0).astype(np.float64)
        noise = system.noise * self.np_random.standard_normal(self._state.shape)
        self._state = system.A @ self._state + system.B @ action + noise
        self._num_steps += 1
        is_truncated = self._num_steps >= EPISODE_LENGTH
        return {"state": self._state.astype(np.float32)}, system.reward(action, self._state), False, is_truncated, {}
