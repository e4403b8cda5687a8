"""Several tiers of raters: what is bought of each, and that it is paid once."""

from pathlib import Path

import numpy as np
import pytest

import tandem.training.purchases.transitions
from tandem.budget.money import Purchase
from tandem.budget.offers import LabelOffer
from tandem.envs.records import Question
from tandem.training.build import build
from tandem.training.config import Config
from tandem.training.phases import train
from tandem.training.purchases.labels import LabelDesk
from tandem.training.run import Run
from tandem.worldmodel.replay.journal.labels import LabelJournal

RATERS = (
    "labeler.tiers={cheap:{price:1,sigma:1},expert:{price:6,sigma:0.2}}",
    "labeler.item_price=0.5",
)
OFFER = LabelOffer("cheap", 2_200_000, duplicate_share=0.2, gold_share=0.1, checks=("expert",))


class Crash(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


@pytest.fixture
def opened(tiny):
    """opened() -> a run with transitions, and no label yet."""
    runs: list[Run] = []

    def make(*settings: str, raters: tuple[str, ...] = RATERS) -> Run:
        config = tiny(*raters, "budget.total=4000", *settings)
        runs.append(build(config, is_resumed=False))
        run = runs[-1]
        for _ in range(3):
            for _ in range(run.collector.open(400)):
                run.collector.tick(run.agent)
            run.collector.close()
        return run

    yield make
    for run in runs:
        run.close()


def asked_in(config: Config) -> list[Question]:
    return [item.question for item in LabelJournal(Path(config.run.dir) / "labels").read_asked()]


def test_a_run_buys_items_duplicates_and_gold_at_their_own_prices(tiny, audit, monkeypatch):
    monkeypatch.setattr(tandem.training.purchases.transitions, "CHUNK", 16)
    config = tiny(*RATERS)
    train(config)
    summary = audit(Path(config.run.dir))
    assert summary["by_tier"].keys() == {"cheap", "expert"} and summary["reserved"] == 0
    keys = [question.key for question in asked_in(config)]
    assert any(key.endswith("/cheap/1") for key in keys) and any(key.endswith("/expert/0") for key in keys)


def test_an_item_is_drawn_once_and_each_answer_has_a_key_of_its_own(opened):
    run = opened()
    offer = LabelOffer("cheap", 1, replication=2, duplicate_share=0.5, gold_share=0.5, checks=("expert",))
    before = len(run.transitions.open)
    number = run.desk.ask(120, run.numpy_rng, offer)
    questions = asked_in(run.config)
    items = {question.clip for question in questions}
    assert len(questions) == len({question.key for question in questions}) == number
    # 2 + .5 + .5 answers an item: 120 / 3 = 40 items, all of them answered twice
    assert len(items) == before - len(run.transitions.open) == 40
    for repeat in (0, 1):
        assert {question.clip for question in questions if question.key.endswith(f"/cheap/{repeat}")} == items
    extra = [question for question in questions if question.key.endswith(("/cheap/2", "/expert/0"))]
    assert 25 < len(extra) < 55 and len(extra) == number - 80


def test_small_purchases_get_to_know_every_tier(opened):
    """4 answers at a time are one row of an offer of 3.25: half of the rows are checked twice by a and by b, whatever else
    was asked about them."""
    run = opened(raters=("labeler.tiers={a:{price:1},b:{price:1},gold:{price:6}}",))
    offer = LabelOffer("gold", 1, duplicate_share=0.25, gold_share=0.5, checks=("a", "b"), check_answers=2)
    numbers = [run.desk.ask(4, run.numpy_rng, offer) for _ in range(60)]
    last = [question.key.split("/")[-2:] for question in asked_in(run.config)]
    assert sum(numbers) == len(last) and 2.5 < np.mean(numbers) < 4
    asked = [last.count([tier, repeat]) for tier in ("a", "b") for repeat in ("0", "1")]
    assert len(set(asked)) == 1 and 18 < asked[0] < 42
    assert last.count(["gold", "0"]) == 60 and 5 < last.count(["gold", "1"]) < 27


def test_an_item_serves_once_as_a_measurement(opened):
    run = opened()
    run.desk.ask(120, run.numpy_rng, LabelOffer("cheap", 1, replication=3))
    run.desk.collect()
    uniform = [run.labels.answers(side).is_uniform.sum() for side in (False, True)]
    assert sum(uniform) == 40 and run.labels.received == 120


def test_a_purchase_below_one_row_never_passes_its_number_and_none_the_money(opened):
    run = opened()
    for number in (1, 2, 7):
        assert run.desk.ask(number, run.numpy_rng, LabelOffer("expert", 1, replication=3)) == min(number, 6)
    plenty = LabelOffer("expert", 1, replication=8)
    run.ledger.reserve([purchase_of_all_but(run, 20_000_000)])
    # first answers cost 6.5 and are bought first: three of them for 20 coins, .5 is left
    assert run.desk.ask(100, run.numpy_rng, plenty) == 3
    assert not run.desk.can_ask(plenty) and run.desk.ask(100, run.numpy_rng, plenty) == 0
    assert not run.desk.can_ask(LabelOffer("cheap", 1)) and not run.desk.can_ask()


def purchase_of_all_but(run: Run, left: int) -> Purchase:
    return Purchase("elsewhere", "label", 1, run.ledger.remaining - left)


def test_the_default_tier_keeps_its_key_and_price(opened):
    run = opened()
    run.desk.ask(3, run.numpy_rng)
    assert [question.key.count("/") for question in asked_in(run.config)] == [2, 2, 2]
    run.desk.collect()
    tier = run.ledger.by_tier()["default"]
    assert (tier["labels"], tier["spent"], tier["written_off"]) == (3, 12_000_000, 0)


def trade(run: Run, times: int) -> None:
    for _ in range(times):
        run.desk.ask(20, run.numpy_rng, OFFER)
        run.desk.collect()


@pytest.mark.parametrize(
    ("owner", "name", "call", "is_after"),
    [
        (LabelJournal, "write", 1, False),
        (LabelJournal, "write", 1, True),
        (LabelJournal, "write", 2, False),
        (LabelJournal, "write", 2, True),
        (LabelDesk, "collect", 1, True),
    ],
    ids=["reserved, not written", "written, not asked", "answered, not written", "written, not settled", "settled"],
)
def test_a_crash_loses_and_doubles_no_duplicate_and_no_gold(opened, audit, monkeypatch, owner, name, call, is_after):
    run = opened("labeler.delay=1")
    trade(run, 2)
    original, calls = getattr(owner, name), []

    def dying(*arguments):
        calls.append(name)
        if len(calls) < call:
            return original(*arguments)
        if is_after:
            original(*arguments)
        raise Crash

    monkeypatch.setattr(owner, name, dying)
    with pytest.raises(Crash):
        trade(run, 1)
    monkeypatch.setattr(owner, name, original)
    config, folder = run.config, run.folder.path
    run.close()
    journal = LabelJournal(folder / "labels")
    before = {answer.key: answer.value for answer in journal.read_answers()}
    assert 0 < len(before) <= 40
    again = build(config, is_resumed=True, is_exact=False)
    assert again.labels.received == again.ledger.units("label") == len(before)
    assert {purchase.key for purchase in again.ledger.outstanding()} == again.labels.pending.keys()
    trade(again, 3)
    again.desk.collect()
    assert again.ledger.reserved == 0
    again.close()
    assert audit(folder)["by_tier"].keys() == {"cheap", "expert"}
    assert before.items() <= {answer.key: answer.value for answer in journal.read_answers()}.items()


def test_corrections_and_weights_survive_a_resume(opened):
    run = opened()
    run.desk.ask(150, run.numpy_rng, OFFER)
    run.desk.collect()
    run.labels.weigh({"default": 1.0, "cheap": 0.25, "expert": 0.5})
    cheap = np.flatnonzero(run.labels.answers().tier == run.labels.tiers.index("cheap"))
    run.labels.step = 0.125
    run.labels.correct(cheap, np.arange(len(cheap)))
    run.save()
    before, config = run.labels.rows(np.arange(run.labels.num_training)), run.config
    run.close()
    again = build(config, is_resumed=True)
    after = again.labels.rows(np.arange(again.labels.num_training))
    assert (after.value == before.value).all() and (after.weight == before.weight).all()
    assert set(after.weight.tolist()) == {0.5, 1.0} and again.labels.step == 0.125
    older = again.labels.state_dict()
    del older["step"]
    again.labels.load_state_dict(older)
    assert again.labels.step == 1.0, "versions before 0.3 took whole steps"
    again.close()
