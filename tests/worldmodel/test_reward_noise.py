"""Zero-mean label noise leaves the reward model's mean where it is (allocation.md, section 6)."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(BENCHMARKS))  # it imports its neighbours, as a script does
    spec = importlib.util.spec_from_file_location("reward_noise", BENCHMARKS / "reward_noise.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(BENCHMARKS))
    return module


@pytest.mark.parametrize(("sigma", "other"), [(1.0, 0.793), (3.0, 0.473)])
def test_the_ideal_fit_keeps_the_mean_and_a_mean_of_symlogs_does_not(benchmark, sigma, other):
    assert abs(benchmark.ideal_mean(1.0, sigma, 10_001) - 1) < 0.002
    assert benchmark.symlog_mean(1.0, sigma) == pytest.approx(other, abs=5e-4)


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_a_trained_model_keeps_the_mean(benchmark, sigma):
    for reward, found in zip((1.0, -2.0), benchmark.trained_means((1.0, -2.0), sigma, seed=0, number=64), strict=True):
        assert float(found) == pytest.approx(reward, rel=0.01)


def test_parts_of_steps_do_not_learn_noise_by_heart(benchmark):
    """Noise twice as large as what rewards differ by: whole steps end worse than a constant, parts better."""
    (whole,), (parts,) = (benchmark.few_labels(2.0, part, seed=0, number=100, updates=(400,)) for part in (1.0, 0.2))
    assert whole[0] < 0 < parts[0] and parts[1] > whole[1]
