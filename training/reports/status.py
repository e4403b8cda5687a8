"""What a person is told while a run goes: the money and speed line, the heading and the last word."""

import torch

from ...budget.money import MICRO, Balance
from ..config import Config
from ..progress import Progress
from .logger import Logger, ProgressLine


def write_row(logger: Logger, progress: Progress, balance: Balance, pending: int, step: int) -> None:
    """The training scalars since the last row, and the money. pending: labels on their way."""
    logger.flush(step)
    money = {
        "budget/spent": balance.spent / MICRO,
        "budget/remaining": balance.remaining / MICRO,
        "budget/transitions": balance.transitions,
        "budget/labels": balance.labels,
        "budget/labels_outstanding": pending,
        "train/updates": progress.updates,
    }
    logger.scalars(step, money)


def show(logger: Logger, progress: Progress, balance: Balance, step: int) -> None:
    """The line on the terminal."""
    logger.progress(
        ProgressLine(
            phase=min(progress.phase, progress.phases),
            phases=progress.phases,
            step=step,
            transitions=balance.transitions,
            labels=balance.labels,
            spent=balance.spent / MICRO,
            total=balance.total / MICRO,
            updates=progress.updates,
            updates_in_all=progress.updates_in_all(balance.total) or None,
            episode_return=progress.evaluations[-1].mean_mode if progress.evaluations else None,
        )
    )


def describe(config: Config, parameters: int, device: torch.device, processes: int, balance: Balance) -> str:
    where = device.type if processes == 1 else f"{device.type} in {processes} processes"
    return (
        f"{config.mode}, {parameters / 1e6:.2f} M parameters on {where}, {balance.total / MICRO:,.0f} coins, "
        f"a transition {config.price.transition:g}, a label {config.price.label:g}"
    )


def last_word(progress: Progress) -> str:
    last = progress.history[-1]
    updates = "" if progress.updates else "no update was made, the budget is too small to learn from; "
    returns = "no evaluation"
    if progress.evaluations:
        seen = progress.evaluations[-1]
        returns = f"return {seen.mean_mode:.1f} (mode), {seen.mean_sampled:.1f} (sampled)"
    return (
        f"{updates}{returns} for {last.spent:,.0f} coins: {last.transitions:,} transitions and {last.labels:,} labels"
    )
