"""What a phase's record says of its raters."""

from tandem.budget.offers import TierEstimate
from tandem.budget.raters import BiasEstimate, NoiseEstimate
from tandem.training.measurements.raters import TierEstimates, told


def test_a_raters_worth_is_told_once_it_is_known():
    estimates = TierEstimates({"ann": TierEstimate(NoiseEstimate(0.25), BiasEstimate(1.0, expected=0.25))}, (), ())
    # noise .5^2 and a bias that is expected to be .5 beside a residual of .75: .75 / (.75 + .25 + .25) of a clean label
    assert told(estimates, 0.75) == {"ann": {"sigma": 0.5, "bias": 1.0, "clean": 0.6}}
    assert told(None, 0.75) == told(estimates, None) == told(estimates, float("nan")) == {}
