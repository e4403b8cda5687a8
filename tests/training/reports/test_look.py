"""Looking at a run: with noise of the run's own seed, and never the end of a run."""

import json
from pathlib import Path

import pytest

import tandem.training.phases
from tandem.training.phases import train
from tandem.training.reports import look


def test_the_noise_of_looking_depends_on_seed_and_phase(tiny, monkeypatch):
    refresh, seeds = tandem.training.phases.refresh, {}

    def watched(models, transitions, labels, seed):
        seeds.setdefault(run, []).append(seed)
        refresh(models, transitions, labels, seed)

    monkeypatch.setattr(tandem.training.phases, "refresh", watched)
    for run in (0, 1):
        train(tiny(f"seed={run}", folder=str(run)))
    assert len(seeds[0]) == 3 and len({*seeds[0], *seeds[1]}) == 6


@pytest.mark.parametrize("broken", ["allocation_pictures", "heldout_dynamics", "imagined_gap"])
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


def test_plans_are_the_same_with_and_without_looking(tiny, monkeypatch):
    first, second = tiny(folder="a"), tiny(folder="b")
    train(first)
    monkeypatch.setattr(look.Onlooker, "look", lambda self, history, evaluations, *rest: evaluations)
    train(second)
    phases = [[json.loads(line) for line in (Path(one.run.dir) / "phases.jsonl").open()] for one in (first, second)]
    assert phases[0] == phases[1] and phases[0][-1]["measured"]


def test_a_run_without_evaluation_has_its_losses_and_pictures_but_no_returns(tiny):
    config = tiny("evaluate.episodes=0", "log.figures=true")
    train(config)
    rows = [json.loads(line) for line in (Path(config.run.dir) / "metrics.jsonl").open()]
    assert any("heldout" in key for row in rows for key in row)
    assert not any(key.startswith("eval/") for row in rows for key in row)
