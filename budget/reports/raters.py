"""What `tandem plan --tiers` answers: which raters to buy labels from, and how often each."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..market import Counts, Market, gap, split
from ..money import MICRO, check_coins, price_in_micro
from ..offers import LabelOffer, PerItem, best_replication, check_residual, clean_worth
from ..rollouts import best_rollouts
from ..scaling import ErrorLaw

FIELDS = ("price", "sigma", "bias")


@dataclass(frozen=True)
class TierTerms:
    """A tier as a person describes it: coins an answer, and in reward units its noise and what is feared of its bias."""

    name: str
    price: float
    sigma: float
    bias: float = 0.0

    def __post_init__(self):
        check_coins(f"tiers: price of {self.name}", self.price)
        for field in ("sigma", "bias"):
            if not (math.isfinite(getattr(self, field)) and getattr(self, field) >= 0):
                raise ValueError(f"tiers: {field} of {self.name} must be 0 or more, got {getattr(self, field)}")


def parse_tiers(text: str) -> tuple[TierTerms, ...]:
    """From "cheap:price=1,sigma=1;expert:price=6,sigma=0.2" (bias=... may follow). ValueError "tiers: ..."."""
    tiers = tuple(_parse_tier(part.strip()) for part in text.split(";") if part.strip())
    names = [tier.name for tier in tiers]
    if not tiers or len(set(names)) < len(names):
        raise ValueError(f"tiers: must be different names with their terms, got {text!r}")
    return tiers


def _parse_tier(text: str) -> TierTerms:
    name, colon, terms = (part.strip() for part in text.partition(":"))
    if not colon or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"tiers: must look like cheap:price=1,sigma=1, got {text!r}")
    given = {}
    for term in terms.split(","):
        field, _, value = (part.strip() for part in term.partition("="))
        if field not in FIELDS or field in given:
            raise ValueError(f"tiers: {name} takes each of {', '.join(FIELDS)} once, got {term.strip()!r}")
        try:
            given[field] = float(value)
        except ValueError as error:
            raise ValueError(f"tiers: {field} of {name} must be a number, got {value!r}") from error
    for field in ("price", "sigma"):
        if field not in given:
            raise ValueError(f"tiers: {name} needs its {field}: what a label is worth cannot be told without it")
    return TierTerms(name, **given)


def tier_answer(
    market: Market,
    laws: tuple[ErrorLaw, ErrorLaw],
    weights: tuple[float, float],
    tiers: Sequence[TierTerms],
    residual: float,
    item_price: float,
) -> dict:
    """Each tier as if all labels came from it, and the one of least gap.

    Args:
        market: money, the price of a transition, stock; its price of a label is not looked at.
        laws: error against transitions, and against labels of a perfect rater (the stock of labels counts as such).
        residual: s0, the standard deviation of what a perfect rater would leave unexplained, reward units.
        item_price: coins for showing a distinct item.

    Returns:
        "tiers": name -> "replication" (answers an item), "item_price" (coins, all its answers included), "clean" (perfect
        labels an item is worth), "clean_price" (coins a perfect label's worth), "transitions" to hold in the end, "items"
        and "answers" to buy, "gap" with the bias in it (None where the money buys none of a kind); and "best_tier".
    """
    if not (math.isfinite(item_price) and item_price >= 0):
        raise ValueError(f"item_price: must be 0 or more and finite, got {item_price}")
    if not (math.isfinite(residual) and residual > 0):
        raise ValueError(f"residual: must be positive and finite, got {residual}")
    rows = {tier.name: _row(market, laws, weights, tier, residual**2, item_price) for tier in tiers}
    affordable = [name for name, row in rows.items() if row["gap"] is not None]
    if not affordable:
        raise ValueError(
            f"budget: must buy at least one transition and one item of a tier, got {market.money / MICRO:g}"
        )
    return {"tiers": rows, "best_tier": min(affordable, key=lambda name: rows[name]["gap"])}


def _row(market: Market, laws, weights, tier: TierTerms, s0_squared: float, item_price: float) -> dict:
    """Solved in items, as the adaptive allocator does: they are what is paid for, and what needs a transition each."""
    check_residual(s0_squared)
    replication = best_replication(tier.price, tier.sigma**2, s0_squared, item_price)
    price = item_price + replication * tier.price
    price_micro = price_in_micro(item_price) + replication * price_in_micro(tier.price)
    clean = clean_worth([tier.sigma**2] * replication, s0_squared)
    offer = LabelOffer(tier.name, price_micro, replication, clean, tier.bias)
    dynamics, reward = laws[0], PerItem(laws[1], offer)
    held = int(market.stock.labels / clean)
    here = replace(
        market,
        prices=(market.prices[0], offer.price_micro),
        stock=Counts(market.stock.transitions, held),
        unattached=held - market.stock.labels,
    )
    best = split(here, dynamics, reward, weights)
    items = best.labels - held
    return {
        "replication": replication,
        "item_price": price,
        "clean": clean,
        "clean_price": price / clean,
        "transitions": best.transitions,
        "items": items,
        "answers": items * replication,
        "gap": gap(best, dynamics, reward, weights) if min(best) else None,
    }


def rollout_answer(
    budget: float,
    tiers: Sequence[TierTerms],
    rollout_price: float,
    horizon: int,
    gradient_variance: tuple[float, float],
) -> dict:
    """Where raters score every step of each rollout and no model learns from it: rollouts against answers a step.

    Returns:
        "rollouts": tier -> "rollouts", "replication" (answers a step) and "variance" of the policy gradient; and
        "best_rollout_tier", of least variance. Bias is not in it: no number of rollouts averages it out.
    """
    check_coins("rollout_price", rollout_price)
    rows = {}
    for tier in tiers:
        plan = best_rollouts(budget, gradient_variance, tier.sigma**2, rollout_price, tier.price, horizon)
        rows[tier.name] = {"rollouts": plan.rollouts, "replication": plan.replication, "variance": plan.variance}
    return {"rollouts": rows, "best_rollout_tier": min(rows, key=lambda name: rows[name]["variance"])}


def tier_table(answer: dict) -> str:
    """For a person to read; nothing where no tiers were asked about."""
    lines = []
    if "tiers" in answer:
        lines += [
            "",
            f"{'all labels from':<17}{'answers':>8}{'coins':>10}{'worth':>8}{'coins per':>12}{'items':>11}{'gap':>9}",
        ]
        lines += [f"{'':<17}{'per item':>8}{'per item':>10}{'':>8}{'clean label':>12}"]
        for name, row in answer["tiers"].items():
            marked = f"{name} (best)" if name == answer["best_tier"] else name
            lines.append(
                f"{marked:<17}{row['replication']:>8}{row['item_price']:>10.4g}{row['clean']:>8.3f}"
                f"{row['clean_price']:>12.4g}{row['items']:>11,}{gap_text(row['gap']):>9}"
            )
    if "rollouts" in answer:
        lines += ["", f"{'scored rollouts':<17}{'rollouts':>9}{'answers per step':>18}{'gradient variance':>19}"]
        for name, row in answer["rollouts"].items():
            marked = f"{name} (best)" if name == answer["best_rollout_tier"] else name
            lines.append(f"{marked:<17}{row['rollouts']:>9,}{row['replication']:>18}{row['variance']:>19.4g}")
    return "\n".join(["", *lines]) if lines else ""


def gap_text(value: float | None) -> str:
    return "none of a kind" if value is None else f"{value:.4g}"
