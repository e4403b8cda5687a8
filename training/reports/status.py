"""What a person is told while a run goes: the money and speed line, the heading and the last word."""

from ...budget.money import MICRO
from ..run import Run
from .logger import ProgressLine


def show(run: Run) -> None:
    """The training scalars since the last time, the money, and the line on the terminal."""
    progress, balance = run.progress, run.ledger.balance()
    run.logger.flush(run.env_steps)
    money = {
        "budget/spent": balance.spent / MICRO,
        "budget/remaining": balance.remaining / MICRO,
        "budget/transitions": balance.transitions,
        "budget/labels": balance.labels,
        "budget/labels_outstanding": len(run.labels.pending),
        "train/updates": progress.updates,
    }
    run.logger.scalars(run.env_steps, money)
    run.logger.progress(
        ProgressLine(
            phase=min(progress.phase, progress.phases),
            phases=progress.phases,
            step=run.env_steps,
            transitions=balance.transitions,
            labels=balance.labels,
            spent=balance.spent / MICRO,
            total=balance.total / MICRO,
            updates=progress.updates,
            updates_in_all=progress.updates_in_all(balance.total) or None,
            episode_return=progress.history[-1]["return_mode"] if progress.history else None,
        )
    )


def describe(run: Run) -> str:
    config, balance = run.config, run.ledger.balance()
    return (
        f"{config.mode}, {run.learner.num_parameters / 1e6:.2f} M parameters on {run.device.type}, {balance.total / MICRO:,.0f} coins, "
        f"a transition {config.price.transition:g}, a label {config.price.label:g}"
    )


def last_result(run: Run) -> str:
    last = run.progress.history[-1]
    updates = "" if run.progress.updates else "no update was made, the budget is too small to learn from; "
    return (
        f"{updates}return {last['return_mode']:.1f} (mode), {last['return_sampled']:.1f} (sampled) for "
        f"{last['spent']:,.0f} coins: {last['transitions']:,} transitions and {last['labels']:,} labels"
    )
