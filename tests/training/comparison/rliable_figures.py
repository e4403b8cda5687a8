"""What rliable says of a few groups of runs: the figures in rliable.json, beside this file.

    python tests/training/comparison/rliable_figures.py

rliable is no dependency of Tandem. rliable 1.2 imports arch, which needs pandas below 3. The returns of the first three
groups are kept runs of benchmarks/results/allocators.json, rounded to 3 digits after the point; the fourth is drawn.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rliable import library, metrics

HERE = Path(__file__).parent
KEPT = HERE.parents[2] / "benchmarks" / "results" / "allocators.json"
GROUPS = ("pendulum_10_adaptive_ratio", "pendulum_100_adaptive_updates", "swingup_10_fifty_fifty_updates")
PHASES = (0, 5, 8, 12)
REPS = 50_000  # as many as rliable takes by itself


def main() -> None:
    cells = json.loads(KEPT.read_text())["cells"]
    returns = {name: [run["return"] for _, run in sorted(cells[name].items())] for name in GROUPS}
    scores = {name: np.array(one)[:, PHASES].round(3) for name, one in returns.items()}  # (runs, phases)
    scores["drawn"] = np.random.default_rng(1).normal(500, 80, (17, 4)).round(3)
    pairs = [(GROUPS[0], GROUPS[1]), ("drawn", GROUPS[2])]
    found = {
        "made_by": {name: version(name) for name in ("rliable", "arch", "numpy", "scipy")},
        "groups": {
            name: bounds({name: one[:, None]}, middles) | {"returns": one.tolist()} for name, one in scores.items()
        },
        "improvements": [
            bounds({"": [scores[a][:, -1:], scores[b][:, -1:]]}, better) | {"group": a, "over": b} for a, b in pairs
        ],
    }
    (HERE / "rliable.json").write_text(json.dumps(found, indent=1) + "\n")


def middles(scores: np.ndarray) -> np.ndarray:
    return np.array([metrics.aggregate_iqm(scores[..., phase]) for phase in range(scores.shape[-1])])


def better(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.array([metrics.probability_of_improvement(ours, theirs)])


def bounds(scores: dict, function) -> dict:
    np.random.seed(0)  # rliable draws from numpy's global generator
    point, interval = library.get_interval_estimates(scores, function, reps=REPS)
    (low, high), middle = interval[next(iter(scores))], point[next(iter(scores))]
    return {"middle": middle.tolist(), "low": low.tolist(), "high": high.tolist()}


if __name__ == "__main__":
    main()
