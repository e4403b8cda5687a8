"""What a person is told while a run goes: the money and speed line, where its time goes, the heading and the last word."""

from collections.abc import Mapping

import torch

from ...budget.money import MICRO, Balance, coins_shown
from ...budget.reports.decisions import decision_lines
from ...watch import REST, shares
from ..config import Config
from ..progress import Progress
from .logger import Logger, ProgressLine, duration

PARTS = {  # of a run's time, and what they are called
    "environment": "environments",
    "policy": "acting",
    "sample": "sampling",
    "copy": "copies to the device",
    "update": "updates",
    "write_back": "latents written back",
    "labels": "labels",
    "wait": "waiting for answers",
    "commit": "ledger and journals",
    "checkpoint": "checkpoints",
    "measure": "measuring and planning",
    "look": "evaluation and pictures",
}
LEAST_SHARE = 0.01  # that is worth a word


def write_row(
    logger: Logger, progress: Progress, balance: Balance, pending: int, step: int, seconds: Mapping[str, float]
) -> None:
    """The training scalars since the last row, the money, and where the time went. pending: labels on their way."""
    logger.flush(step)
    money = {
        "budget/spent": balance.spent / MICRO,
        "budget/remaining": balance.remaining / MICRO,
        "budget/transitions": balance.transitions,
        "budget/labels": balance.labels,
        "budget/labels_outstanding": pending,
        "train/updates": progress.updates,
    }
    spent = {f"time/{part}_seconds": round(value, 4) for part, value in seconds.items()}
    spent |= {f"time/share_{part}": round(value, 4) for part, value in shares(seconds).items()}
    logger.scalars(step, money | spent)


def took(what: str, seconds: Mapping[str, float]) -> str:
    """One sentence: how long it took, and where the time went, the largest part first."""
    told = {PARTS[part]: share for part, share in shares(seconds).items() if part != REST and share >= LEAST_SHARE}
    parts = [f"{share:.0%} {name}" for name, share in sorted(told.items(), key=lambda one: -one[1])]
    if parts and 1 - sum(told.values()) >= LEAST_SHARE:
        parts.append(f"{1 - sum(told.values()):.0%} the rest")
    return f"{what} took {duration(sum(seconds.values()))}" + (f": {', '.join(parts)}" if parts else "")


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
        f"{config.mode}, {parameters / 1e6:.2f} M parameters on {where}, {coins_shown(balance.total / MICRO)} coins, "
        f"a transition {config.price.transition:g}, a label {config.price.label:g}"
    )


def plan_text(phase: int, evidence: dict, plan: dict) -> str:
    """What a phase is going to buy and why, in Markdown: as `tandem ledger --decisions` has it."""
    lines = decision_lines([{"phase": phase, "inputs": evidence, "outputs": plan}])
    return "\n".join(f"    {line}" for line in lines)


def last_word(progress: Progress) -> str:
    last = progress.history[-1]
    updates = "" if progress.updates else "no update was made, the budget is too small to learn from; "
    returns = "no evaluation"
    if progress.evaluations:
        seen = progress.evaluations[-1]
        returns = f"return {seen.mean_mode:.1f} (mode), {seen.mean_sampled:.1f} (sampled)"
    return f"{updates}{returns} for {coins_shown(last.spent)} coins: {last.transitions:,} transitions and {last.labels:,} labels"
