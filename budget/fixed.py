"""The allocators that measure nothing: a fixed share, a label for every transition, and laws that are given."""

from dataclasses import dataclass, replace
from functools import partial

from .market import at_label_share, coupled, split
from .phase import UNMEASURED_LABEL_SHARE, answer_price, joined, plan_by
from .plan import AllocatorConfig, Evidence, Plan, Purse
from .scaling import PowerLaw


@dataclass(frozen=True)
class Fixed:
    """A constant share of all spend on labels. What the pilot's minimum or rounding bent is made up for afterwards."""

    config: AllocatorConfig

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan:
        share = UNMEASURED_LABEL_SHARE if self.config.label_share is None else self.config.label_share
        plan = plan_by(self.config, evidence, ledger, partial(at_label_share, label_share=share))
        least = plan.labels * answer_price(evidence, ledger.prices) / ledger.total if evidence.phase == 0 else 0.0
        if least <= share:
            return plan
        note = f"the pilot's {plan.labels} labels (allocator.pilot_labels) are {least:.1%} of all the money, not {share:.1%}"
        return replace(plan, note=joined(plan.note, note))


@dataclass(frozen=True)
class Coupled:
    """A label for every transition."""

    config: AllocatorConfig

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan:
        return plan_by(self.config, evidence, ledger, coupled)


@dataclass(frozen=True)
class Optimum:
    """The split of least gap under power laws given beforehand, along the expansion path."""

    config: AllocatorConfig

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan:
        if evidence.phase == 0:
            return plan_by(self.config, evidence, ledger, partial(at_label_share, label_share=UNMEASURED_LABEL_SHARE))
        laws = {"dynamics": PowerLaw(*self.config.dynamics), "reward": PowerLaw(*self.config.reward)}
        return plan_by(self.config, evidence, ledger, partial(split, **laws, weights=self.config.weights))
