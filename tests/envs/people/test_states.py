"""Each way that a question can go, with a clock that a test sets."""

import pytest

from tandem.envs.labelers.people.schema import QueueRefused
from tandem.envs.labelers.people.verdict import Given
from tandem.envs.records import Answer, Declined

from .conftest import asked


def refused(word: str, call, *arguments, **named) -> str:
    with pytest.raises(QueueRefused) as error:
        call(*arguments, **named)
    assert error.value.word == word
    return str(error.value)


def keys(replies) -> list[str]:
    return [reply.key for reply in replies]


def test_an_answer_reaches_the_trainer_once_its_undo_time_is_over(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    receipt = booth.score("ann", 0.75, seconds=6.0)
    assert (receipt.state, receipt.undo_until, receipt.today) == ("counted", booth.time + 10, 1)
    assert trainer.collect() == []
    booth.time += 10
    # 4 rows * (-1 + .75 * 2) = 2; 12 coins an hour * 6 s = 0.02 coins
    assert trainer.collect() == [Answer("key/1", 2.0, "ann", 6.0, 20_000)]
    assert booth.state("key/1") == "handed"
    assert trainer.collect() == [] and booth.state("key/1") == "collected"
    assert booth.events("key/1") == ["queued", "leased", "answered", "handed", "collected"]


def test_nobody_gets_a_question_that_somebody_else_holds(booth):
    booth.trainers[0].submit(asked("clip", 1, 2))
    first, second = booth.take("ann"), booth.take("bob")
    assert first.question != second.question
    assert booth.take("ann") == first  # a page that was loaded anew
    assert booth.counter.next("bob", held=[second.question]) is None


def test_a_rater_holds_two_questions_at_most(booth):
    booth.trainers[0].submit(asked("clip", *range(5)))
    first = booth.take("ann")
    second = booth.counter.next("ann", held=[first.question])
    assert second is not None and second.question != first.question
    assert booth.counter.next("ann", held=[first.question, second.question]) is None


def test_a_lease_ends_by_itself_after_a_minute_and_a_heartbeat_makes_it_longer(booth):
    booth.trainers[0].submit(asked("clip", 1))
    booth.take("ann")
    booth.time += 59
    assert booth.counter.next("bob") is None
    item = booth.take("ann")
    booth.counter.heartbeat("ann", item.question)
    booth.time += 59
    assert booth.counter.next("bob") is None
    booth.time += 1
    assert booth.take("bob").question == item.question


def test_a_slow_rater_holds_a_question_for_three_medians(booth):
    booth.trainers[0].submit(asked("clip", 1, 2))
    booth.score("ann", seconds=40.0)
    assert booth.take("ann").until == booth.time + 120


def test_no_heartbeat_holds_a_question_for_ever(booth):
    booth.trainers[0].submit(asked("clip", 1))
    item = booth.take("ann")
    for _ in range(50):
        booth.time += 30
        booth.counter.heartbeat("ann", item.question)
    assert booth.take("bob").question == item.question


def test_the_first_of_two_answers_counts_and_the_other_is_paid_as_work(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    item = booth.take("ann")
    booth.time += 61
    booth.score("bob", 1.0, seconds=6.0)
    late = booth.counter.answer("ann", Given(item.question, booth.uuid(), 12.0, value=0.0))
    assert (late.state, late.undo_until) == ("duplicate", 0.0)
    booth.time += 10
    answer, work = trainer.collect()
    assert (answer.rater, answer.value) == ("bob", 4.0)
    assert (work.rater, work.seconds, work.price_micro, work.reason) == ("ann", 12.0, 40_000, "duplicate")


def test_an_answer_that_comes_late_to_a_question_still_open_counts(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    item = booth.take("ann")
    booth.time += 3600
    assert trainer.collect() == []
    assert booth.counter.answer("ann", Given(item.question, booth.uuid(), 5.0, value=0.0)).state == "counted"


def test_the_same_uuid_is_the_same_answer_and_another_value_is_refused(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    item = booth.take("ann")
    given = Given(item.question, booth.uuid(), 5.0, value=0.25)
    booth.time += 5
    first = booth.counter.answer("ann", given)
    booth.time += 10
    assert len(trainer.collect()) == 1
    again = booth.counter.answer("ann", given)  # the network had lost the first receipt
    assert (again.uuid, again.state, again.undo_until) == (first.uuid, "counted", 0.0)
    refused("invalid", booth.counter.answer, "ann", Given(item.question, given.uuid, 5.0, value=0.5))
    refused("closed", booth.counter.answer, "ann", Given(item.question, booth.uuid(), 5.0, value=0.5))
    assert trainer.collect() == [] and booth.queue.read("SELECT COUNT(*) FROM answer")[0][0] == 1


def test_an_undone_answer_never_arrives_and_its_seconds_are_those_of_the_next_one(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    first = booth.score("ann", 0.0, seconds=6.0)
    item = booth.counter.undo("ann", first.uuid)
    assert item.replaces == first.uuid and booth.counter.undo("ann", first.uuid) == item
    booth.time += 10
    assert trainer.collect() == []
    assert booth.counter.next("bob") is None  # it is still ann's
    booth.score("ann", 1.0, seconds=3.0)
    booth.time += 10
    assert trainer.collect() == [Answer("key/1", 4.0, "ann", 9.0, 30_000)]
    assert "undone" in booth.events("key/1")


def test_time_of_an_undone_answer_is_paid_when_nothing_follows(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    booth.counter.undo("ann", booth.score("ann", 0.0, seconds=6.0).uuid)
    booth.time += 60
    (work,) = trainer.collect()
    assert (work.rater, work.seconds, work.price_micro, work.reason) == ("ann", 6.0, 20_000, "taken back")
    assert booth.take("bob").question == 1


def test_an_answer_can_be_undone_until_the_trainer_fetches_it(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1, 2))
    first = booth.score("ann")
    booth.time += 3600
    booth.counter.undo("ann", first.uuid)
    second = booth.score("ann")
    booth.time += 10
    trainer.collect()
    refused("closed", booth.counter.undo, "ann", second.uuid)
    refused("unknown", booth.counter.undo, "bob", second.uuid)


def test_a_question_is_declined_after_two_raters_and_each_skip_is_paid(booth):
    trainer = booth.trainers[0]
    booth.raters.add("cat")
    booth.counter.heartbeat("bob"), booth.counter.heartbeat("cat")
    trainer.submit(asked("clip", 1))
    for rater, outcome in (("ann", "skipped"), ("bob", "cannot_tell")):
        item, uuid = booth.take(rater), booth.uuid()
        booth.time += 3
        for _ in range(2):  # the second one is the network's
            booth.counter.skip(rater, item.question, uuid, 3.0, outcome)
        assert booth.counter.next(rater) is None
    declined, *works = trainer.collect()
    assert declined == Declined("key/1", "2 raters have skipped it")
    assert [(work.rater, work.price_micro, work.reason) for work in works] == [
        ("ann", 10_000, "skipped"),
        ("bob", 10_000, "cannot_tell"),
    ]


def test_a_question_is_declined_once_all_who_are_there_have_skipped_it(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    booth.counter.heartbeat("bob")
    booth.counter.skip("ann", booth.take("ann").question, booth.uuid())
    assert booth.state("key/1") == "queued"
    booth.raters.pause("bob")
    assert [reply for reply in trainer.collect() if isinstance(reply, Declined)] == [
        Declined("key/1", "1 rater has skipped it")
    ]


def test_nobody_waits_for_a_rater_who_never_came_or_went_an_hour_ago(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1, 2))
    booth.counter.skip("ann", booth.take("ann").question, booth.uuid())
    assert len(declined(trainer)) == 1
    booth.counter.heartbeat("bob")
    booth.counter.skip("ann", booth.take("ann").question, booth.uuid())
    assert declined(trainer) == []
    booth.time += 3601
    assert len(declined(trainer)) == 1


def test_nobody_waits_for_a_rater_who_gets_no_questions_any_more(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    booth.counter.heartbeat("bob")
    trainer.told({"raters": {"bob": {"is_left": True}}})
    booth.counter.skip("ann", booth.take("ann").question, booth.uuid())
    assert len(declined(trainer)) == 1


def declined(trainer) -> list[Declined]:
    return [reply for reply in trainer.collect() if isinstance(reply, Declined)]


def test_a_directed_question_goes_to_its_rater_alone(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1, tier="bob"))
    assert booth.counter.next("ann") is None
    item = booth.take("bob")
    booth.counter.skip("bob", item.question, booth.uuid())
    assert booth.state("key/1") == "declined"


def test_expired_questions_are_asked_no_more_and_what_was_answered_is_paid(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1, 2, 3))
    booth.score("ann")
    item = booth.take("bob")
    trainer.expire(["key/1", "key/2", "key/3", "key/9"])
    assert booth.counter.next("ann") is None
    assert booth.counter.answer("bob", Given(item.question, booth.uuid(), 0.0, value=0.0)).state == "duplicate"
    booth.time += 10
    assert [work.reason for work in trainer.collect()] == ["duplicate", "duplicate"]


def test_a_trainer_that_dies_between_expiry_and_its_journal_gets_the_answer_after_all(booth):
    booth.trainers[0].submit(asked("clip", 1))
    booth.score("ann", 1.0)
    booth.trainers[0].expire(["key/1"])
    later = booth.trainer()
    later.submit(asked("clip", 1))
    (answer,) = later.collect()
    assert (answer.key, answer.value) == ("key/1", 4.0)
    assert later.collect() == []


def test_a_paused_rater_gets_nothing_new_and_may_finish(booth):
    booth.trainers[0].submit(asked("clip", 1, 2))
    item = booth.take("ann")
    booth.raters.pause("ann")
    assert booth.take("ann") == item
    refused("paused", booth.counter.next, "ann", held=[item.question])
    booth.counter.answer("ann", Given(item.question, booth.uuid(), 0.0, value=0.0))
    booth.raters.pause("ann", is_paused=False)
    booth.raters.pause()
    refused("paused", booth.counter.next, "bob")
    booth.raters.pause(is_paused=False)
    booth.take("bob")


def test_a_retracted_rater_is_paid_and_the_question_is_asked_anew(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1, 2))
    booth.score("ann")
    held = booth.take("ann")
    booth.raters.retract("ann")
    assert trainer.retracted() == {"ann"}
    late = booth.counter.answer("ann", Given(held.question, booth.uuid(), 0.0, value=0.0))
    assert late.state == "retracted"
    refused("retracted", booth.counter.next, "ann")
    booth.time += 10
    assert [(work.reason, work.price_micro) for work in trainer.collect()] == [("retracted", 20_000), ("retracted", 0)]
    assert {booth.score("bob").state, booth.score("bob").state} == {"counted"}


def test_the_owner_gives_up_what_is_open(booth):
    from tandem.envs.labelers.people.overview import Overview

    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1, 2))
    booth.score("ann")
    assert Overview(booth.queue).expire() == 1
    assert [(reply.reason, reply.is_given_up) for reply in trainer.collect()] == [("given up by the owner", True)]


def test_events_are_never_changed(booth):
    booth.trainers[0].submit(asked("clip", 1))
    for change in ("DELETE FROM event", "UPDATE event SET what = 'x'"):
        with pytest.raises(Exception, match="events are kept"), booth.queue.writing() as db:
            db.execute(change)
