"""Programs that misbehave, each in a folder of its own."""

import sys
from collections.abc import Callable

import pytest

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.make import make_labeler
from tandem.envs.labelers.programs import programs
from tandem.envs.vault import RewardVault

FRAME = """
import json, os, sys, time
def asked():
    for line in sys.stdin:
        yield json.loads(line)
def say(**reply):
    print(json.dumps(reply), flush=True)
"""


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(programs, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def make(tmp_path) -> Callable:
    """make(command=..., retries=0) -> a labeler whose files lie in tmp_path, closed at the end."""
    made = []

    def labeler(**settings):
        made.append(make_labeler(LabelerConfig(**settings), RewardVault(), 0, tmp_path))
        return made[-1]

    yield labeler
    for one in made:
        one.close()


@pytest.fixture
def program(tmp_path, make) -> Callable:
    """program("for q in asked(): say(key=q['key'], value=1)", timeout=2) -> a labeler that asks this program."""

    def labeler(source: str, **settings):
        (tmp_path / "judge.py").write_text(FRAME + source)
        return make(command=(sys.executable, str(tmp_path / "judge.py")), **settings)

    return labeler
