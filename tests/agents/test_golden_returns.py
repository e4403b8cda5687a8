"""Golden numbers of lambda returns and the return normaliser. Tolerances are those of golden/README.md."""

import re

import pytest
import torch

from tandem.agents.returns import PercentileScale, lambda_return

TOLERANCE = (1e-6, 5e-6)


@pytest.mark.parametrize("use", ["imag", "repl"])
def test_golden_lambda_return(golden, check, use):
    g = golden("lambda_return")
    cases = [key.removesuffix("_ret") for key in g if re.fullmatch(rf"{use}\d+_ret", key)]
    assert cases
    for case in cases:
        reward, term, last, boot = (g[f"{case}_{field}"].float() for field in ("reward", "term", "last", "boot"))
        ours = lambda_return(reward, term, last, boot, g[f"{case}_disc"].item(), g[f"{case}_lam"].item())
        check(ours, g[f"{case}_ret"], *TOLERANCE, what=case)


def test_golden_return_scale_over_six_batches(golden, check):
    g = golden("retnorm")
    scale = PercentileScale()
    check(torch.stack([scale.low, scale.scale()]), g["stats_before_any_update"], *TOLERANCE, what="before any update")
    for k, batch in enumerate(g["batches"]):
        given = scale.update(batch)
        check(given, g["scale"][k], *TOLERANCE, what=f"scale {k}")
        check(scale.low, g["lo"][k], *TOLERANCE, what=f"low {k}")
        check(scale.low, g["offset"][k], *TOLERANCE, what=f"offset {k}")
        check(scale.high, g["hi"][k], *TOLERANCE, what=f"high {k}")


def test_golden_percentiles(golden, check):
    g = golden("retnorm")
    for k, batch in enumerate(g["batches"]):
        latest = PercentileScale(rate=1.0)  # keeps nothing of its past: low and high are this batch's percentiles
        latest.update(batch)
        check(torch.stack([latest.low, latest.high]), g["perc"][k], *TOLERANCE, what=f"percentiles {k}")
