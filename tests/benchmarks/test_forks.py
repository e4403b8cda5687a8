"""The benchmark of forks: a phase's money is divided as asked, copies of a run differ by that alone, losses are right."""

import importlib
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tandem.budget.offers import LabelOffer
from tandem.budget.plan import Evidence
from tandem.training.settings import load_config

ROOT = Path(__file__).resolve().parents[2]
TINY = ("smoke", "task=toy_lq", "envs.repeat=1", "envs.time_limit=40", "train.updates=6", "log.figures=false")
MEASURED = ("measure.samples=1", "measure.episodes=1", "measure.windows=1", "measure.labels=32")


@pytest.fixture(scope="module")
def script():
    """Name of a file of benchmarks/forks -> module."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield lambda name: importlib.import_module(f"forks.{name}")
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize(("share", "transitions", "labels"), [(0.05, 96, 0), (0.5, 48, 5), (0.95, 8, 9)])
def test_the_money_of_one_phase_is_divided_whatever_was_bought_before(script, share, transitions, labels):
    # 100 coins, a label costs 10, transitions come by fours: of 5, 50 and 95 coins 0, 5 and 9 labels are bought, and the
    # rest is 100, 50 and 10 coins: 100, 48 and 8 transitions; 100 is no whole number of lots of 8.
    prices = {"transition": 1_000_000, "label": 10_000_000}
    ledger = SimpleNamespace(prices=prices, remaining=300_000_000, total=1_000_000_000)
    lot = 8 if share == 0.05 else 4
    evidence = Evidence(
        phase=10, phases=12, transitions=40, labels=30, transition_lot=lot, episode_length=0, min_transitions=0
    )
    plan = script("fork").plan_at(evidence, ledger, share)
    assert (plan.transitions, plan.labels) == (transitions, labels)
    assert plan.money_micro == 1_000_000 * (transitions + 10 * labels)


def test_a_fork_of_a_run_with_raters_buys_of_their_offer(script):
    # An item is answered 1.25 times for 15 coins, so an answer costs 12: half of 120 coins are 5.
    offer = LabelOffer(tier="crowd", price_micro=15_000_000, duplicate_share=0.25)
    ledger = SimpleNamespace(prices={"transition": 1_000_000, "label": 10_000_000}, remaining=120_000_000)
    evidence = Evidence(12, 12, 40, 30, transition_lot=4, episode_length=0, min_transitions=0, offers=(offer,))
    plan = script("fork").plan_at(evidence, ledger, 0.5)
    assert (plan.transitions, plan.labels, plan.money_micro) == (60, 5, 120_000_000) and plan.offer == offer


def test_the_run_that_is_forked_is_a_configuration(script):
    settings = script("settings")
    for task in settings.FORKED:
        config = load_config(list(settings.trunk_settings(task, seed=0)))
        assert config.allocator.label_share == 0.5 and max(settings.AT) < config.allocator.phases
        assert 50 in settings.shares_of(task) and (95 in settings.shares_of(task)) == (task.price > 1)


def test_losses_by_pencil(script):
    report = script("report")
    returns = {5: [1.0, 5.0, 3.0], 50: [4.0, 1.0, 1.0], 95: [0.0, 0.0, 0.0]}
    assert report.loss(returns, 5) == 0 and report.loss(returns, 50) == 1
    # Without seed 0 share 5 is best (8 against 2), without 1 share 50 (5 against 4), without 2 share 5 (6 against 5).
    assert report.fair_loss(returns, 50) == pytest.approx(((1 - 4) + (1 - 1) + (3 - 1)) / 3)
    assert math.isnan(report.fair_loss({5: [1.0], 50: [2.0]}, 5))
    assert report.nearest(37, (5, 20, 35, 50)) == 35 and report.nearest(42.5, (35, 50)) == 35


def test_only_seeds_that_every_share_has_are_compared(script):
    shares = script("settings").SHARES
    cells = {
        f"{share}-{seed}": {"share": share, "seed": seed, "return": seed, "gap_true": 7}
        for share in shares
        for seed in (0, 1)
    }
    cells |= {"plan": {"share": 0.3, "note": ""}, "more": {"share": 5, "seed": 2, "return": 2, "gap_true": 1}}
    assert script("report").by_share(cells, shares) == {share: [0, 1] for share in shares}
    assert script("report").by_share(cells, (*shares, 99)) == {}
    told = script("report").report({"gears-2": cells})
    assert "| 2 (2 seeds) | 0.50 |" in told and "| 2, true gap | 7.00 |" in told


@pytest.mark.slow
def test_a_copied_run_goes_on_as_it_is_told(script, monkeypatch, tmp_path):
    fork, experiment = script("fork"), script("experiment")
    monkeypatch.setattr(experiment, "AT", (0, 1))
    monkeypatch.setattr(experiment, "trunk_settings", lambda task, seed: (*TINY, *MEASURED, "allocator.name=fixed"))
    state = experiment.grown(SimpleNamespace(name="toy"), 1, tmp_path)
    before = sorted((file.name, file.stat().st_size) for file in state.rglob("*") if file.is_file())
    ways = {way: fork.fork(state, tmp_path / "fork", *way, 2) for way in ((0.2, 0), (0.8, 0), (0.2, 1))}
    little, much, other = ways.values()
    assert other["transitions"] == little["transitions"] and other["return"] != little["return"]
    assert little["transitions"] > much["transitions"] and little["labels"] < much["labels"]
    assert abs(little["spent"] - much["spent"]) < 2 * 4 + 2  # no more is left than a lot and a label cost
    assert 0 < fork.adaptive_plan(state, tmp_path / "plan").label_spend_share < 1
    assert before == sorted((file.name, file.stat().st_size) for file in state.rglob("*") if file.is_file())
