"""What `tandem plan` answers: the best split of a budget under the laws of two errors, beside the two usual guesses."""

import math

from ..market import Counts, Market, at_label_share, coupled, gap, split
from ..money import budget_in_micro, check_coins, price_in_micro
from ..scaling import ErrorLaw, check_positive_pair
from .laws import RunTerms, law_of, laws_answer, laws_lines
from .raters import TierTerms, gap_text, rollout_answer, tier_answer, tier_table


def plan_answer(
    budget: float,
    price_transition: float,
    price_label: float,
    dynamics: tuple[float, float] | None = None,
    reward: tuple[float, float] | None = None,
    weights: tuple[float, float] = (1.0, 1.0),
    have_transitions: int = 0,
    have_labels: int = 0,
    kappa: float = math.inf,
    tiers: tuple[TierTerms, ...] = (),
    residual: float = 1.0,
    item_price: float = 0.0,
    rollout_price: float | None = None,
    horizon: int = 15,
    gradient_variance: tuple[float, float] = (1.0, 1.0),
    measured: RunTerms | None = None,
) -> dict:
    """The counts to hold in the end and what they promise.

    Args:
        budget: coins to spend now, beside what `have_*` has cost already; what is bought never costs more.
        dynamics, reward: (coefficient, exponent) of error = coefficient * count ** -exponent; None: as `measured` has it,
            or the paper's without it.
        weights: of the two errors in the gap. have_transitions, have_labels: the stock. kappa: most labels a transition.
        tiers, residual, item_price: see `tier_answer`; without tiers nothing is said of them.
        rollout_price, horizon, gradient_variance: see `rollout_answer`; without a price nothing is said of rollouts.
        measured: of a run; its `arguments()` are to be given along.

    Returns:
        `transitions` and `labels` are TOTAL counts, stock included; `label_spend_share` is the labels' part of all
        money, the stock at today's prices. `gap`, `gap_fifty_fifty` (half of all money each) and `gap_coupled` (a label
        for every transition) are the weighted errors at the best split and at the two guesses; None where a guess buys
        none of a kind. `laws`: see `laws_answer`. With tiers, the keys of `tier_answer` and `rollout_answer` besides.

    Raises:
        ValueError: "<argument>: ...", for an argument out of range or a budget that cannot give one of each kind.
    """
    _check_numbers(weights, have_transitions, have_labels, kappa)
    market = _market(budget, price_transition, price_label, Counts(have_transitions, have_labels), kappa, measured)
    sides = law_of("dynamics", dynamics, measured), law_of("reward", reward, measured)
    laws = sides[0].law, sides[1].law
    answer = _split_answer(market, laws, weights, budget) | {"laws": laws_answer(*sides, measured)}
    if tiers:
        answer |= tier_answer(market, laws, weights, tiers, residual, item_price)
    if rollout_price is None:
        return answer
    if not tiers:
        raise ValueError("rollout_price: must come with tiers, whose answers score the rollouts, got none")
    return answer | rollout_answer(budget, tiers, rollout_price, horizon, gradient_variance)


def _market(
    budget: float, price_transition: float, price_label: float, stock: Counts, kappa: float, measured: RunTerms | None
) -> Market:
    """At the prices as they are written: rounded up to whole micro-coins, the budget down."""
    for name, coins in (("budget", budget), ("price_transition", price_transition), ("price_label", price_label)):
        check_coins(name, coins)
    prices = (price_in_micro(price_transition), price_in_micro(price_label))
    caps = (math.inf if measured is None or measured.can_collect else stock.transitions, math.inf)
    return Market(budget_in_micro(budget), prices, stock, caps, labels_per_transition=kappa)


def _split_answer(market: Market, laws: tuple[ErrorLaw, ErrorLaw], weights: tuple[float, float], budget: float) -> dict:
    """The best split and the two guesses beside it."""
    best = split(market, *laws, weights)
    if min(best) == 0:
        raise ValueError(f"budget: must buy at least one transition and one label, got {budget}")
    return {
        "transitions": best.transitions,
        "labels": best.labels,
        "label_spend_share": _label_share(best, market.prices),
        "gap": gap(best, *laws, weights),
        "gap_fifty_fifty": _finite(gap(at_label_share(market, 0.5), *laws, weights)),
        "gap_coupled": _finite(gap(coupled(market), *laws, weights)),
    }


def plan_table(answer: dict) -> str:
    """The answer for a person to read."""
    share = answer["label_spend_share"]
    rows = [
        ("transitions (stock included)", f"{answer['transitions']:,}"),
        ("labels (stock included)", f"{answer['labels']:,}"),
        ("spend, transitions : labels", f"{1 - share:.1%} : {share:.1%}"),
        ("gap at this split", gap_text(answer["gap"])),
        ("gap at half of the spend each", gap_text(answer["gap_fifty_fifty"])),
        ("gap at a label for every transition", gap_text(answer["gap_coupled"])),
    ]
    width = max(len(name) for name, _ in rows)
    table = "\n".join(f"{name:<{width}}  {value:>15}" for name, value in rows) + tier_table(answer)
    notes = laws_lines(answer["laws"])
    return "\n".join([table, "", *notes]) if notes else table


def _check_numbers(weights, have_transitions, have_labels, kappa) -> None:
    check_positive_pair("weights", weights)
    for field, count in (("have_transitions", have_transitions), ("have_labels", have_labels)):
        if count < 0:
            raise ValueError(f"{field}: must be 0 or more, got {count}")
    if not kappa > 0:
        raise ValueError(f"kappa: must be positive, got {kappa}")


def _label_share(counts: Counts, prices: tuple[int, int]) -> float:
    spends = [count * price for count, price in zip(counts, prices, strict=True)]
    return spends[1] / sum(spends)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
