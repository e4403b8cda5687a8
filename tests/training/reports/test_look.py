"""Looking at a run: with noise of the run's own seed, and never the end of a run."""

import json
from pathlib import Path

import pytest

import tandem.training.phases
from tandem.training.phases import train
from tandem.training.reports import look


def phases_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "phases.jsonl").open()]


@pytest.mark.slow
def test_the_noise_of_looking_depends_on_seed_and_phase(tiny, monkeypatch):
    refresh, seeds = tandem.training.phases.refresh, {}

    def watched(models, transitions, labels, seed):
        seeds.setdefault(run, []).append(seed)
        refresh(models, transitions, labels, seed)

    monkeypatch.setattr(tandem.training.phases, "refresh", watched)
    for run in (0, 1):
        train(tiny(f"seed={run}", folder=str(run)))
    assert len(seeds[0]) == 3 and len({*seeds[0], *seeds[1]}) == 6


@pytest.mark.parametrize(
    "broken",
    [
        "allocation_pictures",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("heldout_dynamics", "imagined_gap")),
    ],
)
def test_what_cannot_be_looked_at_warns_and_ends_no_run(tiny, monkeypatch, capsys, broken):
    def failing(*_):
        if broken == "allocation_pictures":
            return {"gap/bounds": lambda: 1 / 0}
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(look, broken, failing)
    config = tiny("log.figures=true", "log.films=false")
    train(config)
    folder = Path(config.run.dir)
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 3 and all("failed, the run goes on: ZeroDivisionError" in line for line in warnings)
    assert "Traceback" in (folder / "console.log").read_text()
    assert len((folder / "phases.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
def test_plans_are_the_same_with_and_without_looking(tiny, monkeypatch):
    first, second = tiny(folder="a"), tiny(folder="b")
    train(first)
    monkeypatch.setattr(look.Onlooker, "look", lambda self, history, evaluations, *rest: evaluations)
    train(second)
    phases = [phases_of(Path(one.run.dir)) for one in (first, second)]
    assert phases[0] == phases[1] and phases[0][-1]["measured"]


CORRIDOR = """
import gymnasium, numpy as np
from gymnasium.spaces import Box

class Corridor(gymnasium.Env):
    observation_space = Box(-9, 9, (1,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"]}
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.normal()
        return np.array([self.place], np.float32), {}
    def step(self, action):
        self.place = 0.9 * self.place + float(action[0]) + 0.1 * self.np_random.normal()
        return np.array([self.place], np.float32), -abs(self.place), False, False, {}
    def render(self):
        np.random.normal()  # which must not touch what training draws
        return np.full((40, 60, 3), 90, np.uint8)
"""


@pytest.mark.slow
def test_a_run_is_the_same_with_and_without_films(tiny, tmp_path, monkeypatch, differences, capsys):
    (tmp_path / "filmed_corridor.py").write_text(CORRIDOR)
    monkeypatch.syspath_prepend(tmp_path)
    task = "task=filmed_corridor:Corridor"
    first, second = (
        tiny(task, "log.figures=true", "log.films=true", folder="a"),
        tiny(task, "log.figures=false", folder="b"),
    )
    for config in (first, second):
        train(config)
    folders = [Path(config.run.dir) for config in (first, second)]
    assert differences(*folders) == [] and phases_of(folders[0]) == phases_of(folders[1])
    films = sorted(path.name for path in (folders[0] / "report" / "films").iterdir())
    assert films[-1] == "eval_film-002.gif"  # the end waits for it; a phase that is over sooner than a film has none
    assert not (folders[1] / "report").exists() and "warning" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_task_that_cannot_be_drawn_is_said_once_and_trains_on(tiny, capsys):
    config = tiny("log.figures=true", "log.films=true")
    train(config)
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and "toy_lq cannot be drawn here" in warnings[0], warnings
    assert len(phases_of(Path(config.run.dir))) == 3


@pytest.mark.slow
def test_a_run_without_evaluation_has_its_losses_and_pictures_but_no_returns(tiny):
    config = tiny("evaluate.episodes=0", "log.figures=true")
    train(config)
    rows = [json.loads(line) for line in (Path(config.run.dir) / "metrics.jsonl").open()]
    assert any("heldout" in key for row in rows for key in row)
    assert not any(key.startswith("eval/") for row in rows for key in row)
