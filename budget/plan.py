"""What an allocator is: what can be set, what it is told, and the plan it answers with.

A pilot comes first, then phases; each gets a plan of whole counts that what is left can pay.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ..errors import UserError
from ..outside import check_name
from .offers import LabelOffer
from .scaling import Curve, check_positive_pair

LEAST_EXPLAINED = 0.2  # of a variance: what explains less is not asked
_NO_CURVE = Curve((), (), ())
ALLOCATORS = ("fixed", "coupled", "optimum", "adaptive")  # those of ours


@dataclass(frozen=True)
class AllocatorConfig:
    name: str = "adaptive"  # fixed, coupled, optimum, adaptive or module:Class of your own
    label_share: float | None = None  # fixed alone: part of all spend that goes to labels, 0 .. 1; null: half
    phases: int = 12  # after the pilot
    pilot_share: float = 0.06  # of the total, spent before the first phase
    pilot_episodes: int = 2  # the pilot buys at least the transitions of so many, over all environments
    pilot_labels: int = 32  # the pilot buys at least this many
    dynamics: tuple[float, ...] = (0.34, 0.11)  # optimum: coefficient, exponent of error = coefficient * n ** -exponent
    reward: tuple[float, ...] = (90.4, 0.96)  # optimum: the same, n labels
    weights: tuple[float, ...] = (1.0, 1.0)  # optimum: of the two errors in the gap

    def __post_init__(self):
        check_name(self.name, ALLOCATORS)
        if self.label_share is not None and not 0 < self.label_share < 1:
            raise ValueError(f"label_share: must be between 0 and 1, both excluded, got {self.label_share}")
        if self.label_share is not None and self.name != "fixed":
            raise ValueError(f"label_share: only allocator.name=fixed has one, got {self.label_share} for {self.name}")
        if self.phases < 1:
            raise ValueError(f"phases: must be 1 or more, got {self.phases}")
        if not 0 <= self.pilot_share <= 1:
            raise ValueError(f"pilot_share: must be from 0 to 1, got {self.pilot_share}")
        for name, count in (("pilot_episodes", self.pilot_episodes), ("pilot_labels", self.pilot_labels)):
            if count < 0:
                raise ValueError(f"{name}: must be 0 or more, got {count}")
        for name, pair in (("dynamics", self.dynamics), ("reward", self.reward), ("weights", self.weights)):
            check_positive_pair(name, pair)


def critic_trust(explained_variance: float) -> float:
    """How far the critic's promises count, 0 .. 1, by how much of the variance of held-out returns it explains."""
    return min(max(explained_variance, 0.0), 1.0) if math.isfinite(explained_variance) else 0.0


@dataclass(frozen=True)
class Measured:
    """Errors of a phase's end, from data that did not train what is measured. Plain numbers, so that it goes to JSON.

    weight * error is in return units, for either side: only there do the two errors have a common unit.
    """

    dynamics: Curve  # error against transitions bought, a point a phase, all on today's held-out block
    reward: Curve  # error against labels in clean-label equivalents, a point a refit
    weights: tuple[float, float]  # of the two errors, as measured now
    explained_variance: float  # of held-out returns by the critic
    explained_labels: float | None = (
        None  # of held-out labels by the reward model; None where the critic alone was asked
    )
    log_spreads: tuple[float, float] = (0.0, 0.0)  # standard errors of the logs of both errors' levels
    # The reward's error where today's labels are read off the latents of each phase's model, against transitions bought.
    latents: Curve = _NO_CURVE

    @property
    def trust(self) -> float:
        """The critic's part in the weights, 0 .. 1: the rest of what is imagined counts by its rewards alone."""
        return critic_trust(self.explained_variance)

    @property
    def doubt(self) -> str:
        """Why these errors mean nothing yet; "" where they do mean something."""
        if self.explained_labels is None:  # versions before 0.3 measured through the critic alone
            what, explained, of = "critic", self.explained_variance, "returns"
        else:
            what, explained, of = "reward model", self.explained_labels, "labels"
        if explained >= LEAST_EXPLAINED:
            return ""
        return f"the {what} explains {explained:.2f} of the variance of held-out {of}, less than {LEAST_EXPLAINED}"

    @property
    def explains(self) -> str:
        """What the models behind these errors know, in words."""
        if self.explained_labels is None:
            return f"the critic explains {self.explained_variance:.2f} of the variance of held-out returns"
        labels, returns = f"{self.explained_labels:.2f}", f"{self.explained_variance:.2f}"
        return f"of held-out variance the reward model explains {labels} (labels), the critic {returns} (returns)"

    @classmethod
    def from_record(cls, record: dict) -> "Measured":
        """From the plain dict that a checkpoint or the ledger holds."""
        sides = (side for side in ("dynamics", "reward", "latents") if side in record)  # the last one from 0.3 on
        curves = {side: Curve(**_tuples(record[side])) for side in sides}
        return cls(**{**_tuples(record), **curves})


@dataclass(frozen=True)
class Evidence:
    """What an allocator knows when it plans `phase` (0: the pilot; 1 .. phases: the rest)."""

    phase: int
    phases: int
    transitions: int  # bought so far
    labels: int  # bought or asked so far
    transition_lot: int  # transitions come in multiples of this: environments in lockstep
    episode_length: int  # agent steps, 0 where it is not known
    min_transitions: int  # what training needs to start
    labels_per_transition: float = 1.0  # most labels a transition (kappa)
    measured: Measured | None = None  # None where nothing could be measured
    weights_before: tuple[float, float] | None = None  # the smoothed weights of the last plan, None before the first
    share_before: float | None = None  # labels' part of the money of the last plan, if errors decided it
    rows_asked: int | None = None  # rows of the labels bought or asked so far; None: as many as the labels
    pending: int = 0  # of the labels, not answered yet
    clean_labels: float | None = None  # the labels held in clean-label equivalents; None: as many as the labels
    offers: tuple[LabelOffer, ...] = ()  # the ways to buy labels; none: the ledger's price, one clean answer an item
    label_price_micro: int | None = None  # what labels cost of late, to plan with; None: the ledger's price
    labels_per_phase: tuple[int, int] | None = None  # the least and the most that people give; None: any number
    seed: int = 0  # the run's, 0 .. 2**32 - 1: of whatever an allocator draws
    transitions_micro: int | None = None  # spent on the transitions; None: the ledger's price for each
    can_collect: bool = True  # whether transitions can be bought; else those held are all there will be

    def record(self) -> dict:
        """As plain numbers, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Facts:
    """What a person should know of a plan that was made from measured errors. None: not known, or not a finite number.

    A gap is the weighted sum of both errors, in return units; exponents are those of the laws by which errors fall, with
    an interval of 90 %; shares are the labels' part of all spend, 0 .. 1.
    """

    gap_now: float | None = None  # expected with what is held
    gap_after: float | None = None  # expected with what this phase adds
    gain_dynamics: float | None = None  # that the next coin in transitions takes off the gap
    floor_dominates_dynamics: float | None = None  # probability that no data would remove most of today's error
    stuck_dynamics: float | None = None  # probability that twice the data would hardly take anything off it
    exponent_dynamics: float | None = None
    exponent_dynamics_low: float | None = None
    exponent_dynamics_high: float | None = None
    gain_reward: float | None = None  # the same of labels
    floor_dominates_reward: float | None = None
    stuck_reward: float | None = None
    exponent_reward: float | None = None
    exponent_reward_low: float | None = None
    exponent_reward_high: float | None = None
    exponent_latents: float | None = None  # by which the reward's error falls with transitions; None: it is not seen to
    stop_buying: bool | None = None  # whether this phase is hardly worth its money
    label_share: float | None = None  # in the end, at the best that can still be had
    best_share: float | None = None  # the best if all the money could be spent anew
    best_share_low: float | None = None
    best_share_high: float | None = None
    # 0 .. 1, the larger of two: which part of all shares that interval leaves out, and how sure it is on which side of half of
    # the spend each the best share lies.
    sureness: float | None = None

    def record(self) -> dict[str, float]:
        """Name -> number of what is known, for JSON; a truth is 1 or 0."""
        return {name: float(value) for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_record(cls, record: dict[str, float]) -> "Facts":
        """From what `record` gave."""
        known: dict[str, Any] = {
            name: bool(value) if name == "stop_buying" else value for name, value in record.items()
        }
        return cls(**known)


@dataclass(frozen=True)
class Plan:
    """What to buy in one phase: not totals, but what comes on top of the stock."""

    phase: int
    transitions: int
    labels: int  # answers, repeated and gold ones included
    money_micro: int  # what it costs at the ledger's prices
    label_spend_share: float  # labels' part of that cost, 0 for an empty plan
    note: str = ""
    offer: LabelOffer | None = None  # how the labels are bought; None: the default tier, one answer an item
    weights: tuple[float, float] | None = None  # the smoothed weights that the plan was made with
    facts: Facts | None = None  # None where nothing was decided from measured errors

    def record(self) -> dict:
        """As plain numbers, for JSON: what the ledger and the checkpoints keep."""
        return {**asdict(self), "facts": self.facts.record() if self.facts else {}}

    @classmethod
    def from_record(cls, record: dict) -> "Plan":
        """From the plain dict that a checkpoint or the ledger holds; those of older runs have no facts, or few of them."""
        offer, facts = record.get("offer"), record.get("facts")
        made = {
            "offer": LabelOffer(**_tuples(offer)) if offer else None,
            "facts": Facts.from_record(facts) if facts else None,
        }
        return cls(**{**_tuples(record), **made})


def checked(plan: Plan, allocator: str, tiers: Sequence[str], can_collect: bool = True) -> Plan:
    """The plan itself. UserError "allocator.name: ..." for one that cannot be carried out: an allocator may be a person's
    own. tiers: who can be asked for labels. can_collect: as of the evidence."""
    wrong = f"allocator.name: {allocator} planned"
    if not isinstance(plan, Plan):
        raise UserError(f"{wrong} {plan!r}, expected a tandem.budget.plan.Plan")
    for name in ("transitions", "labels", "money_micro"):
        count = getattr(plan, name)
        if type(count) is not int or count < 0:
            raise UserError(f"{wrong} {name}={count!r}, expected a whole number from 0 on (int)")
    if plan.transitions and not can_collect:
        raise UserError(f"{wrong} transitions={plan.transitions}, expected 0 where data.collect=false")
    if plan.offer and plan.offer.tier not in tiers:
        raise UserError(f"{wrong} labels of {plan.offer.tier!r}, expected one of {', '.join(tiers)}")
    return plan


class Purse(Protocol):
    """What planning has to know of the money, in micro-coins. The ledger of a run is one."""

    prices: dict[str, int]  # of "transition" and "label", default tier

    @property
    def total(self) -> int: ...
    @property
    def remaining(self) -> int: ...  # neither spent nor reserved


class Allocator(Protocol):
    """Made with an AllocatorConfig, asked once a phase."""

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan: ...


def _tuples(record: dict) -> dict:
    """With tuples where JSON has made lists of them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
