"""A stock that is damaged is named, mended as far as it can be read, and what is lost of it is written off."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from tandem.budget.ledger import Ledger
from tandem.errors import Damaged
from tandem.training.build import build
from tandem.training.settings import resume_config
from tandem.training.storage.folder import RunFolder
from tandem.training.storage.repair.repair import repair
from tandem.training.storage.verify import verify_files
from tandem.worldmodel.replay.journal.stock import StockJournal

pytestmark = pytest.mark.run
NUMBER = 310


@pytest.fixture
def damaged(learned, tmp_path) -> Path:
    """A copy of the run, to be spoilt."""
    return Path(shutil.copytree(learned, tmp_path / "run"))


def spoil(log: Path, place: float) -> None:
    content = bytearray(log.read_bytes())
    content[int(len(content) * place)] ^= 0xFF
    log.write_bytes(content)


def goes_on(folder: Path) -> None:
    """As the ledger knows it: a resumed run finds what was sold."""
    run = build(resume_config(folder, ["budget.total=400"]), is_resumed=True)
    try:
        assert run.transitions.received == run.ledger.units("transition") == run.stock.transitions
    finally:
        run.close()


def test_a_whole_stock_is_left_alone_and_verified(damaged):
    assert repair(damaged) == []
    lines = verify_files(RunFolder(damaged))
    assert any(line.startswith("stock/transitions: 16 frames") for line in lines)


def test_an_episode_that_cannot_be_read_is_written_off(damaged):
    spoil(damaged / "stock/transitions/000000.log", 0.5)
    with pytest.raises(Damaged):
        build(resume_config(damaged, ["budget.total=400"]), is_resumed=True)
    lines = repair(damaged)
    assert any("lost: 20 transitions" in line for line in lines), lines
    with closing(Ledger.open(damaged / "ledger.db")) as ledger:
        assert ledger.balance().transitions == NUMBER - 20
    assert len(list(StockJournal(damaged / "stock/transitions").read())) == 15
    assert repair(damaged) == []
    goes_on(damaged)


def test_an_end_that_is_missing_is_noticed(damaged):
    log = damaged / "stock/transitions/000000.log"
    log.write_bytes(log.read_bytes()[:-40])
    with pytest.raises(Damaged, match=r"holds 290 transitions, 310 were copied"):
        build(resume_config(damaged, ["budget.total=400"]), is_resumed=True)
    assert any("lost: 20 transitions" in line for line in repair(damaged))
    goes_on(damaged)


def test_rewards_that_are_lost_can_no_more_be_bought(damaged):
    spoil(damaged / "stock/rewards/000000.log", 0.3)
    lines = repair(damaged)
    assert any("rewards of the stock" in line for line in lines), lines
    goes_on(damaged)
