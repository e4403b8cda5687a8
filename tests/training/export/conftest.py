"""The example that plays by exported programs, as a module."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "use_exported.py"


@pytest.fixture(scope="session")
def use_exported():
    spec = importlib.util.spec_from_file_location("use_exported", EXAMPLE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
