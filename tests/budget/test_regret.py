"""The simulated worlds of benchmarks/regret.py are the ones it promises, and its regret is right."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from tandem.budget.allocator import make_allocator
from tandem.budget.plan import AllocatorConfig
from tandem.budget.scaling import MeanLaw, fit_posterior

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "regret.py"
METHODS = {"coupled", "fifty_fifty", "labels_80", "labels_20", "least_squares", "adaptive"}


@pytest.fixture(scope="module")
def regret():
    spec = importlib.util.spec_from_file_location("regret", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_worlds_are_drawn_from_the_ranges_they_promise(regret):
    worlds = [regret.draw_world(0, index) for index in range(400)]
    curves = [curve for world in worlds for curve in world.curves]
    assert all(0.3 <= world.label_price <= 300 for world in worlds)
    assert all(2e4 <= world.total / max(1, math.sqrt(world.label_price)) <= 1e6 for world in worlds)
    assert all(0.05 <= curve.alpha <= 1.2 and 0 <= curve.floor <= 0.6 for curve in curves)
    assert np.mean([curve.floor == 0 for curve in curves]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([curve.alpha_change != 0 for curve in curves]) == pytest.approx(0.4, abs=0.06)
    assert np.log([world.measured_weights[0] / world.weights[0] for world in worlds]).std() == pytest.approx(
        0.3, rel=0.1
    )
    assert all(curve.error(curve.n_ref) == pytest.approx(curve.level) for curve in curves)


def test_the_least_gap_is_that_of_the_closed_form(regret):
    # Equal exponents: N_d / N_r = (w_d A c_r / (w_r B c_d)) ** (1 / (1 + alpha)) = (2 * 10) ** (1 / 1.5) = 7.3681
    law = regret.TrueCurve(n_ref=1.0, level=1.0, floor=0.0, alpha=0.5, n_break=1.0, alpha_change=0.0)
    world = regret.World(10.0, 1e5, (law, law), (2.0, 1.0), (2.0, 1.0), (0, 0))
    ratio = 20 ** (1 / 1.5)
    labels = 1e5 / (ratio + 10)
    best = 2 * (ratio * labels) ** -0.5 + labels**-0.5
    assert world.least_gap(1e5) == pytest.approx(best, rel=1e-7)
    # All errors fall as the spend to the -.5: a gap 10 % above the best is wasted money of 1 - 1.1 ** -2
    assert regret.wasted(world, 1e5, 1.1 * best) == pytest.approx(1 - 1.1**-2, rel=1e-4)


def test_half_each_in_a_world_of_halves_has_no_regret(regret):
    law = regret.TrueCurve(n_ref=1.0, level=1.0, floor=0.2, alpha=0.5, n_break=1.0, alpha_change=0.0)
    world = regret.World(1.0, 1e4, (law, law), (1.0, 1.0), (1.0, 1.0), (0, 0))
    outcome = regret.play(world, make_allocator(AllocatorConfig(name="fixed")))
    assert outcome.regret == pytest.approx(0, abs=1e-7)
    assert len(outcome.seconds) == 13


def test_ablations_start_from_the_allocator_itself(regret):
    """So that a row of the ablations differs from the first one by what is taken away, and by nothing else."""

    def posterior_mean(curve, rng):
        return MeanLaw(fit_posterior(curve).sample(256, rng))

    for index in range(3):
        world = regret.draw_world(0, index)
        played = [
            regret.play(world, allocator)
            for allocator in (make_allocator(AllocatorConfig()), regret.ByLaws(AllocatorConfig(), posterior_mean))
        ]
        assert played[0].regret == played[1].regret > 0
        forgetful = regret.play(world, regret.ByLaws(AllocatorConfig(), posterior_mean, has_memory=False))
        assert forgetful.regret != played[0].regret


def test_measuring_beats_guessing_in_the_first_worlds(regret, tmp_path, monkeypatch, capsys):
    file = tmp_path / "regret.json"
    monkeypatch.setattr("sys.argv", ["regret.py", "--worlds", "12", "--seed", "3", "--json", str(file)])
    regret.main()
    methods = json.loads(file.read_text())
    assert methods.keys() == METHODS
    assert all(figures.keys() == set(regret.FIGURES) for figures in methods.values())
    for guess in METHODS - {"adaptive", "least_squares"}:
        for figure in ("median", "mean", "p90", "worst"):
            assert 0 <= methods["adaptive"][figure] < methods[guess][figure]
    out = capsys.readouterr().out
    assert "| adaptive |" in out and "12 worlds, seed 3" in out
