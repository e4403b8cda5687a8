"""Labels of an earlier run teach a new one, cost it nothing, stay apart from its own, and survive everything that those do."""

import os
import shutil
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tandem.budget.ledger import Ledger
from tandem.errors import UserError
from tandem.training.build import build
from tandem.training.phases import train
from tandem.training.settings import resume_config
from tandem.training.storage.folder import RunFolder
from tandem.worldmodel.replay.journal.labels import LabelJournal


@pytest.fixture
def earlier(tiny):
    config = tiny("labeler.kind=clip", "labeler.length=4", folder="earlier")
    train(config)
    return config


def with_stock(config, source):
    return replace(config, data=replace(config.data, labels=str(source.run.dir)))


def test_stock_is_there_before_anything_is_bought_and_the_ledger_knows_nothing_of_it(tiny, earlier):
    config = with_stock(tiny("labeler.kind=clip", "labeler.length=4", "seed=5"), earlier)
    run = build(config, is_resumed=False)
    answers = LabelJournal(RunFolder(Path(earlier.run.dir)).labels).read_answers()
    labels = run.labels
    held = sorted([*labels.answers().value, *labels.answers(is_heldout=True).value])
    assert held == pytest.approx(sorted(answer.value for answer in answers), rel=1e-6)
    assert labels.num_stock == labels.received == len(answers) == run.desk.num_bought and run.desk.num_answers == 0
    assert labels.answers().env.min() >= config.envs.num  # streams of their own
    assert run.ledger.balance().spent == 0 and not labels.newest(5)[0].start_deter.any()
    run.close()


@pytest.mark.slow
def test_a_run_with_stock_buys_less_and_is_stopped_and_resumed_like_any_other(
    tiny, earlier, differences, monkeypatch, at_ticks
):
    settings = ("labeler.kind=clip", "labeler.length=4", "seed=5")
    whole, broken = (with_stock(tiny(*settings, folder=name), earlier) for name in ("whole", "broken"))
    train(whole)
    at_ticks({30}, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(broken)
    monkeypatch.undo()
    shutil.rmtree(earlier.run.dir)  # it is not needed any more
    train(resume_config(Path(broken.run.dir), []), resume=Path(broken.run.dir))
    assert differences(Path(whole.run.dir), Path(broken.run.dir)) == []
    own = LabelJournal(RunFolder(Path(whole.run.dir)).labels).read_answers()
    with closing(Ledger.open(Path(whole.run.dir) / "ledger.db")) as ledger:
        assert ledger.balance().labels == len(own) and not any(
            key.startswith("stock/") for key in ledger.state_of_keys()
        )


def test_stock_of_a_run_that_began_with_stock_is_all_that_it_had(tiny, earlier, buy):
    settings = ("labeler.kind=clip", "labeler.length=4")
    middle = build(with_stock(tiny(*settings, folder="middle"), earlier), is_resumed=False)
    stock = middle.labels.num_stock
    buy(middle, 80, 8)
    received = middle.labels.received
    middle.close()
    assert 0 < stock < received
    last = build(with_stock(tiny(*settings, folder="last"), middle.config), is_resumed=False)
    assert last.labels.num_stock == last.labels.received == received and last.ledger.balance().spent == 0
    streams = {*last.labels.answers().env.tolist(), *last.labels.answers(is_heldout=True).env.tolist()}
    assert min(streams) >= last.config.envs.num and len(streams) > last.config.envs.num  # nobody's stream is another's
    last.close()


@pytest.mark.slow
def test_labels_that_do_not_fit_are_refused_in_a_line(tiny, earlier):
    for settings, why in (
        (("labeler.kind=clip", "labeler.length=4", "task=gym:Pendulum-v1"), "is of another task"),
        ((), "its labels are about a clip, labeler.kind is step"),
        (("labeler.kind=clip", "labeler.length=6"), "its labels hold"),
    ):
        config = with_stock(tiny(*settings, folder="other"), earlier)
        with pytest.raises(UserError, match=rf"^data\.labels: .*{why}") as error:
            build(config, is_resumed=False)
        assert "\n" not in str(error.value) and not Path(config.run.dir).exists()


def test_a_folder_that_is_no_run_is_refused(tiny, tmp_path):
    config = tiny()
    with pytest.raises(UserError, match=r"^data\.labels: .* holds no episodes: expected a run's folder"):
        build(replace(config, data=replace(config.data, labels=str(tmp_path))), is_resumed=False)
