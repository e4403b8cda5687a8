"""Labelers by their settings, and golden numbers for every test: the folder they lie in, how a file is read, and the check of a stated tolerance."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tandem.envs.labelers.base import Labeler, LabelerConfig
from tandem.envs.labelers.make import make_labeler
from tandem.envs.vault import RewardVault


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory) -> None:
    """Runs that tests start are signed with a key of the tests' own."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture
def make(tmp_path) -> Iterator[Callable[..., Labeler]]:
    """make(command=..., retries=0) -> a labeler whose files lie in tmp_path, closed at the end."""
    made: list[Any] = []

    def labeler(**settings: Any) -> Labeler:
        made.append(make_labeler(LabelerConfig(**settings), RewardVault(), 0, tmp_path))
        return made[-1]

    yield labeler
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """The folder named by TANDEM_GOLDEN, tests/golden by default."""
    return Path(os.environ.get("TANDEM_GOLDEN") or Path(__file__).parent / "golden")


@pytest.fixture(scope="session")
def golden(golden_folder: Path) -> Callable[[str], dict[str, Tensor]]:
    """golden("twohot") -> key: tensor, in the recorded types."""

    def load(name: str) -> dict[str, Tensor]:
        with np.load(golden_folder / f"{name}.npz") as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays.files}

    return load


@pytest.fixture(scope="session")
def check() -> Callable[..., None]:
    return assert_within


def assert_within(
    ours: Tensor | float, golden: Tensor, absolute: float, relative: float, per: str = "array", what: str = ""
) -> None:
    """|ours - golden| <= absolute + relative * max|golden|, the maximum per "array", "row" (last axis) or "element"."""
    ours, golden = torch.as_tensor(ours).detach().double(), golden.double()
    assert ours.shape == golden.shape, f"{what}: shape {tuple(ours.shape)}, golden {tuple(golden.shape)}"
    if golden.numel() == 0:
        return
    size = golden.abs()
    if per == "array":
        size = size.max()
    elif per == "row":
        size = size.amax(-1, keepdim=True)
    else:
        assert per == "element", per
    allowed = (absolute + relative * size).expand_as(golden)
    error = (ours - golden).abs()
    wrong = ~(error <= allowed)  # a NaN is wrong
    if wrong.any():
        worst = (error - allowed).nan_to_num(nan=torch.inf).argmax()
        raise AssertionError(
            f"{what}: {int(wrong.sum())} of {wrong.numel()} numbers are off, the worst at flat index {int(worst)}: "
            f"{ours.flatten()[worst].item():.9g}, golden {golden.flatten()[worst].item():.9g}, "
            f"error {error.flatten()[worst].item():.3g}, allowed {allowed.flatten()[worst].item():.3g}"
        )
