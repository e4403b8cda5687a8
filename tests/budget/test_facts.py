"""Facts of a plan: what is not known is absent, and comes back as absent."""

from tandem.budget.plan import Facts


def test_facts_that_are_not_known_are_not_recorded():
    facts = Facts(gap_after=2.0, stop_buying=False, best_share=0.25)
    assert facts.record() == {"gap_after": 2.0, "stop_buying": 0.0, "best_share": 0.25}
    assert Facts.from_record(facts.record()) == facts and facts.gap_now is None
