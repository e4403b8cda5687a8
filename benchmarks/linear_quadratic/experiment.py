"""Is the split right where everything is known? Linear-quadratic systems, learned and valued exactly (experiment A).

    python benchmarks/linear_quadratic [--worlds 8] [--seeds 48]

Random stable systems with noisy transitions and noisy labels. Dynamics are learned by least squares from transitions of a
noisy policy, the reward by regression of labels on quadratic features. The policy that is judged is the best one of the
true system; its gap is the difference of its exact returns in the learned and in the true system. Finished cells are kept
in benchmarks/results/linear_quadratic.json and skipped on a rerun; the table and the figure lie beside it.

Here: the cells and how they are made. The systems, their gaps and bounds are in worlds.py, the numbers of the experiment in
settings.py, the table and the figure in report.py.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from drawing import save
from kept import Kept, rounded
from regret import MemoryPurse
from tandem.budget.market import Counts, Market, at_label_share, coupled
from tandem.budget.money import MICRO
from tandem.budget.plan import Allocator, Evidence, Measured
from tandem.budget.scaling import Curve
from tandem.envs.toy import LinearQuadratic

from .report import figure, table
from .settings import (
    BOUND_SYSTEMS,
    CURVE_COUNTS,
    FIXED,
    MEASURING,
    METHODS,
    MONEY,
    PHASES,
    PILOT,
    PILOT_SHARE,
    PRICES,
    SHARES,
    SHOWN_EVERY,
)
from .worlds import (
    DISCOUNT,
    EPISODE,
    Data,
    Rows,
    World,
    bounds,
    draw_data,
    heldout,
    learned,
    make_world,
    measured_dynamics,
    measured_reward,
    random_system,
    regret,
    true_gap,
    with_growth,
    world_of,
)

RESULTS = Path(__file__).resolve().parents[1] / "results"
TRAINED_SHARE = 0.9  # of the transitions of methods that measure; the rest is held out
RECENCY = 0.9  # weight of a phase's dynamics error, for each phase that has passed since
REFITS = (0.125, 0.25, 0.5, 1.0)


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
        draws = [] if is_complete else [draw_data(world, seed, MONEY) for seed in range(options.seeds)]
        results |= {name: kept.cell(name, partial(make, world, draws)) for name, make in cells.items()}
    RESULTS.joinpath("linear_quadratic.md").write_text(table(results, options.worlds, options.seeds))
    save(figure(results, options.worlds), RESULTS / "linear_quadratic.png")


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
