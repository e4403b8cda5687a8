"""What an allocator is told of the phase before."""

import pytest

from tandem.budget.plan import Facts, Plan
from tandem.envs.labelers.base import LabelerConfig
from tandem.training.measurements.evidence import Stock, Terms, evidence
from tandem.training.phase_record import PhaseRecord

TERMS = Terms(transition_lot=1, episode_length=20, min_transitions=1, labeler=LabelerConfig(), seed=0)


@pytest.mark.parametrize("facts, told", [(None, None), (Facts(), 0.8)])
def test_a_share_that_no_error_decided_holds_nobody_back(facts, told):
    """The pilot's, and one for want of evidence: it may be anything, and the next plan moves from it by steps."""
    plan = Plan(0, 100, 100, 500, label_spend_share=0.8, facts=facts)
    last = PhaseRecord(0, 100, 500.0, 100, 100, {}, plan)
    assert evidence(TERMS, 1, 12, Stock(100, 100), last).share_before == told
