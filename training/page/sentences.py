"""What a run bought and why, in whole sentences. Decisions are the ledger's; what one does not know it does not say."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...budget.money import MICRO
from ..reading.run_files import RunFiles
from ..reports.figures_evidence import ErrorCurve
from .numbers import coins_told, count, digits, is_number, lasted, percent, plural, returned


def state(files: RunFiles, spent: float | None, total: float) -> str:
    """Where the run stands, as far as is known. Coins; spent is None where nothing tells."""
    money = f"{coins_told(spent)} of {coins_told(total)} coins are spent"
    money = money if is_number(spent) else f"it is not known how many of {coins_told(total)} coins are spent"
    if files.is_over:
        worked = f" It worked for {lasted(files.evaluations[-1].hours)}." if files.evaluations else ""
        return f"The run is finished: {money}.{worked}"
    phases, done = files.setting("allocator.phases", 0), [record.phase for record in files.phases]
    if files.is_history_whole:
        where = f"phase {done[-1]} of {phases} was the last to be finished" if done else "no phase is finished yet"
        return f"The run is not finished: {money}, and {where}."
    where = f"phase {done[-1]} of {phases} is the last that is" if done else "no phase is"
    return f"Whether the run is finished is not known: {money}, and {where} known to be finished."


def outcome(files: RunFiles) -> str:
    """The latest evaluation, and the best of those whose return is a number."""
    if not files.evaluations:
        return "No episode was evaluated, so nothing is known of its true return."
    last, finite = files.evaluations[-1], [one for one in files.evaluations if is_number(one.return_mode)]
    said = (
        f"The latest evaluation, at {coins_told(last.spent)} coins, brought a mean true return of {returned(last.return_mode)} with the "
        f"most likely actions and {returned(last.return_sampled)} with drawn ones."
    )
    best = max(finite, key=lambda one: one.return_mode, default=last)
    if best is not last and not (is_number(last.return_mode) and best.return_mode <= last.return_mode):
        said += f" The best so far was {returned(best.return_mode)}, at {coins_told(best.spent)} coins."
    return said


def bought(account: Mapping[str, Any]) -> str:
    """All that the ledger has booked."""
    said = f"{plural(account['transitions'], 'transition')} and {plural(account['labels'], 'label')} were bought."
    if account["reserved"]:
        said += f" {coins_told(account['reserved'])} coins are reserved for what is on its way."
    if account["work_spent"]:
        said += f" {coins_told(account['work_spent'])} coins went to people's time that brought no label."
    if account["written_off"]:
        said += f" {coins_told(account['written_off'])} coins are written off, for what was lost."
    return said


def plan(decision: Mapping[str, Any]) -> str:
    """What a phase planned to buy, and why."""
    held, made = _mapping(decision.get("inputs")), _mapping(decision.get("outputs"))
    coins, share = made.get("money_micro"), made.get("label_spend_share")
    cost = f" for {coins_told(coins / MICRO)} coins" if is_number(coins) else ""
    buys = [plural(one.get(f"{kind}s"), kind) for one in (held, made) for kind in ("transition", "label")]
    said = [
        "It held {} and {}, and planned to buy {} and {} more".format(*buys) + f"{cost}: {percent(share)} on labels."
    ]
    if note := made.get("note"):
        said.append(f"Why: {str(note).rstrip('.')}.")
    return " ".join([*said, *_reasons(_mapping(made.get("facts"))), *_offer(_mapping(made.get("offer")))])


def _reasons(facts: Mapping[str, Any]) -> list[str]:
    said = []
    dynamics, reward = facts.get("gain_dynamics"), facts.get("gain_reward")
    if is_number(facts.get("gap_now")):
        said.append(
            f"Both errors together were thought to cost {digits(facts['gap_now'])} of the return, and "
            f"{digits(facts.get('gap_after'))} after the phase."
        )
    if is_number(dynamics) and is_number(reward):
        more = "labels bring more" if reward > dynamics else "transitions bring more"
        said.append(
            f"Of that the next coin takes {digits(dynamics)} if it buys transitions and {digits(reward)} if it buys labels: {more}."
        )
    if is_number(facts.get("label_share")):
        said.append(f"In the end {percent(facts['label_share'])} of all spend is to have gone to labels.")
    if facts.get("stop_buying"):
        said.append("The phase is hardly worth its money: to stop buying would lose little.")
    return said


def known(decision: Mapping[str, Any]) -> str:
    """What the plan was made from, for who looks closer; empty where nothing was measured."""
    facts = _mapping(_mapping(decision.get("outputs")).get("facts"))
    measured = _mapping(_mapping(decision.get("inputs")).get("measured"))
    said = [_law(side, facts) for side in ("dynamics", "reward") if is_number(facts.get(f"exponent_{side}"))]
    if is_number(latents := facts.get("exponent_latents")):
        said.append(
            f"The reward error falls with the power {digits(latents)} of transitions too, for the reward model reads the latents that they shape."
        )
    if is_number(facts.get("best_share")):
        low, high = percent(facts.get("best_share_low")), percent(facts.get("best_share_high"))
        said.append(f"Spent anew, {percent(facts['best_share'])} would go to labels (90 %: {low} to {high}).")
    if said and is_number(explained := measured.get("explained_variance")):
        said.append(f"The critic explained {percent(explained)} of the variance of held-out returns.")
    return " ".join(said)


def _law(side: str, facts: Mapping[str, Any]) -> str:
    low, high = (digits(facts.get(f"exponent_{side}_{end}")) for end in ("low", "high"))
    floor = facts.get(f"floor_dominates_{side}")
    mostly = (
        f"; with probability {percent(floor)} most of it is a floor that no data removes" if is_number(floor) else ""
    )
    return f"The {side} error falls with the power {digits(facts[f'exponent_{side}'])} of its data (90 %: {low} to {high}){mostly}."


def _offer(offer: Mapping[str, Any]) -> list[str]:
    if not offer:
        return []
    price = offer.get("price_micro")
    cost = f" that costs {digits(price / MICRO)} coins" if is_number(price) else ""
    answers, worth = plural(offer.get("replication"), "answer"), digits(offer.get("clean"))
    return [f"Labels came from {offer.get('tier', '?')}, {answers} an item{cost} and is worth {worth} perfect labels."]


def law(curve: ErrorCurve, what: str, data: str) -> str:
    """What is known of one error."""
    number = len(curve.counts)
    if not len(curve.law_counts):
        return f"No {what} error was measured from which a law could be told."
    now, then = (_at(curve, held) for held in (curve.today, curve.planned))
    said = f"The {what} error, measured at {plural(number, 'count')} of {data}, falls with the power {digits(curve.exponent)}"
    said += f": about {now} at the {count(curve.today)} that are held"
    return (
        f"{said}, and {then} at the {count(curve.planned)} planned in the end."
        if curve.planned > curve.today
        else f"{said}."
    )


def _at(curve: ErrorCurve, number: float) -> str:
    return digits(float(np.interp(np.log(max(number, 1.0)), np.log(curve.law_counts), curve.mean)))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
