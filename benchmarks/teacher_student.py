"""How fast do a dynamics and a reward model learn a teacher, and in which unit? The paper's experiment (experiment B).

    python benchmarks/teacher_student.py [--seeds 3]

Random teachers with 12 state and 4 action numbers and 64 hidden tanh units ("On Training in Imagination", arXiv
2605.06732, whose further details are not given); students of the same shape learn the next state or the reward from N
samples. Choices made here: states are standard normal, actions uniform in [-1, 1], samples independent and free of noise;
teacher weights are normal with variance 1 / inputs, outputs shifted and scaled to mean 0 and variance 1 a number, so that
an error of 1 is that of a constant guess; the next state itself is predicted, not its change. Students start as PyTorch
starts them and are trained by Adam on the mean squared error, batches of 256, learning rate 3e-3 falling to 0 along a
cosine; a tenth of the samples is for validation, and the weights that were best on it are the ones tested, on 8192 fresh
samples. Two rules for compute: the same 6000 updates for every N, or 60 passes over the samples.

Finished cells are kept in benchmarks/results/teacher_student.json and skipped on a rerun.
"""

import argparse
import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from cells import MACHINE
from drawing import plain_log, save
from kept import Kept, rounded
from tandem.budget.scaling import Curve, LineFit, fit_least_squares, squared_floor, to_linear
from tandem.training.reports.colors import CURVES, LIMIT

RESULTS = Path(__file__).parent / "results"
STATES, ACTIONS, HIDDEN = 12, 4, 64
OUTPUTS = {"dynamics": STATES, "reward": 1}
COUNTS = (2_000, 4_000, 8_000, 16_000, 32_000, 64_000)
RULES = {"updates": "6000 updates", "passes": "60 passes"}
UPDATES, PASSES, BATCH, LEARNING_RATE = 6_000, 60, 256, 3e-3
VALIDATED, VALIDATIONS = 0.1, 24  # share of the samples; times during a training
TESTED = 8192
PAPER = {"dynamics": (0.34, 0.11, 0.954), "reward": (90.4, 0.96, 0.997)}  # coefficient, exponent, R2
UNITS = {"mse": "mean squared", "mean": "mean distance", "largest": "largest distance"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="teachers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = Kept(RESULTS / "teacher_student.json", "1")
    results = {
        (kind, rule, count, seed): kept.cell(
            f"{kind}/{rule}/{count}/{seed}", lambda at=(kind, rule, count, seed): errors_of_student(*at)
        )
        for seed in range(options.seeds)
        for kind in OUTPUTS
        for rule in RULES
        for count in COUNTS
    }
    RESULTS.joinpath("teacher_student.md").write_text(table(results, options.seeds))
    save(figure(results, options.seeds), RESULTS / "teacher_student.png")


@dataclass(frozen=True)
class Teacher:
    """outputs = (W2 tanh(W1 [s, a]) - mean) / deviation."""

    first: Tensor  # (hidden, inputs)
    second: Tensor  # (outputs, hidden)
    mean: Tensor
    deviation: Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)"""
        return (torch.tanh(inputs @ self.first.T) @ self.second.T - self.mean) / self.deviation


def make_teacher(outputs: int, generator: torch.Generator) -> Teacher:
    first = torch.randn(HIDDEN, STATES + ACTIONS, generator=generator) / math.sqrt(STATES + ACTIONS)
    second = torch.randn(outputs, HIDDEN, generator=generator) / math.sqrt(HIDDEN)
    raw = Teacher(first, second, torch.zeros(outputs), torch.ones(outputs))(draw_inputs(65_536, generator))
    return Teacher(first, second, raw.mean(0), raw.std(0))


def draw_inputs(number: int, generator: torch.Generator) -> Tensor:
    """States and the actions chosen there, (N, inputs)."""
    states = torch.randn(number, STATES, generator=generator)
    actions = 2 * torch.rand(number, ACTIONS, generator=generator) - 1
    return torch.cat([states, actions], 1)


def errors_of_student(kind: str, rule: str, count: int, seed: int) -> dict[str, float]:
    """Of one training, on fresh samples: mean squared error a number, mean and largest Euclidean distance."""
    generator = torch.Generator().manual_seed(1000 * seed + list(OUTPUTS).index(kind))
    teacher = make_teacher(OUTPUTS[kind], generator)
    tested = draw_inputs(TESTED, generator)
    samples = draw_inputs(COUNTS[-1], generator)[:count]  # smaller sets are parts of the larger ones
    torch.manual_seed(seed)
    student = nn.Sequential(nn.Linear(STATES + ACTIONS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, OUTPUTS[kind]))
    updates = train(student, samples, teacher(samples), UPDATES if rule == "updates" else None, generator)
    with torch.no_grad():
        wrong = student(tested) - teacher(tested)
    distance = wrong.norm(dim=1)
    errors = {"mse": wrong.square().mean(), "mean": distance.mean(), "largest": distance.max()}
    return {name: rounded(value.item()) for name, value in errors.items()} | {"updates": updates}


def train(student: nn.Module, inputs: Tensor, targets: Tensor, updates: int | None, generator: torch.Generator) -> int:
    """Leaves the student with the weights that were best on the validation part. -> updates made; None: by passes."""
    num_validated = int(VALIDATED * len(inputs))
    num_trained = len(inputs) - num_validated
    updates = updates or PASSES * num_trained // BATCH
    optimizer = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    best, best_weights = math.inf, student.state_dict()
    for update in range(1, updates + 1):
        rows = num_validated + torch.randint(num_trained, (BATCH,), generator=generator)
        optimizer.zero_grad()
        (student(inputs[rows]) - targets[rows]).square().mean().backward()
        optimizer.step()
        schedule.step()
        if update % (updates // VALIDATIONS) == 0:
            with torch.no_grad():
                loss = (student(inputs[:num_validated]) - targets[:num_validated]).square().mean().item()
            if loss < best:
                best, best_weights = loss, copy.deepcopy(student.state_dict())
    student.load_state_dict(best_weights)
    return updates


def curve_of(results: dict, kind: str, rule: str, unit: str, seeds: int) -> Curve:
    """Every seed's points."""
    points = [(count, results[kind, rule, count, seed][unit]) for seed in range(seeds) for count in COUNTS]
    counts, errors = zip(*points, strict=True)
    return Curve(tuple(map(float, counts)), errors, (1.0,) * len(points), "squared" if unit == "mse" else "linear")


def above_floor(curve: Curve) -> tuple[float, LineFit | None]:
    """The floor E of L(N) = E + a N^(-2 alpha), and the line through sqrt(L - E), whose exponent is alpha (None: all is floor)."""
    return squared_floor(curve), fit_least_squares(to_linear(curve))


def table(results: dict, seeds: int) -> str:
    lines = [
        f"Made by `python benchmarks/teacher_student.py --seeds {seeds}` ({MACHINE}). {seeds} teachers, N = 2,000 to 64,000;",
        "choices that the paper leaves open are stated at the head of the script. Error = coefficient N^-exponent by least",
        "squares of the logs over all seeds; outputs have variance 1.",
        "",
        "| model | compute | error | at N = 2,000 | at 64,000 | coefficient | exponent | R2 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, (coefficient, exponent, fit) in PAPER.items():
        ends = " | ".join(f"{coefficient * count**-exponent:.3g}" for count in (COUNTS[0], COUNTS[-1]))
        lines.append(f"| {kind} | paper | its eps, unit not stated | {ends} | {coefficient} | {exponent} | {fit} |")
        for rule in RULES:
            squared, *linear = (row_of(results, kind, rule, unit, seeds) for unit in UNITS)
            lines += [squared, floor_row(results, kind, rule, seeds), *linear]
    return "\n".join([*lines, "", *READING]) + "\n"


READING = (
    "Lemma 1 is linear in the error, so a split needs the exponent of a distance. A mean squared error falls with twice that",
    "exponent: .96, if it was fitted to a squared error, is .48 in the unit of the lemma. The rows below each mean squared one",
    "take the floor E of L(N) = E + a N^(-2 alpha) off first. The targets are free of noise, so such a floor is what the",
    "training leaves, not the data; and the two rules differ in nothing but the training, so an exponent that differs between",
    "them describes the training too.",
)


def row_of(results: dict, kind: str, rule: str, unit: str, seeds: int) -> str:
    line = fit_least_squares(curve_of(results, kind, rule, unit, seeds))
    ends = [
        np.mean([results[kind, rule, count, seed][unit] for seed in range(seeds)]) for count in (COUNTS[0], COUNTS[-1])
    ]
    cells = [kind, RULES[rule], UNITS[unit], *(f"{end:.3g}" for end in ends), *numbers(line)]
    return "| " + " | ".join(cells) + " |"


def floor_row(results: dict, kind: str, rule: str, seeds: int) -> str:
    floor, line = above_floor(curve_of(results, kind, rule, "mse", seeds))
    cells = [kind, RULES[rule], f"sqrt(mean squared - {floor:.2g})", "", "", *numbers(line)]
    return "| " + " | ".join(cells) + " |"


def numbers(line: LineFit | None) -> list[str]:
    if line is None:  # all of the error is floor
        return ["-", "-", "-"]
    return [f"{line.coefficient:.3g}", f"{line.exponent:.2f}", f"{line.r_squared:.3f}"]


def figure(results: dict, seeds: int) -> Figure:
    """Mean squared error on the left, mean distance on the right, each with its fitted lines and the paper's law."""
    picture = Figure(figsize=(10.0, 5.6), layout="constrained")
    for axes, unit in zip(picture.subplots(1, 2), ("mse", "mean"), strict=True):
        draw(axes, results, unit, seeds)
    return picture


def draw(axes: Axes, results: dict, unit: str, seeds: int) -> None:
    counts = np.array(COUNTS, float)
    for index, (kind, rule) in enumerate((kind, rule) for kind in OUTPUTS for rule in RULES):
        color = CURVES[index]
        line = fit_least_squares(curve_of(results, kind, rule, unit, seeds))
        for seed in range(seeds):
            axes.plot(
                counts, [results[kind, rule, count, seed][unit] for count in COUNTS], "o", color=color, markersize=4
            )
        name = f"{kind}, {RULES[rule]}: N^-{line.exponent:.2f}, R2 {line.r_squared:.2f}"
        axes.plot(counts, line.coefficient * counts**-line.exponent, color=color, linewidth=1.5, label=name)
    for (kind, (coefficient, exponent, _)), style in zip(PAPER.items(), ("--", ":"), strict=True):
        name = f"paper, {kind}: N^-{exponent}"
        axes.plot(counts, coefficient * counts**-exponent, style, color=LIMIT, linewidth=1.5, label=name)
    axes.set(xscale="log", yscale="log", xlabel="samples N", ylabel=f"{UNITS[unit]} error [outputs have variance 1]")
    axes.set_title({"mse": "In squared units", "mean": "In linear units, as in the lemma"}[unit], fontsize=10)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    plain_log(axes.xaxis, COUNTS[::2])
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), fontsize=8, frameon=False)


if __name__ == "__main__":
    main()
