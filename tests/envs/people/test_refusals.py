"""Bad input is refused with a word, and changes nothing."""

import errno
import hmac
import math
import os
import sqlite3
import threading
import time

import pytest

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.people.pay import price_micro
from tandem.envs.labelers.people.queue import Queue
from tandem.envs.labelers.people.raters import Raters
from tandem.envs.labelers.people.schema import QueueRefused
from tandem.envs.labelers.people.verdict import Given

from .conftest import asked

UUID = "00000000-0000-0000-0000-00000000abcd"
GOOD = {"question": 1, "uuid": UUID, "seconds": 1.0, "value": 0.5}


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("clip", {"value": math.nan}, "value"),
        ("clip", {"value": 1.01}, "value"),
        ("clip", {"value": "0.5"}, "value"),
        ("clip", {"value": True}, "value"),
        ("clip", {"value": None}, "value"),
        ("clip", {"choice": "left"}, "choice"),
        ("clip", {"seconds": math.nan}, "seconds"),
        ("clip", {"seconds": math.inf}, "seconds"),
        ("clip", {"seconds": -1}, "seconds"),
        ("clip", {"seconds": "6"}, "seconds"),
        ("clip", {"uuid": UUID.upper()}, "uuid"),
        ("clip", {"uuid": "1"}, "uuid"),
        ("clip", {"uuid": 5}, "uuid"),
        ("clip", {"question": "1"}, "question"),
        ("clip", {"question": 2**70}, "question"),
        ("clip", {"question": True}, "question"),
        ("clip", {"rater": "bob"}, "rater"),
        ("pair", {"value": None, "choice": "up"}, "choice"),
        ("pair", {"value": None, "choice": ["left"]}, "choice"),
        ("pair", {}, "value"),
        ("moments", {"value": None, "marks": [[4, 1]]}, "marks"),
        ("moments", {"value": None, "marks": [[0, 2]]}, "marks"),
        ("moments", {"value": None, "marks": [[0, 1], [0, -1]]}, "marks"),
        ("moments", {"value": None, "marks": [[0.0, 1]]}, "marks"),
        ("moments", {"value": None, "marks": "all"}, "marks"),
        ("moments", {"value": None, "marks": [[0, 1]] * 1000}, "marks"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused_by_name(booth, kind, changes, named):
    booth.trainers[0].submit(asked(kind, 1))
    booth.take("ann")
    before = booth.queue.read("SELECT COUNT(*) FROM event")[0][0]
    with pytest.raises(QueueRefused, match=named) as error:
        booth.counter.answer("ann", Given.of(GOOD | changes))
    assert error.value.word == "invalid" and len(str(error.value)) < 200
    assert booth.queue.read("SELECT COUNT(*) FROM event")[0][0] == before and booth.state("key/1") == "queued"


@pytest.mark.parametrize("body", [None, [], "x", 3, {1: 2}, {"uuid": UUID}])
def test_a_body_that_is_no_answer_is_refused(body):
    with pytest.raises(QueueRefused) as error:
        Given.of(body)
    assert error.value.word == "invalid"


def test_a_question_that_was_never_the_raters_is_not_known(booth):
    booth.trainers[0].submit(asked("clip", 1))
    booth.take("ann")
    for rater, changes in (("bob", {}), ("ann", {"question": 9}), ("eve", {})):
        with pytest.raises(QueueRefused) as error:
            booth.counter.answer(rater, Given.of(GOOD | changes))
        assert error.value.word == "unknown"


def test_seconds_are_capped_by_the_time_that_has_passed_and_by_three_medians(booth):
    booth.trainers[0].submit(asked("clip", *range(3)))
    item = booth.take("ann")
    booth.time += 4
    booth.counter.answer("ann", Given(item.question, booth.uuid(), 3000.0, value=0.5))
    item = booth.take("ann")
    booth.time += 4000
    booth.counter.answer("ann", Given(item.question, booth.uuid(), 3000.0, value=0.5))
    assert [row["seconds"] for row in booth.queue.read("SELECT seconds FROM answer ORDER BY id")] == [4.0, 60.0]


@pytest.mark.parametrize("high", [0.0, -1.0])
def test_moments_of_success_are_worth_something(high):
    with pytest.raises(ValueError, match="high: must be above 0 with kind=moments"):
        LabelerConfig(name="people", kind="moments", low=-2.0, high=high)
    assert LabelerConfig(name="people", low=-2.0, high=high).high == high  # of scores it is a reward like any other


def test_nobody_holds_a_question_for_longer_than_ten_minutes(booth):
    booth.trainers[0].submit(asked("clip", *range(6)))
    for _ in range(5):  # the cap: a minute, then 180 s, 360, 540 and 600
        booth.score("ann", seconds=1000.0)
    assert booth.take("ann").until == booth.time + 600


def test_answers_that_are_taken_back_again_and_again_cost_no_more_than_one(booth):
    booth.trainers[0].submit(asked("clip", 1))
    for _ in range(4):
        booth.counter.undo("ann", booth.score("ann", seconds=1000.0).uuid)
    assert booth.take("ann").until == booth.time + 60
    booth.score("ann", seconds=1000.0)
    assert [row["seconds"] for row in booth.queue.read("SELECT seconds FROM answer")] == [60.0] * 5


def test_a_price_is_wage_and_fee_and_never_above_the_ceiling():
    # 12 coins an hour: 6 s cost 0.02 coins
    assert price_micro(12_000_000, 6.0) == 20_000
    assert price_micro(12_000_000, 6.0, fee_micro=1_000) == 21_000
    assert price_micro(12_000_000, 600.0, 1_000, ceiling_micro=50_000) == 50_000


def test_a_token_is_known_by_its_hash_alone(booth):
    token = booth.raters.add("cat", wage=9.0)
    cat = booth.raters.by_token(token)
    assert cat is not None and (cat.name, cat.wage_micro) == ("cat", 9_000_000)
    assert booth.raters.by_token(token + "x") is None and booth.raters.by_token("") is None
    booth.queue.read("PRAGMA wal_checkpoint(TRUNCATE)")
    assert token.encode() not in (booth.folder / "questions.db").read_bytes()
    newer = booth.raters.renew("cat")
    assert booth.raters.by_token(token) is None and booth.raters.by_token(newer) == cat


def test_a_guessed_token_is_compared_in_constant_time_and_never_in_sql(booth, monkeypatch):
    """The whole hash with each rater's, whether the first, the last or none is right; SQLite never sees a guess."""
    tokens = {name: booth.raters.renew(name) for name in ("ann", "bob")}
    compared, statements = [], []
    digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)) or digest(one, other))
    booth.queue._db.set_trace_callback(statements.append)
    for token, name in ((tokens["ann"], "ann"), (tokens["bob"], "bob"), ("x", None), (tokens["ann"][:-1], None)):
        compared.clear()
        found = booth.raters.by_token(token)
        assert (found and found.name) == name
        assert len(compared) == 2 and all(len(one) == len(other) == 64 for one, other in compared)
        (guess,) = {other for _, other in compared}
        assert not any(guess in statement or token in statement for statement in statements if len(token) > 1)


@pytest.mark.parametrize("name", ["ann", "", "a b", "x" * 41, "../up", "default", "owner", "<b>"])
def test_a_name_that_is_taken_or_odd_is_refused(booth, name):
    with pytest.raises(QueueRefused, match="name") as error:
        booth.raters.add(name)
    assert error.value.word == "invalid"


@pytest.mark.parametrize("wage", [-1.0, math.nan, math.inf, "12", True])
def test_a_wage_that_is_no_money_is_refused(booth, wage):
    with pytest.raises(QueueRefused, match="wage"):
        booth.raters.add("cat", wage)


def test_a_full_disk_leaves_everything_as_it_was(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    item = booth.take("ann")
    db = booth.queue._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    before = "\n".join(db.iterdump())
    with pytest.raises(QueueRefused, match="disk is full, nothing was saved") as error:
        trainer.submit(asked("clip", *range(2, 400)))
    assert error.value.word == "full" and "\n".join(db.iterdump()) == before
    db.execute("PRAGMA max_page_count = 1000000")
    trainer.submit(asked("clip", *range(2, 400)))
    booth.counter.answer("ann", Given(item.question, booth.uuid(), 1.0, value=0.5))


def test_what_was_said_is_on_disk_before_that_is_acknowledged_and_nobody_waits_for_the_disk_meanwhile(
    booth, monkeypatch
):
    booth.trainers[0].submit(asked("clip", 1))
    item = booth.take("ann")
    booth.time += 6
    seen, fsync = [], os.fsync

    def syncing(file):
        """While the disk is busy: another process sees the answer, and may write."""
        if os.readlink(f"/proc/self/fd/{file}").endswith("-wal"):
            with Queue.open(booth.folder, booth.now) as other:
                seen.append(other.read("SELECT COUNT(*) FROM answer")[0][0])
                with other.writing():
                    pass  # it has the lock
            booth.queue.read("SELECT 1")
        fsync(file)

    monkeypatch.setattr("tandem.envs.labelers.people.queue.os.fsync", syncing)
    booth.counter.answer("ann", Given(item.question, booth.uuid(), 6.0, value=0.5))
    assert seen == [1]
    with booth.queue.writing():
        pass
    assert seen == [1]  # nothing was written


def test_an_answer_that_the_disk_did_not_take_is_not_acknowledged_and_can_be_sent_again(booth, monkeypatch):
    booth.trainers[0].submit(asked("clip", 1))
    given = Given(booth.take("ann").question, booth.uuid(), 0.0, value=0.5)

    def failing(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("tandem.envs.labelers.people.queue.os.fsync", failing)
        with pytest.raises(QueueRefused, match="the disk does not take it") as error:
            booth.counter.answer("ann", given)
    assert error.value.word == "full"
    assert booth.counter.answer("ann", given).state == "counted"


def test_whoever_waits_for_the_disk_together_waits_once(booth, monkeypatch):
    """While the disk is at the first of eight commits the other seven are made; one more turn is enough for them all."""
    turns, begun = [], booth.queue._commits

    def syncing(file):
        turns.append(file)
        until = time.monotonic() + 20
        while booth.queue._commits < begun + 8 and time.monotonic() < until:
            time.sleep(0.001)

    monkeypatch.setattr("tandem.envs.labelers.people.queue.os.fsync", syncing)
    writers = [threading.Thread(target=booth.queue.set_meta, kwargs={f"fact{one}": one}) for one in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert booth.queue.meta("fact7") == 7 and 1 <= len(turns) <= 2


def test_another_writer_that_does_not_end_is_told(booth, monkeypatch):
    other = sqlite3.connect(booth.folder / "questions.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    booth.queue._db.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(QueueRefused) as error:
        booth.take("ann")
    other.close()
    assert error.value.word == "busy"


def test_two_processes_see_one_queue(booth):
    booth.trainers[0].submit(asked("clip", 1))
    with Queue.open(booth.folder) as second:
        assert {rater.name for rater in Raters(second).all()} == {"ann", "bob"}
