"""Is the split right where everything is known? Linear-quadratic systems, learned and valued exactly (experiment A).

    python benchmarks/linear_quadratic.py [--worlds 8] [--seeds 48]

Random stable systems with noisy transitions and noisy labels. Dynamics are learned by least squares from transitions of a
noisy policy, the reward by regression of labels on quadratic features. The policy that is judged is the best one of the
true system; its gap is the difference of its exact returns in the learned and in the true system. Finished cells are kept
in benchmarks/results/linear_quadratic.json and skipped on a rerun; the table and the figure lie beside it.
"""

import argparse
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from cells import MACHINE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from PIL import Image
from regret import LeastSquares, MemoryPurse, line

from budget.allocator import Allocator, AllocatorConfig, Evidence, Measured, make_allocator
from budget.market import Counts, Market, at_label_share, coupled, split
from budget.money import MICRO
from budget.scaling import Curve, PowerLaw
from envs.toy import LinearQuadratic
from training.figures import CURVES, LABELS, LIMIT, PREDICTED, TRANSITIONS
from worldmodel.smoothness import horizon_weights, lemma_coefficients

RESULTS = Path(__file__).parent / "results"
DISCOUNT = 0.95
MONEY = 40_000  # coins; a transition costs 1
PRICES = (1, 10, 100)  # of a label
SHARES = tuple(np.linspace(0.04, 0.96, 24).round(3).tolist())  # of spend on labels
FIXED = {"fifty_fifty": 0.5, "labels_20": 0.2, "labels_80": 0.8}
PHASES, PILOT_SHARE, PILOT = 12, 0.06, Counts(100, 32)
EPISODE = 50  # steps of an episode of the transitions for sale
EXPLORATION = 0.3  # standard deviation of what is added to the policy's actions there
TRAINED_SHARE = 0.9  # of the transitions of methods that measure; the rest is held out
HELDOUT_ROWS = 200
SHOWN_EVERY = 3  # phases
RECENCY = 0.9  # weight of a phase's dynamics error, for each phase that has passed since
SIDES = ("dynamics", "reward")
REFITS = (0.125, 0.25, 0.5, 1.0)
CURVE_COUNTS = tuple(2**k for k in range(6, 16))
BOUND_SYSTEMS = 600
BOUND_BINS = ((0.3, 0.6), (0.6, 0.9), (0.9, 1.0), (1.0, 1.2), (1.2, 1.5))
BAND = (0.1, 0.5, 0.9)  # quantiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=8, help="random systems")
    parser.add_argument("--seeds", type=int, default=48, help="draws of the data in each of them")
    options = parser.parse_args()
    kept = Kept(RESULTS / "linear_quadratic.json", f"{options.seeds} seeds")
    results = {"bound": kept.cell("bound", bound_cell)}
    for number in range(options.worlds):
        world, cells = make_world(number), cells_of(number)
        is_complete = all(map(kept.has, cells))
        draws = [] if is_complete else [draw_data(world, seed) for seed in range(options.seeds)]
        results |= {name: kept.cell(name, partial(make, world, draws)) for name, make in cells.items()}
    RESULTS.joinpath("linear_quadratic.md").write_text(table(results, options.worlds, options.seeds))
    save(figure(results, options.worlds), RESULTS / "linear_quadratic.png")


class Kept:
    """Results in a JSON file, each under its name and with the settings it was made with."""

    def __init__(self, file: Path, settings: str):
        self.file, self.settings = file, settings
        self.cells = json.loads(file.read_text())["cells"] if file.exists() else {}

    def has(self, name: str) -> bool:
        return self.cells.get(name, {}).get("settings") == self.settings

    def cell(self, name: str, make: Callable[[], dict]) -> dict:
        """What was kept under these settings, else what `make` gives now."""
        if not self.has(name):
            self.cells[name] = {"settings": self.settings, **make()}
            temporary = self.file.with_suffix(".tmp")
            temporary.write_text(json.dumps({"machine": MACHINE, "cells": self.cells}) + "\n")
            os.replace(temporary, self.file)
            print(f"{name} done", flush=True)
        return self.cells[name]


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


@dataclass(frozen=True)
class Rows:
    """Steps that train nothing. N rows, X state and U action numbers, F quadratic features."""

    inputs: np.ndarray  # (N, X+U)
    features: np.ndarray  # (N, F), of the states arrived at


def heldout(world: World) -> Rows:
    inputs, arrived = steps(world, HELDOUT_ROWS, np.random.default_rng(13))
    return Rows(inputs, quadratic(arrived, inputs[:, arrived.shape[1] :]))


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


def draw_data(world: World, seed: int, number: int = MONEY) -> Data:
    rng = np.random.default_rng([12, seed])
    inputs, arrived = steps(world, number, rng)
    labelled, labelled_arrived = steps(world, number, rng)
    features = quadratic(labelled_arrived, labelled[:, arrived.shape[1] :])
    noise = world.label_noise * rng.standard_normal(len(features))
    return Data(inputs, arrived, features, features @ coefficients(world.system) + noise)


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


def expected_return(system: LinearQuadratic, gain: np.ndarray) -> float:
    """From a start uniform in the box, whose second moment is that of these points; -inf where it is unbounded."""
    num_states = len(system.A)
    points = system.start * np.sqrt(num_states / 3) * np.eye(num_states)
    try:
        return float(system.value(points, DISCOUNT, gain).mean())
    except ValueError:
        return -np.inf


def true_gap(world: World, model: LinearQuadratic) -> float:
    return abs(expected_return(model, world.gain) - expected_return(world.system, world.gain))


def regret(world: World, model: LinearQuadratic) -> float:
    """What the best policy of the model loses in the true system; infinite where there is none or it is unstable."""
    try:
        gain = model.optimal_gain(DISCOUNT)
    except (np.linalg.LinAlgError, ValueError):
        return np.inf
    return expected_return(world.system, world.gain) - expected_return(world.system, gain)


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


def cells_of(number: int) -> dict[str, Callable[[World, list[Data]], dict]]:
    """Name -> how to make it from a world and draws of its data."""
    cells: dict[str, Callable] = {f"curves/{number}": curves_cell}
    for price in PRICES:
        cells[f"shares/{number}/{price}"] = partial(shares_cell, price=price)
        cells[f"oracle/{number}/{price}"] = partial(oracle_cell, price=price)
        for method in METHODS:
            cells[f"path/{number}/{price}/{method}"] = partial(path_cell, price=price, method=method)
    return cells


def curves_cell(world: World, draws: list[Data]) -> dict:
    """Mean errors of one side, the other one being true: as measured, and what they do to the return."""
    rows = heldout(world)
    found: dict[str, list[float]] = {}
    for count in CURVE_COUNTS:
        dynamics = [learned(world, data, Counts(count, 0)) for data in draws]
        reward = [learned(world, data, Counts(0, count)) for data in draws]
        errors = {
            "dynamics_measured": [measured_dynamics(world, model, rows.inputs) for model in dynamics],
            "dynamics_true": [true_gap(world, model) for model in dynamics],
            "reward_measured": [measured_reward(world, model, rows.features) for model in reward],
            "reward_true": [true_gap(world, model) for model in reward],
        }
        for name, values in errors.items():
            found.setdefault(name, []).append(rounded(np.mean(values)))
    return found


def shares_cell(world: World, draws: list[Data], price: int) -> dict:
    """All the money at each share of labels: the mean gap of even and of odd draws, and the median regret of all."""
    models = [[learned(world, data, at_share(MONEY, price, share)) for data in draws] for share in SHARES]
    gaps = np.array([[true_gap(world, model) for model in row] for row in models])
    regrets = np.array([[regret(world, model) for model in row] for row in models])
    columns = {"even": gaps[:, ::2].mean(1), "odd": gaps[:, 1::2].mean(1), "regret": np.median(regrets, 1)}
    return {name: [rounded(value) for value in column] for name, column in columns.items()}


def oracle_cell(world: World, draws: list[Data], price: int) -> dict:
    """The gap of the best fixed share at some sums of money, in hindsight: the share is chosen on one half of the draws
    and judged on the other, or chance would flatter it."""
    found = {"spent": spends(price)[::SHOWN_EVERY], "gap": []}
    for spend in found["spent"]:
        gaps = np.array(
            [
                [true_gap(world, learned(world, data, at_share(spend, price, share))) for data in draws]
                for share in SHARES[::2]
            ]
        )
        even, odd = gaps[:, ::2].mean(1), gaps[:, 1::2].mean(1)
        found["gap"].append(rounded((odd[even.argmin()] + even[odd.argmin()]) / 2))
    return found


def path_cell(world: World, draws: list[Data], price: int, method: str) -> dict:
    """A method's purchases at some phases' ends: money spent, mean gap and mean share of labels."""
    if method in MEASURING:
        rows = heldout(world)
        paths = [measured_path(world, data, rows, price, MEASURING[method]) for data in draws]
    else:
        divide = coupled if method == "coupled" else partial(at_label_share, label_share=FIXED[method])
        paths = [[divide(Market(spend, (1, price))) for spend in spends(price)]] * len(draws)
    trained = TRAINED_SHARE if method in MEASURING else 1.0
    models = [
        [learned(world, data, Counts(int(trained * held.transitions), held.labels)) for held in path[::SHOWN_EVERY]]
        for data, path in zip(draws, paths, strict=True)
    ]
    counts = np.array(paths, float)[:, ::SHOWN_EVERY]  # (draws, shown, 2)
    money = counts @ (1, price)
    columns = {
        "spent": money.mean(0),
        "gap": np.mean([[true_gap(world, model) for model in row] for row in models], 0),
        "label_share": (counts[:, :, 1] * price / money).mean(0),
    }
    return {name: [rounded(value) for value in column] for name, column in columns.items()}


def at_share(money: int, price: int, share: float) -> Counts:
    return at_label_share(Market(money, (1, price)), share)


def spends(price: int) -> list[int]:
    """Money spent at the end of the pilot and of each phase."""
    pilot = max(round(PILOT_SHARE * MONEY), PILOT.transitions + price * PILOT.labels)
    return [pilot + (MONEY - pilot) * phase // PHASES for phase in range(PHASES + 1)]


def measured_path(world: World, data: Data, rows: Rows, price: int, allocator: Allocator) -> list[Counts]:
    """What an allocator holds after the pilot and each phase, buying by what it has measured so far."""
    purse = MemoryPurse(MONEY * MICRO, MONEY * MICRO, {"transition": MICRO, "label": price * MICRO})
    held, measured, weights, path, models = Counts(0, 0), None, None, [], []
    for phase in range(PHASES + 1):
        evidence = Evidence(phase, PHASES, *held, 1, EPISODE, 1, np.inf, measured=measured, weights_before=weights)
        plan = allocator.plan(evidence, purse)
        purse.remaining -= plan.money_micro
        held = Counts(held.transitions + plan.transitions, held.labels + plan.labels)
        weights = plan.weights
        models.append((held.transitions, learned(world, data, Counts(int(TRAINED_SHARE * held.transitions), 0))))
        measured = evidence_of(world, data, rows, held, models)
        path.append(held)
    return path


def evidence_of(
    world: World, data: Data, rows: Rows, held: Counts, models: list[tuple[int, LinearQuadratic]]
) -> Measured:
    """Every phase's dynamics, valued with today's reward, and refits of the reward on parts of the labels."""
    reward = learned(world, data, Counts(0, held.labels))
    dynamics = [measured_dynamics(world, replace(model, Q=reward.Q, R=reward.R), rows.inputs) for _, model in models]
    ages = range(len(models) - 1, -1, -1)
    labels = [max(1, int(share * held.labels)) for share in REFITS]
    refits = [measured_reward(world, learned(world, data, Counts(0, count)), rows.features) for count in labels]
    return Measured(
        Curve(tuple(float(count) for count, _ in models), tuple(dynamics), tuple(RECENCY**age for age in ages)),
        Curve(tuple(map(float, labels)), tuple(refits), (1.0,) * len(labels)),
        weights=(1.0, 1.0),
        explained_variance=1.0,
    )


MEASURING = {
    "adaptive": make_allocator(AllocatorConfig(phases=PHASES, pilot_share=PILOT_SHARE)),
    "least_squares": LeastSquares(AllocatorConfig(phases=PHASES, pilot_share=PILOT_SHARE)),
}
METHODS = (*MEASURING, *FIXED, "coupled")
BANDED = ("fifty_fifty", "coupled", "adaptive")
METHOD_COLORS = {
    "oracle": "#000000",
    "adaptive": "#D55E00",
    "least_squares": "#CC79A7",
    "fifty_fifty": "#0072B2",
    "labels_20": "#56B4E9",
    "labels_80": "#009E73",
    "coupled": "#E69F00",
}


def rounded(value: float) -> float:
    return float(f"{value:.5g}")


def bound_cell() -> dict:
    """Bounds over the realised gap on systems of many growth rates, learned from 1000 of either kind."""
    found: dict[str, list[float]] = {"gamma_rho": [], "lemma": [], "horizon": []}
    for number in range(BOUND_SYSTEMS):
        rng = np.random.default_rng([14, number])
        system = with_growth(replace(random_system(rng, 1.0), noise=0.3), rng.uniform(0.3, 1.5) / DISCOUNT)
        world = world_of(system, label_noise=0.5)
        model = learned(world, draw_data(world, number, 1000), Counts(1000, 1000))
        for name, value in bounds(world, replace(model, noise=system.noise)).items():
            found[name].append(rounded(value))
    return found


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


def laws(results: dict, number: int, kind: str) -> tuple[PowerLaw, PowerLaw]:
    """Fitted to a world's mean errors of a kind, "measured" or "true"."""
    cell, counts = results[f"curves/{number}"], tuple(map(float, CURVE_COUNTS))
    return tuple(line(Curve(counts, tuple(cell[f"{side}_{kind}"]), (1.0,) * len(counts))) for side in SIDES)


def predictions(results: dict, number: int, price: int) -> dict[str, float]:
    """The share of labels that each criterion calls best for all the money."""
    true, market = laws(results, number, "true"), Market(MONEY, (1, price))
    squares = tuple(PowerLaw(law.coefficient**2, 2 * law.exponent) for law in true)
    found = {
        "measured": split(market, *laws(results, number, "measured")),
        "true": split(market, *true),
        "squares": split(market, *squares),
    }
    return {name: counts.labels * price / MONEY for name, counts in found.items()} | {"fifty_fifty": 0.5}


def excess(results: dict, number: int, price: int, share: float) -> float:
    """How much larger the gap is at a share than at the best one, which is chosen on the other half of the draws; between
    the shares that were run by interpolation. Negative where the choice on the other half was the worse one."""
    cell = results[f"shares/{number}/{price}"]
    halves = np.array([cell["even"], cell["odd"]])
    ratios = [np.interp(share, SHARES, here) / here[there.argmin()] for here, there in (halves, halves[::-1])]
    return float(np.mean(ratios)) - 1


def mean_gaps(results: dict, number: int, price: int) -> np.ndarray:
    """Over all draws, at each of SHARES."""
    cell = results[f"shares/{number}/{price}"]
    return np.mean([cell["even"], cell["odd"]], 0)


def best_share(results: dict, number: int, price: int, name: str = "gap") -> float:
    """Of least mean gap, or of least median regret."""
    values = mean_gaps(results, number, price) if name == "gap" else results[f"shares/{number}/{price}"][name]
    return SHARES[int(np.argmin(values))]


def over_oracle(results: dict, number: int, price: int, method: str, shown: int) -> float:
    """A method's gap over the oracle's at a shown phase's end."""
    oracle = results[f"oracle/{number}/{price}"]["gap"]
    return results[f"path/{number}/{price}/{method}"]["gap"][shown] / oracle[shown]


def money_to_match_coupled(results: dict, number: int, price: int, method: str) -> float:
    """The part of its money at which a method comes down to the gap that coupled buying has in the end, between shown
    phases along a straight line of logs. 1 where it never does; at the least the pilot's part."""
    target = np.log(results[f"path/{number}/{price}/coupled"]["gap"][-1])
    path = results[f"path/{number}/{price}/{method}"]
    spent, gaps = np.log(path["spent"]), np.minimum.accumulate(np.log(path["gap"]))
    if gaps[-1] > target:
        return 1.0
    return float(np.exp(np.interp(-target, -gaps, spent))) / MONEY


def table(results: dict, worlds: int, seeds: int) -> str:
    lines = [
        f"Made by `python benchmarks/linear_quadratic.py --worlds {worlds} --seeds {seeds}` ({MACHINE}).",
        f"{worlds} random systems, {seeds} draws of the data in each, {MONEY:,} coins, discount {DISCOUNT}. Gap: mean over draws",
        "of |return of the policy in the learned system - in the true one|, both exact.",
        "",
        "## Predicted against empirical optimum",
        "",
        "Median share of labels over worlds, and by how many percent the gap there is larger than at the best share (median /",
        "worst world; the best share is chosen on half of the draws and all is judged on the others, so that chance can make it",
        "negative). of regret: the share at which the model's own best policy loses least. measured: laws fitted to errors",
        "measured as in training, their sum made least; true: the same with the exact effect of each error; squares: the sum of",
        "their squares made least, as signed errors are independent.",
        "",
        "| label price | empirical | of regret | measured | excess | true | excess | squares | excess | 50/50 excess |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(optimum_row(results, worlds, price) for price in PRICES),
        "",
        "## Gap against spend",
        "",
        "Gap over the oracle's (best share in hindsight at that spend, chosen on half of the draws and judged on the others):",
        "geometric mean over worlds at half of the phases / at the end, and worst world at the end; and the part of the money at",
        "which coupled buying's final gap is reached (1 where it never is). adaptive and least_squares hold a tenth of their",
        "transitions out and are judged by what the rest taught; the other methods train on all.",
        "",
        "| method | " + " | ".join(f"price {price} | worst | money to match coupled" for price in PRICES) + " |",
        "|---" * (1 + 3 * len(PRICES)) + "|",
        *(method_row(results, worlds, method) for method in METHODS),
        "",
        *bound_lines(results["bound"]),
        "",
        *curve_lines(results, worlds),
    ]
    return "\n".join(lines) + "\n"


def optimum_row(results: dict, worlds: int, price: int) -> str:
    best, thrifty = (
        [best_share(results, number, price, name) for number in range(worlds)] for name in ("gap", "regret")
    )
    shares = [predictions(results, number, price) for number in range(worlds)]
    cells = [f"{price}", f"{np.median(best):.2f}", f"{np.median(thrifty):.2f}"]
    for kind in ("measured", "true", "squares", "fifty_fifty"):
        found = [excess(results, number, price, share[kind]) for number, share in enumerate(shares)]
        middle = [] if kind == "fifty_fifty" else [f"{np.median([share[kind] for share in shares]):.2f}"]
        cells += [*middle, f"{100 * np.median(found):.0f} / {100 * max(found):.0f} %"]
    return "| " + " | ".join(cells) + " |"


def method_row(results: dict, worlds: int, method: str) -> str:
    cells = [method]
    for price in PRICES:
        half, end = (
            [over_oracle(results, number, price, method, index) for number in range(worlds)]
            for index in (PHASES // 2 // SHOWN_EVERY, PHASES // SHOWN_EVERY)
        )
        money = [money_to_match_coupled(results, number, price, method) for number in range(worlds)]
        cells += [f"{gmean(half):.2f} / {gmean(end):.2f}", f"{max(end):.2f}", f"{gmean(money):.2f}"]
    return "| " + " | ".join(cells) + " |"


def bound_lines(cell: dict) -> list[str]:
    growth_rates, lemma, horizon = (np.array(cell[name]) for name in ("gamma_rho", "lemma", "horizon"))
    lines = [
        "## Bound over the realised gap",
        "",
        f"{BOUND_SYSTEMS} systems, learned from 1000 transitions and 1000 labels; median (10th to 90th percentile). horizon: 15 steps,",
        "lambda .95, restarting from real states.",
        "",
        "| gamma rho | lemma 1 | horizon |",
        "|---|---|---|",
    ]
    for low, high in BOUND_BINS:
        inside = (growth_rates >= low) & (growth_rates < high)
        cells = [
            "infinite"
            if np.isinf(ratios[inside]).all()
            else "{1:.0f} ({0:.0f} to {2:.0f})".format(*np.quantile(ratios[inside], BAND))
            for ratios in (lemma, horizon)
        ]
        lines.append(f"| {low} to {high} | {cells[0]} | {cells[1]} |")
    return lines


def curve_lines(results: dict, worlds: int) -> list[str]:
    lines = [
        "## Error curves",
        "",
        "Exponents of log-log fits over 64 to 32,768 of a kind, and the measured over the true effect, geometric mean over counts.",
        "",
        "| world | dynamics exponent | reward exponent | measured / true, dynamics | reward |",
        "|---|---|---|---|---|",
    ]
    for number in range(worlds):
        cell, fits = results[f"curves/{number}"], laws(results, number, "measured")
        ratios = [gmean(np.array(cell[f"{side}_measured"]) / cell[f"{side}_true"]) for side in SIDES]
        exponents = " | ".join(f"{law.exponent:.2f}" for law in fits)
        lines.append(f"| {number} | {exponents} | {ratios[0]:.1f} | {ratios[1]:.1f} |")
    return lines


def gmean(values) -> float:
    return float(np.exp(np.mean(np.log(values))))


def figure(results: dict, worlds: int) -> Figure:
    """U-curves above, gap against spend in the middle, both by price; shares, curves and the bound below."""
    picture = Figure(figsize=(12.0, 10.0), layout="constrained")
    grid = picture.subplots(3, 3)
    for column, price in enumerate(PRICES):
        draw_shares(grid[0, column], results, worlds, price)
        draw_paths(grid[1, column], results, worlds, price)
    draw_optimum(grid[2, 0], results, worlds)
    draw_curves(grid[2, 1], results, worlds)
    draw_bound(grid[2, 2], results["bound"])
    for axes in grid.flat:
        axes.title.set_fontsize(9)
        axes.tick_params(labelsize=8)
        axes.grid(True, color="#DDDDDD", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False)
    return picture


def draw_shares(axes: Axes, results: dict, worlds: int, price: int) -> None:
    gaps = np.array([mean_gaps(results, number, price) for number in range(worlds)])
    ratios = gaps / gaps.min(1, keepdims=True)
    axes.plot(SHARES, ratios.T, color=LIMIT, linewidth=0.5, alpha=0.5)
    low, middle, high = np.quantile(ratios, BAND, axis=0)
    axes.fill_between(SHARES, low, high, color=TRANSITIONS, alpha=0.2, linewidth=0, label="10 to 90 % of worlds")
    axes.plot(SHARES, middle, color=TRANSITIONS, linewidth=2, label="median world")
    predicted = [predictions(results, number, price)["measured"] for number in range(worlds)]
    at = [np.interp(share, SHARES, row) for share, row in zip(predicted, ratios, strict=True)]
    axes.plot(predicted, at, "o", color=PREDICTED, markersize=4, label="predicted optimum of a world")
    axes.set(title=f"Label price {price}: the same money, split", xlabel="label share of spend", yscale="log")
    axes.set(ylabel="gap / gap at the best share", ylim=(0.95, 8))
    plain_log(axes.yaxis, (1, 2, 4, 8))


def draw_paths(axes: Axes, results: dict, worlds: int, price: int) -> None:
    final = np.array([results[f"oracle/{number}/{price}"]["gap"][-1] for number in range(worlds)])
    for method in ("oracle", *METHODS):
        color = METHOD_COLORS[method]
        cells = [cell_of(results, number, price, method) for number in range(worlds)]
        ratios = np.array([cell["gap"] for cell in cells]) / final[:, None]
        spent = np.mean([cell["spent"] for cell in cells], 0)
        axes.plot(spent, np.exp(np.log(ratios).mean(0)), color=color, linewidth=1.5, label=method.replace("_", " "))
        if method in BANDED:
            axes.fill_between(spent, *np.quantile(ratios, BAND[::2], axis=0), color=color, alpha=0.15, linewidth=0)
    axes.set(
        title=f"Label price {price}: bands hold 10 to 90 % of worlds",
        xlabel="money spent [coins]",
        xscale="log",
        yscale="log",
    )
    axes.set(ylabel="gap / oracle's final gap (mean of logs)")
    plain_log(axes.xaxis, (2500, 5000, 10_000, 20_000, 40_000))
    plain_log(axes.yaxis, (1, 2, 4, 8, 16))


def cell_of(results: dict, number: int, price: int, method: str) -> dict:
    return results[f"oracle/{number}/{price}" if method == "oracle" else f"path/{number}/{price}/{method}"]


def draw_optimum(axes: Axes, results: dict, worlds: int) -> None:
    axes.plot([0, 1], [0, 1], color=LIMIT, linewidth=1, linestyle="--")
    for price, color in zip(PRICES, CURVES):
        best = [best_share(results, number, price) for number in range(worlds)]
        predicted = [predictions(results, number, price)["measured"] for number in range(worlds)]
        axes.plot(predicted, best, "o", color=color, markersize=5, label=f"label price {price}")
    axes.set(title="Best label share of each world", xlabel="predicted from measured errors", ylabel="empirical")


def draw_curves(axes: Axes, results: dict, worlds: int) -> None:
    """Each world's errors over their size at 1024, so that slopes compare."""
    middle = CURVE_COUNTS.index(1024)
    for side, color in zip(SIDES, (TRANSITIONS, LABELS)):
        for kind, style in (("measured", "-"), ("true", ":")):
            errors = np.array([results[f"curves/{number}"][f"{side}_{kind}"] for number in range(worlds)])
            mean = np.exp(np.log(errors / errors[:, middle : middle + 1]).mean(0))
            axes.plot(CURVE_COUNTS, mean, style, color=color, label=f"{side}, {kind}")
    axes.plot(CURVE_COUNTS, (np.array(CURVE_COUNTS) / 1024) ** -0.5, "--", color=LIMIT, linewidth=1, label="slope -1/2")
    axes.set(
        title="Error curves (mean of logs over worlds)", xlabel="transitions or labels", ylabel="error / error at 1024"
    )
    axes.set(xscale="log", yscale="log")
    plain_log(axes.yaxis, (0.2, 0.5, 1, 2, 5))


def draw_bound(axes: Axes, cell: dict) -> None:
    growth_rates, lemma, horizon = (np.array(cell[name]) for name in ("gamma_rho", "lemma", "horizon"))
    finite = np.isfinite(lemma)
    axes.scatter(growth_rates, horizon, s=5, color=TRANSITIONS, alpha=0.5, linewidth=0, label="horizon of 15 steps")
    axes.scatter(growth_rates[finite], lemma[finite], s=5, color=PREDICTED, alpha=0.5, linewidth=0, label="lemma 1")
    axes.axvspan(1.0, 1.5, ymin=0.94, color=PREDICTED, alpha=0.25, linewidth=0)
    axes.text(
        1.25, 0.97, "lemma 1: infinite", transform=axes.get_xaxis_transform(), ha="center", va="center", fontsize=7
    )
    axes.axvline(1.0, color=LIMIT, linewidth=1, linestyle="--")
    axes.set(
        title="Bound over the realised gap", xlabel="gamma rho", ylabel="bound / gap", yscale="log", xlim=(0.3, 1.5)
    )


def save(picture: Figure, file: Path) -> None:
    """As a PNG of few colours: small enough to be committed."""
    buffer = io.BytesIO()
    picture.savefig(buffer, dpi=85)
    Image.open(buffer).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        file, optimize=True
    )


def plain_log(axis, ticks: tuple[float, ...]) -> None:
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:,g}")


if __name__ == "__main__":
    main()
