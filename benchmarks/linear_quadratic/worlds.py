"""Linear-quadratic worlds: drawn at random, sold as transitions and labels, learned, and valued exactly.

The true system and the noise of its labels (World), what is for sale (Data), the system as learned from a part of it, the
errors of that as training would measure them, the exact gap, and the bounds above the gap. What is bought, and how much of
it, is not decided here: see experiment.py.
"""

from dataclasses import dataclass, replace

import numpy as np

from tandem.budget.market import Counts
from tandem.envs.toy import LinearQuadratic
from tandem.worldmodel.smoothness import horizon_weights, lemma_coefficients

DISCOUNT = 0.95
EPISODE = 50  # steps of an episode of the transitions for sale
EXPLORATION = 0.3  # standard deviation of what is added to the policy's actions there
HELDOUT_ROWS = 200


@dataclass(frozen=True)
class World:
    """A true system, the standard deviation of a label, and the policy u = -gain x that is judged: the best one."""

    system: LinearQuadratic
    label_noise: float
    gain: np.ndarray


def make_world(number: int) -> World:
    """Noise levels differ by an order of magnitude between worlds, so that their best splits do."""
    rng = np.random.default_rng([11, number])
    system = random_system(rng, rng.uniform(0.6, 0.95))
    noise, label_noise = np.exp(rng.uniform(np.log([0.05, 0.1]), np.log([0.5, 3.0])))
    return world_of(replace(system, noise=float(noise)), float(label_noise))


def world_of(system: LinearQuadratic, label_noise: float) -> World:
    return World(system, label_noise, system.optimal_gain(DISCOUNT))


def random_system(rng: np.random.Generator, radius: float) -> LinearQuadratic:
    """Two to four state numbers, one or two actions; `radius` of the uncontrolled system's eigenvalues."""
    num_states, num_actions = rng.integers(2, 5), rng.integers(1, 3)
    A = rng.standard_normal((num_states, num_states))
    B = rng.standard_normal((num_states, num_actions)) / np.sqrt(num_states)
    root = rng.standard_normal((num_states, num_states))
    Q = root @ root.T / num_states + 0.1 * np.eye(num_states)
    A *= radius / np.abs(np.linalg.eigvals(A)).max()
    return LinearQuadratic(A, B, Q, np.eye(num_actions), noise=0.0, start=1.0)


@dataclass(frozen=True)
class Data:
    """What is for sale, in the order in which it is bought. N transitions, L labels, F quadratic features."""

    inputs: np.ndarray  # (N, X+U), state and action
    arrived: np.ndarray  # (N, X)
    features: np.ndarray  # (L, F), of labelled steps: independent of the transitions
    labels: np.ndarray  # (L,)


def draw_data(world: World, seed: int, number: int) -> Data:
    rng = np.random.default_rng([12, seed])
    inputs, arrived = steps(world, number, rng)
    labelled, labelled_arrived = steps(world, number, rng)
    features = quadratic(labelled_arrived, labelled[:, arrived.shape[1] :])
    noise = world.label_noise * rng.standard_normal(len(features))
    return Data(inputs, arrived, features, features @ coefficients(world.system) + noise)


@dataclass(frozen=True)
class Rows:
    """Steps that train nothing. N rows, X state and U action numbers, F quadratic features."""

    inputs: np.ndarray  # (N, X+U)
    features: np.ndarray  # (N, F), of the states arrived at


def heldout(world: World) -> Rows:
    inputs, arrived = steps(world, HELDOUT_ROWS, np.random.default_rng(13))
    return Rows(inputs, quadratic(arrived, inputs[:, arrived.shape[1] :]))


def steps(world: World, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Whole episodes of the noisy policy, one after the other: (N, X+U) states and actions, (N, X) states arrived at."""
    system, gain = world.system, world.gain
    (num_states, num_actions), episodes = system.B.shape, -(-number // EPISODE)
    state = rng.uniform(-system.start, system.start, (episodes, num_states))
    inputs, arrived = [], []
    for _ in range(EPISODE):
        action = -state @ gain.T + EXPLORATION * rng.standard_normal((episodes, num_actions))
        inputs.append(np.concatenate([state, action], 1))
        state = state @ system.A.T + action @ system.B.T + system.noise * rng.standard_normal(state.shape)
        arrived.append(state)
    return tuple(np.stack(rows, 1).reshape(episodes * EPISODE, -1)[:number] for rows in (inputs, arrived))


def quadratic(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """All products of two state numbers, and of two action numbers: (N, F)."""
    return (
        np.concatenate([part[:, i] * part[:, j] for part, i, j in _pairs(states, actions)]).reshape(-1, len(states)).T
    )


def _pairs(*parts: np.ndarray) -> list[tuple[np.ndarray, int, int]]:
    return [(part, i, j) for part in parts for i, j in zip(*np.triu_indices(part.shape[1]), strict=True)]


def coefficients(system: LinearQuadratic) -> np.ndarray:
    """The reward's weights on the quadratic features, (F,)."""
    return np.array([-matrix[i, j] * (1 + (i != j)) for matrix, i, j in _pairs(system.Q, system.R)])


def learned(world: World, data: Data, counts: Counts) -> LinearQuadratic:
    """The system as learned from the first transitions and labels; a count of 0 stands for the truth."""
    model = world.system
    if counts.transitions:
        inputs, arrived = data.inputs[: counts.transitions], data.arrived[: counts.transitions]
        weights = least_squares(inputs, arrived)
        freedom = max(1, len(inputs) - inputs.shape[1])
        noise = np.sqrt(np.sum((arrived - inputs @ weights) ** 2) / (freedom * arrived.shape[1]))
        A, B = np.split(weights.T, [arrived.shape[1]], 1)
        model = replace(model, A=A, B=B, noise=float(noise))
    if counts.labels:
        weights = least_squares(data.features[: counts.labels], data.labels[: counts.labels])
        Q, R = np.zeros_like(model.Q), np.zeros_like(model.R)
        for weight, (matrix, i, j) in zip(weights, _pairs(Q, R), strict=True):
            matrix[i, j] = matrix[j, i] = -weight / (1 + (i != j))
        model = replace(model, Q=Q, R=R)
    return model


def least_squares(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """By the normal equations: of least norm where there are fewer rows than columns."""
    return np.linalg.lstsq(inputs.T @ inputs, inputs.T @ targets, rcond=None)[0]


def true_gap(world: World, model: LinearQuadratic) -> float:
    return abs(expected_return(model, world.gain) - expected_return(world.system, world.gain))


def regret(world: World, model: LinearQuadratic) -> float:
    """What the best policy of the model loses in the true system; infinite where there is none or it is unstable."""
    try:
        gain = model.optimal_gain(DISCOUNT)
    except (np.linalg.LinAlgError, ValueError):
        return np.inf
    return expected_return(world.system, world.gain) - expected_return(world.system, gain)


def expected_return(system: LinearQuadratic, gain: np.ndarray) -> float:
    """From a start uniform in the box, whose second moment is that of these points; -inf where it is unbounded."""
    num_states = len(system.A)
    points = system.start * np.sqrt(num_states / 3) * np.eye(num_states)
    try:
        return float(system.value(points, DISCOUNT, gain).mean())
    except ValueError:
        return -np.inf


def measured_dynamics(world: World, model: LinearQuadratic, rows: np.ndarray) -> float:
    """G_d of allocation.md, section 4, one step, for a reward paid on arrival: mean |Q(predicted) - Q(real)| / (1 -
    discount) on rows (N, X+U), Q = learned reward of a state + discount * its value in the model. The expectation over
    the noise of a transition is exact, as if many latent samples had been averaged."""
    try:
        matrix = curvature(model, world.gain)
    except ValueError:  # no bounded return under this model
        return np.inf
    predicted, real = (rows @ np.concatenate([one.A, one.B], 1).T for one in (model, world.system))
    chance = (model.noise**2 - world.system.noise**2) * np.trace(matrix)
    error = promise(matrix, predicted) - promise(matrix, real) - chance
    return float(np.abs(error).mean()) / (1 - DISCOUNT)


def promise(matrix: np.ndarray, states: np.ndarray) -> np.ndarray:
    """-x' M x for states (N, X): the model's reward of arriving there and its value from there, constants left out."""
    return -np.einsum("ni,ij,nj->n", states, matrix, states)


def curvature(model: LinearQuadratic, gain: np.ndarray) -> np.ndarray:
    """M (X, X), read off the values of the model at the axes and between them."""
    eye = np.eye(len(model.A))
    points = np.concatenate([eye[:, None] + eye[None], eye[:, None], np.zeros((len(eye), 1, len(eye)))], 1)
    values = model.value(points, DISCOUNT, gain)  # (X, X + 2): of sums of two axes, of the axis, of the origin
    squares = values[:, -1:] - values[:, :-1]
    sums, alone = squares[:, :-1], squares[:, -1]
    return model.Q + DISCOUNT * (sums - alone[:, None] - alone[None]) / 2


def measured_reward(world: World, model: LinearQuadratic, features: np.ndarray) -> float:
    """G_r, one step: mean |learned - true reward| / (1 - discount) on rows (N, F), as two answers a row would give."""
    error = features @ (coefficients(model) - coefficients(world.system))
    return float(np.abs(error).mean()) / (1 - DISCOUNT)


def with_growth(system: LinearQuadratic, rho: float) -> LinearQuadratic:
    """The system scaled until L_f (1 + L_pi) = rho under its own best policy."""
    low, high = 0.0, 10.0
    for _ in range(40):
        middle = (low + high) / 2
        candidate = replace(system, A=middle * system.A, B=middle * system.B)
        low, high = (middle, high) if growth(world_of(candidate, 0.0)) < rho else (low, middle)
    return candidate


def growth(world: World) -> float:
    """The lemma's L_f (1 + L_pi)."""
    step = np.concatenate([world.system.A, world.system.B], 1)
    return norm(step) * (1 + norm(world.gain))


def bounds(world: World, model: LinearQuadratic) -> dict[str, float]:
    """gamma rho, and the lemma's and the horizon's bound over the true gap. Largest errors and slopes are those at the
    states that either system visits under the policy, with the same noise."""
    system, gain, rho, policy_slope = world.system, world.gain, growth(world), norm(world.gain)
    states = np.concatenate([visited(one, gain) for one in (system, model)])
    actions = -states @ gain.T
    state_error = largest(states @ (model.A - system.A).T + actions @ (model.B - system.B).T)
    wrong = quadratic(states, actions) @ (coefficients(model) - coefficients(system))
    reward_slope = largest(2 * np.concatenate([states @ model.Q, actions @ model.R], 1))
    value_slope = largest(2 * states @ (curvature(model, gain) - model.Q) / DISCOUNT)
    # The reward is paid on arrival: its slope along the loop is L_r (rho + L_pi), and a wrong step is also a wrong reward.
    slope, reward_error = reward_slope * (rho + policy_slope), np.abs(wrong).max() + reward_slope * state_error
    weights = {
        "lemma": lemma_coefficients(DISCOUNT, rho, slope),
        "horizon": horizon_weights(DISCOUNT, rho, slope, value_slope, horizon=15, lam=0.95),
    }
    gap = true_gap(world, model)
    ratios = {name: (w_d * state_error + w_r * reward_error) / gap for name, (w_d, w_r) in weights.items()}
    return {"gamma_rho": DISCOUNT * rho, **ratios}


def visited(system: LinearQuadratic, gain: np.ndarray) -> np.ndarray:
    """States of the policy's own paths, all of them in rows of X."""
    rng, loop = np.random.default_rng(15), system.A - system.B @ gain
    states = [rng.uniform(-system.start, system.start, (64, len(loop)))]
    for _ in range(EPISODE):
        states.append(states[-1] @ loop.T + system.noise * rng.standard_normal(states[-1].shape))
    return np.concatenate(states)


def largest(rows: np.ndarray) -> float:
    return float(np.linalg.norm(rows, axis=1).max())


def norm(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix, 2))
