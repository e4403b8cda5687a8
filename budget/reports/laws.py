"""The laws by which `tandem plan` reckons that errors fall with data, and who says so: the person, the paper or a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import UserError
from ..adaptive import nearer, smoothed
from ..ledger import Ledger
from ..money import MICRO, Balance
from ..plan import AllocatorConfig, Measured
from ..scaling import Curve, ErrorLaw, MeanLaw, PowerLaw, check_positive_pair, fit_posterior

SIDES = ("dynamics", "reward")
PAPER = AllocatorConfig()  # its defaults are the laws fitted in arXiv 2605.06732
_SAMPLES = 256  # laws a side, as many as the adaptive allocator weighs


@dataclass(frozen=True)
class SideLaw:
    """How one error falls with its data. `facts` are for JSON: what a person should know of the law."""

    source: Literal["given", "paper", "run"]
    law: ErrorLaw
    facts: dict


@dataclass(frozen=True)
class RunTerms:
    """What a run has measured and paid: all that a plan for further money has to know. Prices in coins.

    Where raters have tiers, labels are counted in labels of a perfect rater, at what one costs from the tier bought last.
    """

    run: str
    phase: int  # in which the errors were measured
    explained_variance: float  # of held-out returns, by the critic
    explains: str  # what the models behind the errors know, in words
    doubt: str  # why the errors mean little; "" where they do mean something
    dynamics: SideLaw
    reward: SideLaw
    weights: tuple[float, float]  # of the two errors in the gap, return units
    price_transition: float
    price_label: float
    have_transitions: int
    have_labels: int
    kappa: float  # most labels a transition
    can_collect: bool = True  # whether transitions can be bought
    tier: str | None = None  # whose price of a label it is, where raters have tiers

    def arguments(self) -> dict:
        """As `plan_answer` takes them."""
        names = (
            "weights",
            "price_transition",
            "price_label",
            "have_transitions",
            "have_labels",
            "kappa",
        )
        return {name: getattr(self, name) for name in names} | {"measured": self}


def law_of(side: str, given: tuple[float, float] | None, measured: RunTerms | None) -> SideLaw:
    """The law of the side "dynamics" or "reward": the one given, else the run's, else the paper's.

    Raises:
        ValueError: "<side>: ..." where the pair given is not two positive numbers.
    """
    if given is None and measured is not None:
        return getattr(measured, side)
    pair = getattr(PAPER, side) if given is None else given
    check_positive_pair(side, pair)
    facts = {"coefficient": pair[0], "exponent": pair[1]}
    return SideLaw("paper" if given is None else "given", PowerLaw(*pair), facts)


def run_terms(ledger: Ledger, run: str, phases: Path | None = None) -> RunTerms:
    """From what a run has measured last: the newest record in `phases` (phases.jsonl) or, of runs that have none or where
    it holds no errors of both, the newest decision before which both were measured.

    The laws are those that the adaptive allocator would weigh: the mean of laws drawn from the posterior, floors included,
    which one measured error suffices for and which never rises. A straight line through the logs has neither quality.

    Raises:
        UserError: nothing is measured yet.
    """
    known = [*ledger.decisions(), *_after_last(ledger.decisions(), phases)]
    decision = next((one for one in reversed(known) if _is_measured(one["inputs"])), None)
    if decision is None:
        raise UserError(
            f"{run}: no decision with measured errors yet, so the run knows no laws: use --dynamics and --reward"
        )
    evidence = decision["inputs"]
    measured = evidence["measured"]
    known_then = Measured.from_record(measured)
    rng = np.random.default_rng([decision["phase"], evidence.get("seed", 0)])  # decisions of older runs have no seed
    dynamics, reward = (_fitted(Curve(**measured[side]), rng) for side in SIDES)
    before = evidence["weights_before"]
    return RunTerms(
        run=run,
        phase=decision["phase"],
        explained_variance=measured["explained_variance"],
        explains=known_then.explains,
        doubt=known_then.doubt,
        dynamics=dynamics,
        reward=reward,
        weights=nearer(smoothed(tuple(before) if before else None, known_then.weights), known_then),
        **_prices_and_stock(ledger.balance(), ledger.prices | _paid_of_late(ledger), decision),
    )


def _paid_of_late(ledger: Ledger) -> dict[str, int]:
    """The price of a label where it is measured, by kind."""
    price = ledger.mean_price("label")
    return {} if price is None else {"label": price}


def _after_last(decisions: list[dict], phases: Path | None) -> Iterator[dict]:
    """What the decision after the newest finished phase would be made from, where none was made yet."""
    if phases is None or not phases.is_file() or not decisions:
        return
    record = json.loads(phases.read_text().splitlines()[-1])
    if record["phase"] < decisions[-1]["phase"]:
        return
    has_tiers = bool(record["offers"])
    known = {
        "measured": record["measured"],
        "weights_before": record["plan"]["weights"],
        "labels": record["labels"],
        "clean_labels": record["clean_labels"] if has_tiers else None,
    }
    inputs = decisions[-1]["inputs"] | known
    yield {"phase": record["phase"] + 1, "inputs": inputs, "outputs": {"offer": record["plan"]["offer"]}}


def _is_measured(evidence: dict) -> bool:
    measured = evidence["measured"]
    if not measured or not all(Curve(**measured[side]).usable().shape[1] for side in SIDES):
        return False
    return all(np.isfinite(weight) and weight > 0 for weight in measured["weights"])


def _fitted(curve: Curve, rng: np.random.Generator) -> SideLaw:
    posterior = fit_posterior(curve)
    assert posterior is not None, curve  # `_is_measured` has seen usable errors
    counts = curve.usable()[0]
    low, high = posterior.exponent_interval()
    facts = {
        "errors": len(counts),
        "largest_count": float(counts.max()),
        "exponent": posterior.exponent,
        "exponent_low": low,
        "exponent_high": high,
        "floor_dominates": posterior.probability_floor_dominates,
    }
    return SideLaw("run", MeanLaw(posterior.sample(_SAMPLES, rng)), facts)


def _prices_and_stock(balance: Balance, prices: dict[str, int], decision: dict) -> dict:
    """As fields of RunTerms."""
    evidence, offer = decision["inputs"], decision["outputs"]["offer"]
    price, labels, clean = prices["label"] / MICRO, balance.labels, 1.0
    if offer:
        clean = offer["clean"]
        price = offer["price_micro"] / clean / MICRO
    if evidence["clean_labels"] is not None and evidence["labels"]:
        labels = round(balance.labels * evidence["clean_labels"] / evidence["labels"])
    return {
        "price_transition": prices["transition"] / MICRO,
        "price_label": price,
        "have_transitions": balance.transitions,
        "have_labels": labels,
        "kappa": evidence["labels_per_transition"] * clean,
        "can_collect": evidence.get("can_collect", True),  # decisions of older runs do not say
        "tier": offer["tier"] if offer else None,
    }


def laws_answer(dynamics: SideLaw, reward: SideLaw, measured: RunTerms | None) -> dict:
    """For JSON: "source" ("given", "paper", "run", or "mixed" where the sides differ), and each side's own with its facts;
    of a run also its folder, the phase, the weights, prices and stock that it has measured, paid and bought."""
    sources = {dynamics.source, reward.source}
    answer = {"source": sources.pop() if len(sources) == 1 else "mixed"}
    answer |= {side: {"source": law.source, **law.facts} for side, law in zip(SIDES, (dynamics, reward), strict=True)}
    if measured:
        names = (
            "run",
            "phase",
            "explained_variance",
            "explains",
            "doubt",
            "weights",
            "price_transition",
            "price_label",
            "tier",
        )
        names += ("have_transitions", "have_labels", "can_collect")
        answer["measured"] = {name: getattr(measured, name) for name in names}
        answer["measured"]["weights"] = list(measured.weights)
    return answer


def laws_lines(laws: dict) -> list[str]:
    """What a person should know of the laws that an answer rests on; nothing where he gave both."""
    unknown = [side for side in SIDES if laws[side]["source"] == "paper"]
    lines = []
    if len(unknown) == 2:
        lines.append("laws: those of the paper's experiment, not yours: give --dynamics and --reward, or --run RUN")
    elif unknown:
        lines.append(
            f"law of the {unknown[0]}: that of the paper's experiment, not yours: give --{unknown[0]}, or --run RUN"
        )
    if "measured" in laws:
        lines += _run_lines(laws)
    return lines


def _run_lines(laws: dict) -> list[str]:
    known = laws["measured"]
    kind = f"a label of a perfect rater, bought from {known['tier']}," if known["tier"] else "a label"
    prices = f"a transition costs {known['price_transition']:g}, {kind} {known['price_label']:.4g} coins"
    stock = f"{known['have_transitions']:,} transitions and {known['have_labels']:,} labels"
    lines = [
        f"from {known['run']}: {prices}; stock {stock}",
        f"laws, measured before phase {known['phase']}, gaps in return units:",
    ]
    lines += [f"  {side}: {_law_text(laws[side])}" for side in SIDES if laws[side]["source"] == "run"]
    if not known["can_collect"]:
        lines.append("  the run collects nothing: all to labels")
    little = ": these errors mean little, and so does this answer" if known["doubt"] else ""
    return [*lines, f"  {known['doubt'] or known['explains']}{little}"]


def _law_text(facts: dict) -> str:
    number = facts["errors"]
    text = (
        f"{number} error{'s' * (number != 1)} up to a count of {facts['largest_count']:,.0f}, exponent "
        f"{facts['exponent']:.3g} (90 %: {facts['exponent_low']:.3g} to {facts['exponent_high']:.3g})"
    )
    if facts["floor_dominates"] > 0.5:
        text += f"; mostly a floor that no data removes, with probability {facts['floor_dominates']:.2f}"
    return text
