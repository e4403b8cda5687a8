"""A run that was stopped in its last phase, made once, and copies of it."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import tandem.cli
from tandem.training.purchases.transitions import Collector

QUIET = "log.every_seconds=1000"


@pytest.fixture(scope="session")
def stopped_in() -> Callable[[Path, list[str], int], Path]:
    """stopped_in(folder, arguments, tick) -> the folder with a run in it that a signal ended before that tick."""

    def make(folder: Path, arguments: list[str], tick: int) -> Path:
        original, calls = Collector.tick, []

        def ticking(self, agent):
            calls.append(0)
            if len(calls) == tick:
                os.kill(os.getpid(), signal.SIGINT)
            return original(self, agent)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Collector, "tick", ticking)
            assert tandem.cli.main(["train", *arguments, f"run.dir={folder}"]) == 130
        return folder

    return make


@pytest.fixture
def stopped(stopped_once, tmp_path) -> Path:
    """A copy: 104 transitions in four chunks and an open one, 24 labels, three checkpoints."""
    return Path(shutil.copytree(stopped_once, tmp_path / "stopped"))


@pytest.fixture(scope="session")
def stopped_once(stopped_in, tiny_arguments, tmp_path_factory) -> Path:
    return stopped_in(tmp_path_factory.mktemp("once") / "run", tiny_arguments(), 55)


@pytest.fixture
def said(capsys) -> Callable[..., list[str]]:
    """said("repair", folder) -> what the command says, in lines; it must end well."""

    def run(*arguments, status: int = 0) -> list[str]:
        capsys.readouterr()
        assert tandem.cli.main([str(one) for one in arguments]) == status, capsys.readouterr()
        out, err = capsys.readouterr()
        return (out + err).splitlines()

    return run
