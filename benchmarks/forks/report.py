"""What the forks say of a decision, as tables. `results` is task-phase -> plan or share-seed -> what experiment.py keeps."""

from collections.abc import Sequence

import numpy as np

from cells import MACHINE
from ends.bootstrap import told

from .settings import AT, FORKED, shares_of

Returns = dict[int, list[float]]  # share in per cent -> true returns, in the order of seeds
HEADING = """True return (mode actions) after one more phase, mean over seeds, by the part of that phase's money that went to labels. All
forks of a row have the same past. Loss: how much lower the return of a share is than that of the best fork. The best of
some noisy means is too good, so the best share is also chosen on all seeds but one and judged on that one (`fair`, mean
over seeds; a fair loss may be negative). `adaptive` is the plan from that state, its first decision, as its nearest fork. True gap: how far
the critic, which knows only dreams, is from the true discounted returns. All states of a task are of one run, so that the
interval over states is too narrow for other runs."""


def report(results: dict[str, dict[str, dict]]) -> str:
    lines = [HEADING]
    for task in FORKED:
        shares = shares_of(task)
        names = [name for phase in AT if by_share(results.get(name := f"{task.name}-{phase}", {}), shares)]
        if names:
            lines += ["", f"## {task.name}", "", *table({name: results[name] for name in names}, shares)]
    return "\n".join([f"Made by `python benchmarks/forks` ({MACHINE}).", "", *lines, ""])


def by_share(cells: dict[str, dict], shares: Sequence[int], column: str = "return") -> Returns:
    """Of the seeds that every share has; nothing where there is none, or no plan."""
    forks = [cell for cell in cells.values() if "seed" in cell]
    found = {share: {one["seed"]: one[column] for one in forks if one["share"] == share} for share in shares}
    seeds = sorted(set.intersection(*(set(one) for one in found.values())))
    return {share: [one[seed] for seed in seeds] for share, one in found.items()} if seeds and "plan" in cells else {}


def table(states: dict[str, dict[str, dict]], shares: Sequence[int]) -> list[str]:
    columns = (
        "end of phase",
        *(f"{share} %" for share in shares),
        "adaptive",
        "its loss; fair",
        "half each: loss; fair",
    )
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    losses: dict[str, list[float]] = {"adaptive": [], "half each": []}
    for name, cells in states.items():
        returns, planned = by_share(cells, shares), cells["plan"]["share"]
        chosen = {"adaptive": nearest(100 * planned, shares), "half each": 50}
        judged = {who: (loss(returns, share), fair_loss(returns, share)) for who, share in chosen.items()}
        for who, (_, fair) in judged.items():
            losses[who].append(fair)
        told_losses = [f"{plain:.2f}; {fair:.2f}" for plain, fair in judged.values()]
        phase = name.rpartition("-")[2]
        rows.append(row(f"{phase} ({len(returns[50])} seeds)", returns, f"{planned:.0%}", *told_losses))
        rows.append(row(f"{phase}, true gap", by_share(cells, shares, "gap_true"), "", "", ""))
    means = "; ".join(f"{who} {told(values)}" for who, values in losses.items())
    return [*rows, "", f"Mean fair loss over these {len(states)} states: {means}."]


def row(name: str, values: Returns, *more: str) -> str:
    return f"| {' | '.join((name, *(f'{np.mean(of_share):.2f}' for of_share in values.values()), *more))} |"


def nearest(percent: float, shares: Sequence[int]) -> int:
    """The share next to it; of two that are equally near the lower one."""
    return min(shares, key=lambda share: (abs(share - percent), share))


def loss(returns: Returns, share: int) -> float:
    means = {one: float(np.mean(values)) for one, values in returns.items()}
    return max(means.values()) - means[share]


def fair_loss(returns: Returns, share: int) -> float:
    """Mean over seeds: the return of the share that is best on the other seeds, less that of `share`. NaN for one seed."""
    shares, values = list(returns), np.array(list(returns.values()))  # (shares, seeds)
    if values.shape[1] < 2:
        return float("nan")
    others = values.sum(1, keepdims=True) - values
    best = others.argmax(0)
    return float(np.mean(values[best, np.arange(values.shape[1])] - values[shares.index(share)]))
