"""What the cells of experiment A say, as a table and as figures.

`results` is the name of a cell -> what was kept of it, as experiment.py makes them; `number` is that of a world.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cells import MACHINE
from drawing import plain_log
from regret import line
from tandem.budget.market import Market, split
from tandem.budget.scaling import Curve, PowerLaw
from tandem.training.reports.colors import CURVES, LABELS, LIMIT, PREDICTED, TRANSITIONS

from .settings import BOUND_SYSTEMS, CURVE_COUNTS, METHODS, MONEY, PHASES, PRICES, SHARES, SHOWN_EVERY
from .worlds import DISCOUNT

SIDES = ("dynamics", "reward")
BOUND_BINS = ((0.3, 0.6), (0.6, 0.9), (0.9, 1.0), (1.0, 1.2), (1.2, 1.5))
BAND = (0.1, 0.5, 0.9)  # quantiles
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


def table(results: dict, worlds: int, seeds: int) -> str:
    lines = [
        f"Made by `python benchmarks/linear_quadratic --worlds {worlds} --seeds {seeds}` ({MACHINE}).",
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
    for price, color in zip(PRICES, CURVES, strict=False):
        best = [best_share(results, number, price) for number in range(worlds)]
        predicted = [predictions(results, number, price)["measured"] for number in range(worlds)]
        axes.plot(predicted, best, "o", color=color, markersize=5, label=f"label price {price}")
    axes.set(title="Best label share of each world", xlabel="predicted from measured errors", ylabel="empirical")


def draw_curves(axes: Axes, results: dict, worlds: int) -> None:
    """Each world's errors over their size at 1024, so that slopes compare."""
    middle = CURVE_COUNTS.index(1024)
    for side, color in zip(SIDES, (TRANSITIONS, LABELS), strict=True):
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
