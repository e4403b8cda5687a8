"""Stock beside collection: streams go on behind it, each kind of row has its price, and what was known elsewhere is not bought."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tandem.budget.ledger import Ledger
from tandem.budget.reports.verify import verify_ledger
from tandem.training.build import build
from tandem.training.phases import train
from tandem.training.settings import load_config, resume_config
from tandem.training.storage.folder import RunFolder
from tandem.training.storage.repair.repair import repair
from tandem.training.storage.verify import verify_files
from tandem.worldmodel.replay.journal.labels import LabelJournal
from tandem.worldmodel.replay.journal.stock import StockJournal
from tandem.worldmodel.replay.journal.transitions import read_ticks

pytestmark = pytest.mark.run
NUMBER = 310


@pytest.fixture(scope="module")
def mixed(tiny_arguments, toy_set, tmp_path_factory):
    """A run that bought 310 transitions at a tenth and labels about them at 2 coins, and collected more."""
    settings = (
        f"data.transitions={toy_set}",
        "data.price_transition=0.1",
        "data.price_label=2",
        "allocator.name=fixed",
    )
    config = load_config(
        [
            *tiny_arguments(
                *settings, "measure.samples=1", "reward.members=2", "allocator.phases=1", "allocator.label_share=0.25"
            )
        ]
    )
    config = replace(config, run=replace(config.run, dir=str(tmp_path_factory.mktemp("mixed") / "run")))
    train(config)
    return Path(config.run.dir)


def stock_ends(folder: Path, num: int = 2) -> np.ndarray:
    ends = np.zeros(num, int)
    for one in StockJournal(folder / "stock/transitions").read():
        ends[one.env] = one.step + len(one) + 1
    return ends


def test_streams_go_on_behind_the_stock_with_a_reset(mixed):
    first = next(iter(read_ticks(mixed / "transitions"))).transition
    assert first.step.tolist() == stock_ends(mixed).tolist() and first.is_first.all()


def test_each_row_has_the_price_of_its_kind(mixed):
    ends = stock_ends(mixed)
    with closing(Ledger.open(mixed / "ledger.db")) as ledger:
        states, balance = ledger.state_of_keys(), ledger.balance()
    stock = states.pop("stock/transitions").purchase
    assert (stock.units, stock.price_micro) == (NUMBER, 100_000)
    asked = LabelJournal(mixed / "labels").read_asked()
    of_stock = [one.question.clip.step < ends[one.question.clip.env] for one in asked]
    prices = [states[one.question.key].purchase.price_micro for one in asked]
    assert prices == [2_000_000 if is_stock else 4_000_000 for is_stock in of_stock]
    assert any(of_stock) and not all(of_stock)
    own = balance.transitions - NUMBER
    assert own > 0 and balance.spent == NUMBER * 100_000 + own * 1_000_000 + sum(prices)


def test_its_ledger_and_files_are_whole_and_there_is_nothing_to_mend(mixed):
    assert "but for" in verify_ledger(mixed / "ledger.db")[-1]
    assert any(line.startswith("stock/rewards: 16 frames") for line in verify_files(RunFolder(mixed)))
    assert repair(mixed) == []


def test_a_run_that_goes_on_finds_it_all_again_and_queues_no_window_of_the_stock(mixed):
    run = build(resume_config(mixed, []), is_resumed=True)
    try:
        assert run.transitions.received == run.ledger.units("transition") and run.stock.transitions == NUMBER
        assert run.env_steps == run.transitions.received - NUMBER
        assert run.collector.stock.next_step.tolist() == stock_ends(mixed).tolist()
        rings = run.transitions.training
        firsts = [rings.columns["step"][rings.slot(stream, row)] for stream, row in run.transitions.online.queue]
        assert all(
            step >= stock_ends(mixed)[stream]
            for step, (stream, _) in zip(firsts, run.transitions.online.queue, strict=True)
        )
    finally:
        run.close()


def test_a_run_and_its_labels_are_stock_for_another(mixed, tiny_arguments, tmp_path):
    """Rows of the stock and of the collection, held-out ones as they were; labels lie on their rows, which are not asked about."""
    settings = (f"data.transitions={mixed}", f"data.labels={mixed}", "data.collect=false", "measure.samples=1")
    config = load_config([*tiny_arguments(*settings)])
    run = build(replace(config, run=replace(config.run, dir=str(tmp_path / "run"))), is_resumed=False)
    try:
        with closing(Ledger.open(mixed / "ledger.db")) as ledger:
            balance = ledger.balance()
        assert run.transitions.received == run.stock.transitions == balance.transitions
        assert run.labels.num_stock == run.stock.labels == balance.labels
        assert len(run.transitions.open) == balance.transitions - balance.labels
        check_labels_lie_on_their_rows(run)
        shares = [run.transitions.num_heldout_rows, run.transitions.num_training_rows]
        assert min(shares) > 20
    finally:
        run.close()


def check_labels_lie_on_their_rows(run) -> None:
    """The last row of a label's copy is the row that the replay has under its name."""
    for is_heldout in (False, True):
        labels, rings = (
            run.labels.newest(0, is_heldout)[0],
            run.transitions.heldout if is_heldout else run.transitions.training,
        )
        answers = run.labels.answers(is_heldout)
        row = rings.find(answers.env, answers.step)
        assert len(row) and (row >= 0).all()
        held = rings.read("obs/state", rings.slot(answers.env, row))
        assert np.array_equal(labels.obs["state"][:, -1].numpy(), held)


@pytest.mark.parametrize(("known", "more"), [(20, ()), (5, ()), (5, ("evaluate.episodes=0",))], ids=str)
def test_rewards_of_a_set_that_are_known_can_begin_a_run_as_labels(
    toy_rows, flatten, tiny_arguments, tmp_path, known, more
):
    """They lie on their rows; the others may still be asked about, of whoever knows. With or without an environment."""
    for one in toy_rows:
        one["rewards"][known:] = np.nan
    file = tmp_path / "toy.npz"
    np.savez(file, **flatten(toy_rows))
    settings = (f"data.transitions={file}", f"data.labels={file}", "data.collect=false", *more)
    config = load_config([*tiny_arguments(*settings)])
    run = build(replace(config, run=replace(config.run, dir=str(tmp_path / "run"))), is_resumed=False)
    try:
        number = NUMBER if known == 20 else 16 * 5
        assert run.labels.num_stock == number and len(run.transitions.open) == NUMBER - number
        assert run.labels.answers().is_uniform.all() == (known == 20)
        check_labels_lie_on_their_rows(run)
    finally:
        run.close()
