"""An allocator of one's own: tandem train smoke allocator.name=my_allocator:LabelsFirst

It is told what is held, what was measured and what is left, and answers with a plan. `tandem ledger RUN --decisions` shows
what it planned.
"""

from dataclasses import dataclass
from functools import partial

from tandem.budget.market import at_label_share
from tandem.budget.phase import plan_by
from tandem.budget.plan import AllocatorConfig, Evidence, Plan, Purse


@dataclass(frozen=True)
class LabelsFirst:
    """Labels get 70 % of the first coins, and half of all of them in the end."""

    config: AllocatorConfig

    def plan(self, evidence: Evidence, ledger: Purse) -> Plan:
        share = 0.7 - 0.2 * evidence.phase / evidence.phases  # of all spend so far
        return plan_by(self.config, evidence, ledger, partial(at_label_share, label_share=share))
