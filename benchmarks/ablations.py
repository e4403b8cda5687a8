"""What does each part of the adaptive allocator earn? The worlds of regret.py, one part taken away or bent at a time.

    python benchmarks/ablations.py [--worlds 100] [--seed 0]

Results of the standard 100 worlds are kept in benchmarks/results/ablations.json and shown in ablations.md, seed by seed.
"""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from regret import (
    FIGURES,
    MACHINE,
    STANDARD_WORLDS,
    ByLaws,
    Gauge,
    Outcome,
    World,
    draw_world,
    keep_seed,
    play,
    summary,
)
from tandem.budget.allocator import make_allocator
from tandem.budget.plan import Allocator, AllocatorConfig
from tandem.budget.scaling import FLOOR_SHARES, Curve, MeanLaw, fit_posterior

RESULTS = Path(__file__).parent / "results"
SAMPLES = 256
HEAD = f"""
Regret in percent over {STANDARD_WORLDS} random worlds, as in [regret.md](regret.md), each row with one change. A part of the budget is
wasted if the best split would have had the same gap without it. The specification's reading of the last rows: a factor 3
wastes 7 to 10 % of the budget, 10 wastes 27 to 37 %, 1,968 wastes 97 %; planning without a memory 8 %, and 24 % at worst."""


@dataclass(frozen=True)
class Ablation:
    """An allocator, what it is told, and the kind of world that it is in."""

    allocator: Allocator
    factor: float = 1.0  # by which the weight of the dynamics error is taken to be too large
    log_spreads: tuple[float, float] = Gauge.NOISE  # how unsure of both errors it is told to be
    help: float = 0.0  # exponent by which the reward's error falls with transitions too
    sees_help: bool = True
    growth: float = 1.0  # of the weight of the dynamics while the run goes on


def posterior_mean(curve: Curve, rng: np.random.Generator) -> MeanLaw:
    return MeanLaw(fit_posterior(curve).sample(SAMPLES, rng))


def without_floor(curve: Curve, rng: np.random.Generator) -> MeanLaw:
    """Errors are believed to fall to nothing."""
    posterior = fit_posterior(curve)
    probability = posterior.probability * (FLOOR_SHARES == 0)
    return MeanLaw(replace(posterior, probability=probability / probability.sum()).sample(SAMPLES, rng))


def ablations() -> dict[str, Ablation]:
    config = AllocatorConfig()
    whole = make_allocator(config)
    return {
        "whole": Ablation(whole),
        "no floors": Ablation(ByLaws(config, without_floor)),
        "no memory of what is held": Ablation(ByLaws(config, posterior_mean, has_memory=False)),
        "no doubt of its errors": Ablation(whole, log_spreads=(0.0, 0.0)),
        "as unsure as eight held-out episodes leave a run": Ablation(whole, log_spreads=(8**-0.5, 8**-0.5)),
        "as unsure as two": Ablation(whole, log_spreads=(2**-0.5, 2**-0.5)),
        "transitions help the reward, by a power of .4": Ablation(whole, help=0.4),
        "the same, not measured": Ablation(whole, help=0.4, sees_help=False),
        "the weight of the dynamics grows e times meanwhile": Ablation(whole, growth=math.e),
        "7.4 times": Ablation(whole, growth=math.e**2),
        **{
            f"dynamics weighed {text}": Ablation(whole, factor)
            for text, factor in (
                ("3 times too high", 3),
                ("3 times too low", 1 / 3),
                ("10 times too high", 10),
                ("10 times too low", 1 / 10),
                ("1,968 times too high", 1968),
            )
        },
    }


def outcome(world: World, ablation: Ablation) -> Outcome:
    dynamics, reward = world.measured_weights
    weighed = replace(
        world, measured_weights=(ablation.factor * dynamics, reward), help=ablation.help, growth=ablation.growth
    )
    return play(weighed, ablation.allocator, log_spreads=ablation.log_spreads, sees_help=ablation.sees_help)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=STANDARD_WORLDS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    worlds = [draw_world(options.seed, index) for index in range(options.worlds)]
    found = {name: summary([outcome(world, one) for world in worlds]) for name, one in ablations().items()}
    print(table(found))
    if options.worlds == STANDARD_WORLDS:
        (RESULTS / "ablations.md").write_text(report(keep_seed(RESULTS / "ablations.json", options.seed, found)))


def table(found: dict[str, dict[str, float]]) -> str:
    rows = ["| change | median % | mean % | 90th % | worst % | budget wasted, median % |", "|--|--|--|--|--|--|"]
    rows += [f"| {name} | " + " | ".join(f"{row[key]:.3g}" for key in FIGURES) + " |" for name, row in found.items()]
    return "\n".join(rows)


def report(seeds: dict[str, dict]) -> str:
    parts = [f"Made by `python benchmarks/ablations.py --seed S`, on {MACHINE}.{HEAD}"]
    for seed, found in seeds.items():
        parts += [f"Seed {seed}.", table(found)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
