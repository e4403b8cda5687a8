"""Programs that misbehave, each in a folder of its own."""

import sys
from collections.abc import Callable

import pytest

from tandem.envs.labelers.programs import programs

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
def program(tmp_path, make) -> Callable:
    """program("for q in asked(): say(key=q['key'], value=1)", timeout=2) -> a labeler that asks this program."""

    def labeler(source: str, **settings):
        (tmp_path / "judge.py").write_text(FRAME + source)
        return make(command=(sys.executable, str(tmp_path / "judge.py")), **settings)

    return labeler
