"""Do smoother maps help? Caps on singular values and straightened paths, on and off (experiment E).

    python benchmarks/smoothness.py [--jobs 2] [--seeds 3] [--only spectral,...]

Short runs on Pendulum-v1, equal in money and updates. Theory asks for a small rho (growth of an error over one closed-loop
step), which may be paid for with a larger error of the dynamics model: both are shown beside the measured gap and the true
return. The limits are about half of what the maps reached in a run without caps (gates 1.1, prior 2.2, reward heads 12,
actor .64 after 500 updates of seed 0). Finished cells are kept in benchmarks/results/smoothness.json and skipped on a rerun.
"""

import argparse
from pathlib import Path
from statistics import median

from cells import MACHINE, Cell, run_cells

RESULTS = Path(__file__).parent / "results"
KEPT = RESULTS / "smoothness.json"
SETTINGS = ("quick_pendulum", "allocator.name=fixed", "train.updates=900", "evaluate.episodes=8", "evaluate.envs=8")
DYNAMICS_CAPS = ("dynamics.spectral_gates=0.6", "dynamics.spectral_prior=1.2")
HEAD_CAPS = ("reward.spectral=6.0", "actor_critic.spectral_actor=0.4")
STRAIGHT = ("dynamics.straighten_scale=0.3",)
SWITCHES = {
    "off": (),
    "spectral_dynamics": DYNAMICS_CAPS,
    "spectral_heads": HEAD_CAPS,
    "straighten": STRAIGHT,
    "all": (*DYNAMICS_CAPS, *HEAD_CAPS, *STRAIGHT),
}
# Column of a result -> its heading. The last phase's value; where that was not measured, the last one that was.
SHOWN = {
    "return": "return",
    "rho": "rho",
    "dynamics_error": "eps_d [feature units]",
    "gap_dynamics": "G_d",
    "gap_reward": "G_r",
    "gap_true": "critic against true return",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time, one thread each")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ..., so many of each")
    parser.add_argument("--only", default="", help="names of switches, with commas; default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark_smoothness"))
    options = parser.parse_args()
    chosen = [name for name in SWITCHES if not options.only or name in options.only.split(",")]
    seeds = tuple(range(options.seeds))
    cells = [Cell(name, (*SETTINGS, *SWITCHES[name]), seeds) for name in chosen]
    report = table(run_cells(cells, options.jobs, options.runs, KEPT))
    (RESULTS / "smoothness.md").write_text(report)
    print(report)


def table(results: dict[str, dict[str, dict]]) -> str:
    """Cell -> seed -> columns (a value a phase) as Markdown: the median over seeds, and every seed behind it."""
    lines = [
        f"Made by `python benchmarks/smoothness.py` ({MACHINE}). Median, and in brackets every seed. The last measured phase.",
        "",
        "| switches | " + " | ".join(SHOWN.values()) + " |",
        "|---" * (len(SHOWN) + 1) + "|",
    ]
    for name in SWITCHES:
        runs = [results[name][seed] for seed in sorted(results.get(name, {}), key=int)]
        if runs:
            lines.append(f"| {name} | " + " | ".join(summary(runs, column) for column in SHOWN) + " |")
    return "\n".join(lines) + "\n"


def summary(runs: list[dict], column: str) -> str:
    values = [value for run in runs if (value := last_measured(run, column)) is not None]
    if not values:
        return "-"
    return f"{median(values):.3g} ({', '.join(f'{value:.3g}' for value in values)})"


def last_measured(run: dict, column: str) -> float | None:
    return next((value for value in reversed(run.get(column, [])) if value is not None), None)


if __name__ == "__main__":
    main()
