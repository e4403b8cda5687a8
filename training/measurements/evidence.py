"""What an allocator is told, put together from the ledger, the replays and what the last phase measured."""

from ...budget.plan import Evidence, Measured
from ...envs.make import episode_length
from ..config import Config
from ..run import Run
from . import raters as tiers
from .features import predictor


def evidence(run: Run) -> Evidence:
    """For the plan of the phase that begins."""
    progress = run.progress
    last = progress.history[-1] if progress.history else None
    return make_evidence(
        run.config,
        phase=progress.phase,
        phases=progress.phases,
        transitions=run.ledger.units("transition"),
        labels=run.desk.num_bought,
        rows_asked=run.desk.num_items,
        pending=len(run.labels.pending),
        measured=Measured.from_record(last["measured"]) if last and last["measured"] else None,
        weights_before=last["plan"]["weights"] if last else None,
        **tiers_known(run, last["residual"] if last else None),
    )


def tiers_known(run: Run, residual: float | None) -> dict:
    """The labels held in clean equivalents and the ways to buy more; residual: squared, of a perfect rater's labels."""
    config = run.config.labeler
    if not config.tiers:
        return {}
    estimates = tiers.estimate(run.labels, config, predictor(run)) if residual else None
    return {
        "clean_labels": tiers.clean_equivalents(run.labels, estimates, residual),
        "offers": tiers.offers(config, estimates, residual),
    }


def make_evidence(config: Config, phase: int, phases: int, transitions: int, labels: int, **known) -> Evidence:
    """Evidence with what the configuration says; `known` are further fields of it."""
    needed = config.train.batch * config.train.length + config.envs.num * (config.train.length + 1)
    return Evidence(
        phase=phase,
        phases=phases,
        transitions=transitions,
        labels=labels,
        transition_lot=config.envs.num,
        episode_length=episode_length(config.task, config.envs),
        min_transitions=needed,
        seed=config.seed,
        **({"offers": tiers.offers(config.labeler, None, None)} | known),
    )
