"""A run of version 0.1 with a damaged file, which no command could rescue then."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

import tandem.cli
from tandem.budget.ledger import Ledger

RUNS = Path(__file__).resolve().parents[3] / "older_runs"
pytestmark = pytest.mark.run


@pytest.fixture
def older(tmp_path) -> Path:
    shutil.unpack_archive(RUNS / "0.1.tar.gz", tmp_path)
    return tmp_path / "0.1"


def command(*arguments) -> int:
    return tandem.cli.main([str(one) for one in arguments])


@pytest.mark.parametrize(
    ("name", "transitions", "labels"),
    [
        pytest.param("transitions/00000003.npz", True, False, marks=pytest.mark.slow),
        ("transitions/00000006.npz", True, False),
        pytest.param("labels/answers-00000002.npz", False, True, marks=pytest.mark.slow),
        # Asked of its rows again, the answers are there.
        pytest.param("labels/asked-00000002.npz", False, False, marks=pytest.mark.slow),
        pytest.param("vault/00000003.npz", False, False, marks=pytest.mark.slow),
        ("ledger.db", False, False),
        pytest.param("checkpoints/000000000160-1/learner.pt", False, False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", ["half", pytest.param("flip", marks=pytest.mark.slow)])
def test_a_damaged_file_of_an_older_run_is_set_aside(older, capsys, name, transitions, labels, kind):
    path = older / name
    content = path.read_bytes()
    middle = len(content) // 2
    hurt = content[:middle] + (b"" if kind == "half" else bytes([content[middle] ^ 16]) + content[middle + 1 :])
    path.write_bytes(hurt)
    is_refused = command("train", "--resume", older, "budget.total=400", "log.every_seconds=1000") == 2
    said = capsys.readouterr().err
    # Not all bits of these files mean something, and ledgers of version 1 have no hashes.
    assert is_refused == ("checkpoints" not in name) or kind == "flip", said
    if is_refused:
        assert "tandem repair" in said
        assert command("repair", older) == 0
        told = capsys.readouterr().out
        with closing(Ledger.open(older / "ledger.db")) as ledger:
            summary = ledger.summary()
        assert (summary["transitions_written_off"] > 0, summary["labels_written_off"] > 0) == (transitions, labels), (
            told
        )
        assert command("repair", older) == 0
        assert capsys.readouterr().out == "nothing is damaged\n"
        assert command("train", "--resume", older, "budget.total=400", "log.every_seconds=1000") == 0
    with closing(Ledger.open(older / "ledger.db")) as ledger:
        assert ledger.remaining < 4_000_000 and ledger.total == 400_000_000
    assert command("ledger", older, "--verify") == 0
