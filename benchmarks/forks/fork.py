"""A run that goes on from its copy: as it would have, or with one phase's money spent at a chosen share."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from cells import read_run
from tandem.budget.adaptive import Adaptive
from tandem.budget.ledger import Ledger
from tandem.budget.market import Counts, Market
from tandem.budget.phase import answer_price, phase_money, rows_asked, usual_offer
from tandem.budget.plan import Evidence, Plan
from tandem.seeds import Channel, derive_seed
from tandem.training.build import build
from tandem.training.config import Config
from tandem.training.measurements.findings import MeasureConfig
from tandem.training.phases import decide, finish_phase, measure, spend
from tandem.training.reports.evaluate import EvaluateConfig
from tandem.training.run import Run
from tandem.training.settings import read_config
from tandem.training.storage.folder import SAVED_AS

KEPT = ("return", "return_sampled", "gap_true", "spent", "transitions", "labels", "updates")
LITTLE = MeasureConfig(samples=1, episodes=1, windows=1, labels=32)  # nothing is planned from what a fork measures


def grow(run: Run, until: int) -> None:
    """Train until the end of phase `until`, and close the run."""
    try:
        while run.progress.phase <= until:
            spend(run, decide(run))
            finish_phase(run)
    finally:
        run.close()


def copy(folder: Path, to: Path) -> None:
    """The folder appears under its name once it is whole."""
    half = to.with_name(f"{to.name}.half")
    for old in (half, to):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(folder, half)
    half.rename(to)


def fork(folder: Path, to: Path, share: float, seed: int, episodes: int) -> dict[str, float | None]:
    """What the run in `folder` (a copy made at a phase's end) comes to if the next phase's money is spent at `share` of it on
    labels. seed: of all that is drawn from there on; the environments' next episodes begin alike in all forks."""
    copy(folder, to)
    config = read_config(to / SAVED_AS)
    judged = replace(config, measure=replace(LITTLE, snapshots=config.measure.snapshots))
    run = go_on(replace(judged, evaluate=EvaluateConfig(episodes, episodes, episodes)), to)
    try:
        reseed(run, seed)
        known = run.evidence()
        plan = plan_at(known, run.ledger, share)
        run.progress.plan, run.progress.stock = plan, [known.transitions, known.labels]
        spend(run, plan)
        finish_phase(run)
    finally:
        run.close()
    phases = read_run(to)
    return {name: phases[name][-1] for name in KEPT}


def go_on(config: Config, folder: Path) -> Run:
    """The run of a folder with other settings, which need not be those that a resume may change."""
    return build(replace(config, run=replace(config.run, dir=str(folder))), is_resumed=True)


def reseed(run: Run, seed: int) -> None:
    """Everything that the run will draw, but for the environments' resets."""
    base = run.config.seed
    run.noise_rng.manual_seed(derive_seed(base, Channel.NOISE, seed))
    run.agent.generator.manual_seed(derive_seed(base, Channel.AGENT, seed))
    draws = np.random.default_rng(derive_seed(base, Channel.DRAWS, seed))
    run.numpy_rng.bit_generator.state = draws.bit_generator.state


def plan_at(evidence: Evidence, ledger: Ledger, share: float) -> Plan:
    """The phase's money with `share` of it in labels, as far as there are rows to ask about, of the offer that is bought
    where no errors are weighed."""
    prices = (ledger.prices["transition"], answer_price(evidence, ledger.prices))
    market = Market(
        money=phase_money(evidence, ledger),
        prices=prices,
        stock=Counts(evidence.transitions, evidence.labels),
        labels_per_transition=evidence.labels_per_transition,
        unattached=evidence.labels - rows_asked(evidence),
        lots=(evidence.transition_lot, 1),
    )
    held = market.at_labels(evidence.labels + share * market.money // prices[1])
    transitions, labels = held.transitions - evidence.transitions, held.labels - evidence.labels
    cost = transitions * prices[0] + labels * prices[1]
    offer = usual_offer(evidence.offers) if evidence.offers else None
    return Plan(
        *(evidence.phase, transitions, labels, cost, labels * prices[1] / cost),
        note=f"a fork at {share:g}",
        offer=offer,
    )


def adaptive_plan(folder: Path, to: Path) -> Plan:
    """What the allocator of today plans from that state as its first decision, measured anew by today's measurements."""
    copy(folder, to)
    run = go_on(read_config(to / SAVED_AS), to)
    try:
        run.progress.phase -= 1
        found = measure(run)
        run.progress.phase += 1
        *earlier, last = run.progress.history
        run.progress.history = [*earlier, replace(last, measured=found.measured, clean_labels=found.clean_labels)]
        return Adaptive(replace(run.config.allocator, name="adaptive", label_share=None)).plan(
            run.evidence(), run.ledger
        )
    finally:
        run.close()
