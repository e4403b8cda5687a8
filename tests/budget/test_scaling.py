"""Laws fitted to error curves: exponents, floors, doubts and units."""

import math

import numpy as np
import pytest

from tandem.budget.scaling import (
    EXPONENTS,
    FLOOR_SHARES,
    Curve,
    LawSamples,
    MeanLaw,
    PowerLaw,
    fit_least_squares,
    fit_posterior,
    squared_floor,
    to_linear,
)


def curve(counts, errors, weights=None, unit="linear") -> Curve:
    counts = tuple(float(count) for count in counts)
    return Curve(counts, tuple(float(error) for error in errors), weights or (1.0,) * len(counts), unit)


def law_curve(exponent: float, floor: float = 0.0, points: int = 40, noise: float = 0.0, seed: int = 0) -> Curve:
    """Errors 2 [phi + (1 - phi) (N / 1e4) ** -alpha] at N = 10 .. 1e4."""
    counts = np.geomspace(10, 1e4, points)
    errors = 2 * (floor + (1 - floor) * (counts / 1e4) ** -exponent)
    return curve(counts, errors * np.exp(noise * np.random.default_rng(seed).standard_normal(points)))


def test_one_point_says_nothing_about_the_exponent():
    posterior = fit_posterior(curve([500], [0.3]))
    prior = np.exp(-(np.log(EXPONENTS / 0.3) ** 2) / (2 * 0.7**2))
    assert posterior.exponent == pytest.approx(float(prior @ EXPONENTS / prior.sum()))
    floors = posterior.probability.sum(0)
    assert floors[0] == pytest.approx(0.4)
    assert floors[1:-1] / floors[2:] == pytest.approx(np.full(7, math.exp(1 / 3)))
    assert posterior.mean_error(500) == pytest.approx(0.3)


def test_level_and_noise_are_integrated_out_exactly():
    """Against sums over a fine grid of both: log level flat, noise variance inverse-gamma(2, 2 * .1 ** 2)."""
    measured = curve([100, 200, 400, 900], [1.0, 0.8, 0.7, 0.4], (0.5, 1.0, 1.0, 1.0))
    counts, errors, weights = measured.usable()
    level, variance = np.meshgrid(np.linspace(-6, 4, 4001), np.exp(np.linspace(-10, 4, 800)), indexing="ij")

    def evidence(alpha: float, phi: float) -> float:
        log_density = -3 * np.log(variance) - 0.02 / variance + np.log(variance)  # the last: of the log-spaced grid
        for count, error, weight in zip(counts, errors, weights, strict=True):
            off = math.log(error) - level - math.log(phi + (1 - phi) * (count / 900) ** -alpha)
            log_density = log_density - weight * (np.log(variance) / 2 + off**2 / (2 * variance))
        return float(np.exp(log_density).sum())

    posterior, flat = fit_posterior(measured), fit_posterior(curve([900], [1.0]))
    first, second = (5, 0), (20, 4)
    ratio = evidence(EXPONENTS[5], 0.0) / evidence(EXPONENTS[20], 0.4)
    prior = flat.probability[first] / flat.probability[second]
    assert posterior.probability[first] / posterior.probability[second] == pytest.approx(ratio * prior, rel=1e-6)


def test_a_point_of_weight_two_is_two_points():
    once = fit_posterior(curve([10, 100, 100], [1.0, 0.4, 0.4]))
    heavy = fit_posterior(curve([10, 100], [1.0, 0.4], (1.0, 2.0)))
    assert heavy.probability == pytest.approx(once.probability)
    assert heavy.log_level == pytest.approx(once.log_level)


@pytest.mark.parametrize("cell, floor", [(4, 0.0), (12, 0.0), (20, 0.0), (16, 0.3), (22, 0.6)])
def test_a_law_is_recovered_with_its_floor(cell, floor):
    posterior = fit_posterior(law_curve(EXPONENTS[cell], floor, points=200))
    assert posterior.exponent == pytest.approx(EXPONENTS[cell], rel=0.1)
    assert float(posterior.probability.sum(0) @ FLOOR_SHARES) == pytest.approx(floor, abs=0.05)
    assert posterior.probability_floor_dominates == pytest.approx(float(floor >= 0.5), abs=0.05)
    assert posterior.mean_error(1e4) == pytest.approx(2.0, rel=0.02)
    truth = 2 * (floor + (1 - floor) * 10 ** -EXPONENTS[cell])
    assert posterior.mean_error(1e5) == pytest.approx(truth, rel=0.06)


def test_the_intervals_hold_the_truth_as_often_as_they_say():
    inside = {"exponent": 0, "band": 0}
    rng = np.random.default_rng(1)
    for seed in range(200):  # worlds drawn from the prior
        prior = fit_posterior(curve([1e4], [2.0])).sample(1, rng)
        exponent, floor = float(prior.exponent[0]), float(prior.floor_share[0])
        posterior = fit_posterior(law_curve(exponent, floor, points=8, noise=0.1, seed=seed))
        low, high = posterior.exponent_interval(0.9)
        inside["exponent"] += low <= exponent <= high
        bottom, top = posterior.band([3e4], 0.9)
        inside["band"] += bottom[0] <= 2 * (floor + (1 - floor) * 3**-exponent) <= top[0]
    # 180 expected, standard deviation 4; an interval of whole cells of the grid is a little too wide
    assert 168 <= inside["exponent"] <= 198
    assert 168 <= inside["band"] <= 194


def test_the_band_widens_where_nothing_is_measured():
    posterior = fit_posterior(law_curve(0.3, points=10, noise=0.1))
    low, high = posterior.band([1e3, 1e4, 1e5, 1e6])
    widths = np.log(high / low)
    assert widths[0] < widths[1] < widths[2] < widths[3]


def test_samples_are_the_posterior_and_the_seed_decides():
    posterior = fit_posterior(law_curve(0.3, points=6, noise=0.1))
    laws = posterior.sample(256, np.random.default_rng(7))
    assert laws.exponent.mean() == pytest.approx(posterior.exponent, rel=0.01)
    assert MeanLaw(laws).error(5e4) == pytest.approx(posterior.mean_error(5e4), rel=0.01)
    again = posterior.sample(256, np.random.default_rng(7))
    assert np.array_equal(laws.level, again.level) and np.array_equal(laws.exponent, again.exponent)


def test_slopes_are_derivatives():
    laws = LawSamples(np.array([2.0, 1.0]), np.array([0.0, 0.5]), np.array([0.3, 1.1]), reference=100.0)
    step = 1e-4
    slopes = (laws.error(50 - step) - laws.error(50 + step)) / (2 * step)
    assert np.exp(laws.log_slope(math.log(50))) == pytest.approx(slopes, rel=1e-6)
    assert math.exp(MeanLaw(laws).log_slope(math.log(50))) == pytest.approx(slopes.mean(), rel=1e-6)
    # 2 (50 / 100) ** -.3 = 2.4623
    assert laws.error(50)[0] == pytest.approx(2.4623, abs=1e-4)
    assert np.all(np.isinf(laws.error(0)))


def test_points_without_a_logarithm_are_dropped():
    good = fit_posterior(curve([100, 300], [0.5, 0.4]))
    bad = fit_posterior(curve([1, 2, 3, 4, 0, 100, 300], [0.0, math.nan, math.inf, -1.0, 0.3, 0.5, 0.4]))
    assert np.array_equal(bad.probability, good.probability) and bad.reference == 300


@pytest.mark.parametrize("errors", [[], [0.0], [math.nan, -1.0]])
def test_without_a_usable_point_there_is_no_posterior(errors):
    measured = curve(range(1, len(errors) + 1), errors)
    assert fit_posterior(measured) is None and fit_least_squares(measured) is None


def test_an_error_that_does_not_fall_is_stuck_and_one_that_falls_is_not():
    flat, falling = (Curve.of([(n, n**-exponent, 1.0) for n in 100 * 2.0 ** np.arange(8)]) for exponent in (0.0, 0.4))
    assert fit_posterior(flat).probability_stuck > 0.8
    assert fit_posterior(falling).probability_stuck < 0.02
    assert fit_posterior(Curve.of([(100, 1.0, 1.0)])).probability_stuck < 0.2, "one error says nothing"


def test_blurred_laws_keep_their_shape_and_lose_their_level():
    laws = fit_posterior(Curve.of([(100, 2.0, 1.0), (400, 1.0, 1.0)])).sample(2000, np.random.default_rng(0))
    blurred = laws.blurred(0.5, np.random.default_rng(1))
    assert np.log(blurred.level / laws.level).std() == pytest.approx(0.5, rel=0.05)
    ratio = blurred.error(1000) / blurred.error(100)
    np.testing.assert_allclose(ratio, laws.error(1000) / laws.error(100))


def test_errors_that_rise_are_taken_for_the_smallest_exponents():
    counts = np.geomspace(100, 800, 8)
    posterior, prior = fit_posterior(curve(counts, counts)), fit_posterior(curve([800], [1.0]))
    support = posterior.probability.sum(1) / prior.probability.sum(1)
    assert np.all(np.diff(support) < 0)
    assert posterior.exponent < 0.5 * prior.exponent
    assert math.isfinite(posterior.mean_error(1e6))


def test_least_squares_with_a_pencil():
    # log2: counts 0, 1, 2 and errors 3, 2, 1
    fit = fit_least_squares(curve([1, 2, 4], [8, 4, 2]))
    assert (fit.coefficient, fit.exponent, fit.r_squared) == pytest.approx((8, 1, 1))
    # log2 errors 3, 1, 2: slope -1/2, mean 2, residuals .5, -1, .5: 1 - 1.5 / 2
    assert fit_least_squares(curve([1, 2, 4], [8, 2, 4])).r_squared == pytest.approx(0.25)
    assert fit_least_squares(curve([1, 2, 4], [8, 2, 4])).exponent == pytest.approx(0.5)
    assert fit_least_squares(curve([5, 5], [1, 2])) is None


def test_a_squared_error_is_made_linear_by_its_floor():
    # L(N) = .04 + 9 N ** -1, so eps = 3 N ** -.5
    counts = np.geomspace(20, 5000, 12)
    squared = curve(counts, 0.04 + 9 / counts, unit="squared")
    assert squared_floor(squared) == pytest.approx(0.04, rel=0.02)
    linear = to_linear(squared)
    assert linear.unit == "linear"
    assert linear.errors == pytest.approx(3 * counts**-0.5, rel=0.15)
    fit = fit_least_squares(linear)
    assert (fit.coefficient, fit.exponent) == pytest.approx((3, 0.5), rel=0.05)
    assert fit_least_squares(squared).exponent < 0.9  # the floor bends the line


def test_a_squared_curve_without_floor_falls_twice_as_fast():
    counts = np.geomspace(20, 5000, 12)
    squared = curve(counts, 4 * counts**-0.96, unit="squared")
    assert fit_least_squares(squared).exponent == pytest.approx(0.96)
    assert fit_least_squares(to_linear(squared)).exponent == pytest.approx(0.48, rel=0.02)


def test_noise_of_the_targets_alone_leaves_no_linear_error():
    flat = curve([10, 100, 1000], [0.5, 0.5, 0.5], unit="squared")
    assert squared_floor(flat) >= 0
    assert all(error >= 0 for error in to_linear(flat).errors)
    assert to_linear(curve([10], [math.nan], unit="squared")).errors == ()


def test_a_curve_of_uneven_lengths_is_refused():
    with pytest.raises(ValueError, match=r"^curve: needs as many counts"):
        Curve((1.0, 2.0), (1.0,), (1.0,))


def test_any_input_gives_finite_numbers():
    rng = np.random.default_rng(3)
    odd = [0.0, math.nan, math.inf, -1.0, 1e-30, 1e30]
    for _ in range(300):
        number = int(rng.integers(1, 9))
        errors = np.exp(rng.normal(0, 5, number))
        errors = [float(rng.choice(odd)) if rng.random() < 0.2 else error for error in errors]
        counts = np.exp(rng.uniform(0, 20, number))
        posterior = fit_posterior(curve(counts, errors, tuple(rng.uniform(0.01, 3, number))))
        if posterior is None:
            continue
        assert posterior.probability.sum() == pytest.approx(1)
        laws = posterior.sample(16, rng)
        for count in (1.0, 1e3, 1e9):
            assert 0 < posterior.mean_error(count) < math.inf
            assert np.all(np.isfinite(laws.error(count))) and math.isfinite(MeanLaw(laws).log_slope(math.log(count)))


def test_a_power_law_and_its_samples_agree():
    law = PowerLaw(0.34, 0.11, floor=0.05)
    level = law.error(1000)
    samples = LawSamples(np.array([level]), np.array([0.05 / level]), np.array([0.11]), reference=1000.0)
    for count in (10, 1000, 1e6):
        assert samples.error(count)[0] == pytest.approx(law.error(count))
        assert samples.log_slope(math.log(count))[0] == pytest.approx(law.log_slope(math.log(count)))
