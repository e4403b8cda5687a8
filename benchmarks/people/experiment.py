"""Five simulated people teach an agent through the label server, and what an hour of their work brings.

    python benchmarks/people [--tasks pendulum,swingup] [--methods clip,slider,pair,step] [--seeds 0,1,2] [--runs FOLDER]

`clip`: scores of clips of 16 rows with five keys; `slider`: the same with anything between, off by 6 % of the scale; `pair`:
which of two clips is better, after 30 scores; all from raters who press anything in a tenth of all cases, rest and take
breaks, skip clips without anything in them, and are asked through HTTP by the same server that people use. `step`: the true
reward of single rows, without any error, for the same money. A label is planned at 5 seconds of somebody who earns 12 coins an
hour. Time passes faster for raters, server and trainer alike: what is told is their work in hours. Finished cells are kept.
Writes people.{json,md,png} into --results.
"""

import argparse
import json
import math
import socket
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import uvicorn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import drawing
import tandem.envs.labelers.make
import tandem.training.build
from cells import MACHINE
from kept import Kept, rounded
from tandem.budget.ledger import Ledger
from tandem.envs.labelers.people.films import Film, Films
from tandem.envs.labelers.people.people import People
from tandem.envs.labelers.people.queue import Queue
from tandem.envs.labelers.people.raters import Raters
from tandem.envs.labelers.people.server.app import make_app
from tandem.envs.labelers.people.server.guards import Hosts
from tandem.envs.labelers.people.simulated import SimulatedConfig
from tandem.training.phases import train
from tandem.training.settings import load_config

from .raters import Clock, Crew, when

RESULTS = Path(__file__).parents[1] / "results"
SPEED = 60.0
NAMES = ("ann", "bob", "cem", "dee", "eve")
LENGTH, SECONDS, WAGE, KEYS = 16, 5.0, 12.0, 5
HUBER = 0.1  # of the scale, as by default
SLIDER_SPREAD = 0.06  # of the scale: standard deviation of where a slider is put
GUMBEL_SPREAD = math.pi / math.sqrt(6)  # a Gumbel number's own
PRICE = SECONDS * WAGE / 3600
UPDATES = {"pendulum": 1800, "swingup": 8000}
TASKS = {  # preset, transitions, labels, reward of a row at the worst and at the best, goal
    "pendulum": ("quick_pendulum", 4000, 720, -24.0, 0.0, -200.0),
    "swingup": ("quickstart", 14000, 720, 0.0, 8.0, 600.0),
}
METHODS = {"clip": "scores of clips", "slider": "the same by slider", "pair": "pairs", "step": "true rewards of steps"}
SPENT = {"hours": "hours of people's work", "coins": "coins spent"}  # of the figure: a row each
NO_FILM = Film(b"none", {"frames": 1, "columns": 1, "width": 1, "height": 1, "fps": 1, "context": 0})
COMMON = ("dynamics.free_nats=0.1", "log.films=false", "log.figures=false", "threads=1", "allocator.name=fixed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", type=Path, default=Path("runs/people"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    for seed in map(int, options.seeds.split(",")):
        for task in options.tasks.split(","):
            for method in options.methods.split(","):
                spread = [SLIDER_SPREAD] if method == "slider" else []
                kept = Kept(options.results / "people.json", json.dumps([settings(task, method), SPEED, *spread]))
                kept.cell(f"{task}/{method}/{seed}", partial(taught, task, method, seed, options.runs))
    cells = Kept(options.results / "people.json", "").cells
    (options.results / "people.md").write_text(report(cells))
    drawing.save(figure(cells), options.results / "people.png")


def settings(task: str, method: str) -> list[str]:
    preset, transitions, labels, low, high, _ = TASKS[task]
    price = PRICE * labels / transitions / 2  # of a transition: a third of all money
    total = PRICE * labels + price * transitions
    chosen = [preset, *COMMON, f"budget.total={total:.6f}", f"price.label={PRICE:.6f}", f"price.transition={price:.8f}"]
    chosen += [f"allocator.label_share={PRICE * labels / total:.4f}", f"train.updates={UPDATES[task]}"]
    if method == "step":
        return chosen
    kind = "pair" if method == "pair" else "clip"
    people = [f"labeler.kind={kind}", f"labeler.length={LENGTH}", f"labeler.low={low}", f"labeler.high={high}"]
    people += [f"labeler.huber={HUBER}"]
    return [*chosen, *people, "labeler.name=people", f"labeler.wage={WAGE}", "labeler.ahead=40", "labeler.anchors=30"]


def taught(task: str, method: str, seed: int, runs: Path) -> dict:
    """One run. -> its returns by money and by hours of people's work."""
    folder = runs / f"{task}-{method}-{seed}"
    config = load_config([*settings(task, method), f"seed={seed}", f"run.dir={folder}"])
    begun = time.time()
    failures = [] if method == "step" else with_people(config, task, folder, seed, 0 if method == "slider" else KEYS)
    if method == "step":
        train(config)
    return found_in(folder, method) | {"minutes": rounded((time.time() - begun) / 60), "failures": failures}


def found_in(folder: Path, method: str) -> dict:
    """What a run's folder tells: returns by coins and by hours of people's work."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = [row for row in rows if "eval/return" in row]
    with closing(Ledger.open(folder / "ledger.db")) as ledger:
        raters, balance = ledger.by_rater(), ledger.balance()
    seconds = sum(one["seconds"] + one["work_seconds"] for one in raters.values())
    each = seconds / max(1, balance.labels) if raters else SECONDS
    counts = [row_before(rows, row, "budget/labels") for row in found]
    return {
        "coins": [rounded(row_before(rows, row, "budget/spent")) for row in found],
        "hours": [rounded(count * each / 3600) for count in counts],
        "returns": [rounded(row["eval/return"]) for row in found],
        "sampled": [rounded(row["eval/return_sampled"]) for row in found],
        "labels": balance.labels,
        "transitions": balance.transitions,
        "hours_of_work": rounded(seconds / 3600 if raters else balance.labels * SECONDS / 3600),
    }


def row_before(rows: list[dict], row: dict, key: str) -> float:
    """The newest value of a key up to this row."""
    values = [one[key] for one in rows[: rows.index(row) + 1] if key in one]
    return float(values[-1]) if values else 0.0


def with_people(config, task: str, folder: Path, seed: int, levels: int) -> list[str]:
    """Train while raters answer, with so many keys, 0: a slider. -> what failed of theirs."""
    clock = Clock(SPEED, time.time())
    make, crews = tandem.training.build.make_labeler, []
    tandem.envs.labelers.make.People = partial(People, now=clock.now)

    def hiring(labeler_config, vault, *rest):
        _, _, _, low, high, _ = TASKS[task]
        skip = 0.02 if low == 0 else 0.0  # of nothing at all in a clip, where nothing is what happens mostly
        scale = LENGTH * (high - low)
        beta = math.inf if levels else GUMBEL_SPREAD / (SLIDER_SPREAD * scale)
        simulated = SimulatedConfig(low, high, beta=beta, mistake=0.1, levels=levels, skip=skip, margin=scale)
        crews.append((vault, simulated))
        return make(labeler_config, vault, *rest)

    tandem.training.build.make_labeler = hiring
    office = threading.Thread(target=open_office, args=(folder, clock, crews, seed, failures := []))
    office.start()
    try:
        train(config)
    finally:
        tandem.training.build.make_labeler, tandem.envs.labelers.make.People = make, People
        crews.append(None)  # the run is over
        office.join()
    return failures


def open_office(folder: Path, clock: Clock, crews: list, seed: int, failures: list[str]) -> None:
    """The server and its raters, from the first question to the end of the run."""
    while not (folder / "questions.db").exists():
        if crews and crews[-1] is None:
            return
        time.sleep(0.1)
    vault, simulated = crews[0]
    with Queue.open(folder, clock.now) as queue, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(queue, port, Hosts(False, frozenset())), log_level="error", lifespan="off", ws="none"
            )
        )
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        serving.start()
        assert when(lambda: server.started, 30), "the server does not start"
        crew = Crew(queue, vault, clock, simulated, seed)
        crew.start(port, {name: Raters(queue).add(name) for name in NAMES})
        films = Films(queue)
        while crews[-1] is not None and not crew.failures:
            for number in films.undrawn(20):
                if (question := films.question(number)) is not None:
                    films.put(number, [NO_FILM] * len(question.clips))  # who is simulated sees rewards
            time.sleep(0.2)
        crew.stop()
        server.should_exit = True
        serving.join()
        failures += crew.failures


def report(cells: dict) -> str:
    lines = [
        f"Made by `python benchmarks/people` ({MACHINE}). Returns of mode actions at the end; hours of people's work, of which",
        "the last column is what it took to the goal (each seed; none: not reached).",
        "",
        "| task | labels | loss | updates | seeds | return at the end | labels bought | hours of work | goal | hours to it |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for task, (*_, goal) in TASKS.items():
        for method in METHODS:
            found = [cell for name, cell in sorted(cells.items()) if name.startswith(f"{task}/{method}/")]
            if found:
                ends = ", ".join(f"{cell['returns'][-1]:g}" for cell in found)
                to_goal = ", ".join(hours_to(cell, goal) for cell in found)
                labels, hours = (np.mean([cell[key] for cell in found]) for key in ("labels", "hours_of_work"))
                loss, updates = (
                    ", ".join(sorted({told_by(cell, key) for cell in found})) for key in ("huber", "updates")
                )
                lines.append(
                    f"| {task} | {method} | {loss} | {updates} | {len(found)} | {ends} | {labels:.0f} | {hours:.2f} | {goal:g} | "
                    f"{to_goal} |"
                )
    return "\n".join([*lines, ""])


def told_by(cell: dict, key: str) -> str:
    """What the settings of a cell say of its loss (of scores) or its updates; cells without a word of the loss know no scores."""
    words = dict(word.partition("=")[::2] for word in json.loads(cell["settings"])[0])
    if key == "updates":
        return words["train.updates"]
    return {None: "-", "0.0": "squared"}.get(words.get("labeler.huber"), "Huber")


def hours_to(cell: dict, goal: float) -> str:
    reached = [hours for hours, value in zip(cell["hours"], cell["returns"], strict=True) if value >= goal]
    return f"{reached[0]:.2f}" if reached else "none"


def figure(cells: dict) -> Figure:
    """True return against people's hours, and below it against all coins, those for transitions too."""
    tasks = [task for task in TASKS if any(name.startswith(f"{task}/") for name in cells)]
    picture = Figure(figsize=(4.6 * len(tasks), 6.6), layout="constrained")
    grid = picture.subplots(len(SPENT), len(tasks), squeeze=False)
    for row, (spent, told) in zip(grid, SPENT.items(), strict=True):
        for axes, task in zip(row, tasks, strict=True):
            curves(axes, {name: cell for name, cell in cells.items() if name.startswith(f"{task}/")}, spent)
            axes.set(title=task, xlabel=told, ylabel="true return")
            axes.grid(alpha=0.3)
    by_label = {line.get_label(): line for axes in grid[0] for line in axes.lines}
    picture.legend(by_label.values(), by_label.keys(), loc="outside lower center", ncols=len(by_label))
    return picture


def curves(axes: Axes, cells: dict, spent: str) -> None:
    """A line a run, a colour a method."""
    for name, cell in sorted(cells.items()):
        method = name.split("/")[1]
        color = f"C{list(METHODS).index(method)}"
        axes.plot(cell[spent], cell["returns"], "o-", ms=3, color=color, label=METHODS[method], alpha=0.8)
