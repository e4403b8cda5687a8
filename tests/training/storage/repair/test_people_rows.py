"""What a damaged ledger still says of people: who was paid, how much, and for what."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tandem.budget.ledger import Ledger
from tandem.budget.money import MICRO, Paid, Purchase
from tandem.budget.reports.verify import verify_ledger
from tandem.envs.records import Answer, Clip, Question, Work
from tandem.training.settings import load_config
from tandem.training.storage.folder import RunFolder
from tandem.training.storage.repair.accounts import settle_accounts
from tandem.training.storage.repair.bench import Bench
from tandem.training.storage.repair.ledger_rows import mend_ledger
from tandem.training.storage.repair.questions import Questions
from tandem.training.storage.repair.rows import Rows
from tandem.worldmodel.replay.copies import Copy
from tandem.worldmodel.replay.label_store import Asked

CONFIG = load_config(["budget.total=1000"])
ANN = {
    f"label/0/{number}": Answer(f"label/0/{number}", 0.5, "ann", 4.0 + number, (1 + number) * MICRO)
    for number in (1, 2)
}
PRACTICE = Work("w0", "ann", 9.0, MICRO, "practice")
EARNED = {"labels": 2, "spent": 5 * MICRO, "seconds": 11.0, "work_spent": MICRO, "work_seconds": 9.0}


@pytest.fixture
def ledger(tmp_path) -> Path:
    """Ann gave two labels for 2 and 3 of 12 coins, and practised for one."""
    with closing(Ledger.create(tmp_path / "ledger.db", 1000 * MICRO, {"transition": MICRO, "label": 4 * MICRO})) as new:
        new.reserve([Purchase(key, "label", 1, 12 * MICRO) for key in ANN])
        new.settle(dict.fromkeys(ANN, 1), {key: Paid(one.price_micro, "ann", one.seconds) for key, one in ANN.items()})
        new.pay([PRACTICE])
    return tmp_path / "ledger.db"


def mended(ledger: Path, questions: Questions) -> tuple[Ledger, list[str]]:
    bench = Bench(RunFolder(ledger.parent), "now")
    is_rebuilt = mend_ledger(bench, CONFIG, decisions=0)
    settle_accounts(bench, CONFIG, Rows(), questions, is_rebuilt)
    assert verify_ledger(ledger)
    return Ledger.open(ledger), bench.lines


def test_time_that_was_paid_is_never_written_off_or_released(ledger):
    with closing(mended(ledger, Questions(answered=ANN))[0]) as whole:
        assert whole.position.events == 7 and whole.spent == 6 * MICRO


def test_lost_labels_are_written_off_at_what_they_cost(ledger):
    with closing(mended(ledger, Questions(answered={"label/0/2": ANN["label/0/2"]}))[0]) as now:
        assert (now.units("label"), now.spent, now.summary()["written_off"]) == (1, 6 * MICRO, 2.0)


def damage(ledger: Path, key: bytes, which: int) -> None:
    """Break a row of the key that its kind follows, counted from the first, and the file's head."""
    content = bytearray(ledger.read_bytes())
    rows = [place for place in range(len(content)) if content.startswith(key, place)]
    content[sorted(rows, reverse=True)[which]] ^= 1  # SQLite fills a page from its end
    content[40:100] = bytes(60)
    ledger.write_bytes(content)


@pytest.mark.parametrize("is_journaled", [True, False])
def test_a_payment_whose_row_is_lost_stays_paid(ledger, is_journaled):
    damage(ledger, b"work/w0work", 1)
    known = Questions(answered=ANN, works={"w0": PRACTICE} if is_journaled else {})
    now, lines = mended(ledger, known)
    with closing(now):
        assert now.spent == 6 * MICRO and now.outstanding() == []
        assert now.by_rater()["ann"]["work_spent"] == (MICRO if is_journaled else 0)
        assert now.pay([PRACTICE]) == [] and now.spent == 6 * MICRO
    assert any("people's time, the payment of which was lost: work/w0" in line for line in lines)


@pytest.mark.parametrize("key", [b"label/0/1label", b"work/w0work"])
def test_a_reservation_that_is_lost_costs_no_rater_a_name(ledger, key):
    damage(ledger, key, 0)
    with closing(mended(ledger, Questions(answered=ANN))[0]) as now:
        assert now.by_rater() == {"ann": EARNED} and now.spent == 6 * MICRO


def test_a_ledger_that_is_gone_is_paid_again_by_name(ledger):
    ledger.unlink()
    copy = Copy(0, 1, 0, False, 0, {}, *[np.zeros(1)] * 4)
    asked = {key: Asked(Question(key, Clip(0, int(key[-1]))), copy, is_uniform=True) for key in ANN}
    with closing(mended(ledger, Questions(asked=asked, answered=ANN, works={"w0": PRACTICE}))[0]) as now:
        assert now.by_rater() == {"ann": EARNED} and (now.spent, now.reserved) == (6 * MICRO, 0)
