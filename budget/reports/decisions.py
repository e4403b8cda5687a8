"""What `tandem ledger --decisions` prints: what each phase planned to buy, and from which evidence."""

from ..money import MICRO
from ..plan import Measured

_COLUMNS = f"{'phase':>5}{'held: transitions + labels':>28}{'to buy: transitions':>21}{'labels':>9}{'coins':>10}{'on labels':>11}"


def decision_lines(decisions: list[dict]) -> list[str]:
    """From `Ledger.decisions()`: a row a phase; under it, where the allocator decided by measured errors, its reasons."""
    lines = [f"{_COLUMNS}  note"]
    for decision in decisions:
        lines.append(_row(decision))
        if decision["outputs"].get("facts"):
            lines += [f"{'':>7}{reason}" for reason in _reasons(decision["inputs"], decision["outputs"])]
    return lines + _by_evidence(decisions)


def _by_evidence(decisions: list[dict]) -> list[str]:
    """In how many phases after the pilot what was measured decided, and what half of it or more was read from."""
    later = [decision for decision in decisions if decision["phase"] > 0]
    decided = [one["inputs"]["measured"] for one in later if one["outputs"].get("facts")]
    if not decided:
        return []
    by_values = sum(Measured.from_record(one).trust >= 0.5 for one in decided)
    parts = f"{len(decided) - by_values} mostly by rewards alone, {by_values} mostly by the critic's values"
    return [f"{len(decided)} of {len(later)} plans were decided by what was measured: {parts}"]


def _row(decision: dict) -> str:
    held, plan = decision["inputs"], decision["outputs"]
    phase = "pilot" if decision["phase"] == 0 else decision["phase"]
    stock = f"{held['transitions']:,} + {held['labels']:,}"
    coins = f"{plan['money_micro'] / MICRO:,.0f}"
    counts = f"{plan['transitions']:>21,}{plan['labels']:>9,}{coins:>10}{plan['label_spend_share']:>11.1%}"
    return f"{phase:>5}{stock:>28}{counts}  {plan['note']}".rstrip()


def _reasons(evidence: dict, plan: dict) -> list[str]:
    """Why an allocator that measures planned what it planned."""
    facts = plan["facts"]
    anew = f"(90 %: {_share(facts, 'best_share_low')} to {_share(facts, 'best_share_high')})"
    share, best = _share(facts, "label_share"), _share(facts, "best_share")
    gaps = f"{_number(facts, 'gap_now')} now, {_number(facts, 'gap_after')} after this phase"
    measured = Measured.from_record(evidence["measured"])
    lines = [f"in the end {share} of all spend on labels, {best} if all were bought anew {anew}"]
    lines = (lines if evidence.get("can_collect", True) else []) + [
        f"expected gap {gaps}, in return units",
        f"{measured.explains}, whose values count for {measured.trust:.0%}",
    ]
    lines += [
        _side(side, evidence, plan, weight)
        for side, weight in zip(("dynamics", "reward"), plan["weights"], strict=True)
    ]
    if facts.get("exponent_latents") is not None:
        lines.append(
            f"the reward's error falls with transitions too, exponent {facts['exponent_latents']:.3g}: it reads the latents"
        )
    return lines + ([_offer(plan["offer"])] if plan["offer"] else [])


def _side(side: str, evidence: dict, plan: dict, weight: float) -> str:
    """What is known of one error, and what more data of its kind would bring."""
    facts, number = plan["facts"], len(evidence["measured"][side]["counts"])
    low, high = (_number(facts, f"exponent_{side}_{end}") for end in ("low", "high"))
    return (
        f"{side}: {number} error{'s' * (number != 1)}, exponent {_number(facts, f'exponent_{side}')} (90 %: {low} to {high}), "
        f"mostly a floor that no data removes with probability {_number(facts, f'floor_dominates_{side}')}, "
        f"hardly less with twice the data with probability {_number(facts, f'stuck_{side}')}, "
        f"weight {weight:.3g}, the next coin cuts the gap by {_number(facts, f'gain_{side}')}"
    )


def _offer(offer: dict) -> str:
    return (
        f"labels by {offer['tier']}, {offer['replication']} answer{'s' * (offer['replication'] != 1)} an item that is worth "
        f"{offer['clean']:.3g} clean labels and costs {offer['price_micro'] / MICRO:.6g} coins; bias at most "
        f"{offer['bias']:.3g} reward units"
    )


def _number(facts: dict, name: str) -> str:
    return "?" if facts.get(name) is None else f"{facts[name]:.3g}"


def _share(facts: dict, name: str) -> str:
    return "?" if facts.get(name) is None else f"{facts[name]:.0%}"
