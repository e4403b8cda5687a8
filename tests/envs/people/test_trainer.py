"""What a trainer that is killed anywhere hears afterwards, and what it is told of people."""

import json

import numpy as np
import pytest

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.make import make_labeler
from tandem.envs.labelers.people.films import Film, Films
from tandem.envs.labelers.people.overview import Overview
from tandem.envs.labelers.people.people import People
from tandem.envs.labelers.people.queue import Queue
from tandem.envs.labelers.people.raters import find
from tandem.envs.labelers.people.schema import QueueRefused
from tandem.envs.labelers.people.verdict import Given
from tandem.envs.records import Declined, Work
from tandem.envs.vault import RewardVault

from .conftest import LABEL_MICRO, asked


def test_a_trainer_that_lost_what_it_was_handed_gets_the_same_again(booth):
    booth.trainers[0].submit(asked("clip", 1, 2))
    booth.score("ann", 0.75)
    booth.time += 10
    (handed,) = booth.trainers[0].collect()
    later = booth.trainer()  # killed before it wrote the answer down: it asks all that it knows as open
    later.submit(asked("clip", 1, 2))
    with pytest.raises(QueueRefused, match="taken back"):
        booth.counter.undo("ann", booth.queue.read("SELECT uuid FROM answer")[0]["uuid"])
    assert later.collect() == [handed]
    assert later.collect() == [] and booth.state(handed.key) == "collected"


def test_a_trainer_that_kept_what_it_was_handed_hears_of_it_no_more(booth):
    booth.trainers[0].submit(asked("clip", 1))
    booth.score("ann")
    booth.time += 10
    booth.trainers[0].collect()
    later = booth.trainer()
    later.submit(asked("clip", 2))
    assert booth.state("key/1") == "collected" and later.collect() == []


def test_a_trainer_that_asks_nothing_has_kept_everything(booth):
    booth.trainers[0].submit(asked("clip", 1))
    booth.score("ann")
    booth.time += 10
    booth.trainers[0].collect()
    assert booth.trainer().collect() == [] and booth.state("key/1") == "collected"


def test_a_run_that_went_back_behind_a_collected_answer_gets_it_again(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    booth.score("ann")
    booth.time += 10
    (answer,) = trainer.collect()
    trainer.collect()
    later = booth.trainer()
    later.submit(asked("clip", 1))
    assert later.collect() == [answer]


def test_what_was_declined_is_declined_again(booth):
    booth.trainers[0].submit(asked("clip", 1))
    booth.counter.heartbeat("bob")
    for rater in ("ann", "bob"):
        booth.counter.skip(rater, booth.take(rater).question, booth.uuid())
    (told,) = [reply for reply in booth.trainers[0].collect() if isinstance(reply, Declined)]
    later = booth.trainer()
    later.submit(asked("clip", 1))
    assert told in later.collect()


def test_work_is_told_again_under_its_key_until_the_trainer_has_shown_that_it_lives(booth):
    booth.trainers[0].submit(asked("clip", 1))
    booth.counter.heartbeat("bob")
    booth.counter.skip("ann", booth.take("ann").question, booth.uuid())
    (work,) = booth.trainers[0].collect()
    assert isinstance(work, Work)
    later = booth.trainer()
    assert later.collect() == [work]
    assert later.collect() == [] and booth.trainer().collect() == []


def test_a_key_that_was_another_question_is_another_runs(booth):
    booth.trainers[0].submit(asked("clip", 1))
    with pytest.raises(QueueRefused, match="is another question there") as error:
        booth.trainers[0].submit(asked("clip", 1, rows=5))
    assert error.value.word == "foreign"


def test_a_file_of_another_run_is_refused(booth, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Queue.create(other).close()
    (other / "questions.db").write_bytes((booth.folder / "questions.db").read_bytes())
    with pytest.raises(QueueRefused, match="belongs to another run") as error:
        Queue.open(other)
    assert error.value.word == "foreign"


def test_a_file_that_is_no_queue_is_refused_in_a_line(tmp_path):
    with pytest.raises(QueueRefused, match=r"has no questions\.db"):
        Queue.open(tmp_path)
    (tmp_path / "questions.db").write_bytes(b"not a database" * 100)
    with pytest.raises(QueueRefused) as error:
        Queue.open(tmp_path)
    assert error.value.word == "damaged"


def test_the_answer_is_worth_what_its_kind_says(booth):
    trainer = booth.trainers[0]
    trainer.submit([*asked("step", 1, rows=1), *asked("moments", 2)])
    for _ in range(2):
        item = booth.take("ann")
        stated = {"marks": [[3, -1], [0, 1]]} if item.kind == "moments" else {"value": 0.75}
        booth.counter.answer("ann", Given(item.question, booth.uuid(), 0.0, **stated))
    booth.time += 10
    found = {answer.key: answer for answer in trainer.collect()}
    assert found["key/1"].value == 0.5  # -1 + .75 * 2
    assert (found["key/2"].value, found["key/2"].moments) == (0.0, ((0, 1.0), (3, -1.0)))


@pytest.mark.parametrize("anchors", ["How steady?", ""])
def test_pairs_and_the_clips_scored_before_them_are_asked_in_words_of_their_own(tmp_path, anchors):
    config = LabelerConfig(name="people", kind="pair", prompt="Which is steadier?", anchor_prompt=anchors)
    people = People(tmp_path, config, LABEL_MICRO)
    people.submit([*asked("clip", 1), *asked("pair", 2)])
    told = {row["kind"]: row["prompt"] for row in people.queue.read("SELECT kind, prompt FROM question")}
    assert told == {"pair": "Which is steadier?", "clip": anchors or "How good is what happens in this clip?"}
    people.close()


def test_sides_are_drawn_for_each_rater_and_mapped_back(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("pair", *range(20)))
    swapped = 0
    for _ in range(20):
        item = booth.take("ann")
        swapped += item.sides == (1, 0)
        seen = "left" if item.sides == (0, 1) else "right"  # wherever the question's own left clip is shown
        booth.counter.answer("ann", Given(item.question, booth.uuid(), 0.0, choice=seen))
    booth.time += 10
    assert {answer.value for answer in trainer.collect()} == {1.0}
    assert 0 < swapped < 20


def test_raters_get_the_questions_in_different_orders(booth):
    booth.trainers[0].submit(asked("clip", *range(12)))
    orders = []
    for rater in ("ann", "bob"):
        order = []
        for _ in range(12):
            item = booth.take(rater)
            order.append(item.question)
            receipt = booth.counter.answer(rater, Given(item.question, booth.uuid(), 0.0, value=0.0))
            booth.counter.undo(rater, receipt.uuid)
            with booth.queue.writing() as db:  # it goes to the end: both raters see all twelve
                db.execute("UPDATE assignment SET outcome = 'skipped'")
        with booth.queue.writing() as db:
            db.execute("DELETE FROM assignment")
        orders.append(order)
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1] and orders[0] != sorted(orders[0])


def test_drawn_questions_come_first_and_the_darkroom_keeps_ahead(booth):
    booth.trainers[0].submit(asked("clip", *range(6)))
    films = Films(booth.queue)
    assert films.undrawn(2) == [1, 2]
    films.put(4, [Film(b"webp", {"fps": 15})])
    assert booth.take("ann").question == 4
    film = films.film(4)
    assert film == Film(b"webp", {"fps": 15}) and films.film(5) is None
    held = booth.take("bob").question
    assert films.undrawn(1)[0] == held  # somebody waits for it
    films.put(held, [Film(b"", {})])
    for one in (1, 2, 3):
        films.put(one, [Film(b"", {})])
    assert films.undrawn(2) == []


def test_sights_come_back_as_they_were(booth):
    question = asked("pair", 1)[0]
    booth.trainers[0].submit([question])
    found = Films(booth.queue).question(1)
    assert found is not None and found == question and len(found.sights) == 2
    np.testing.assert_array_equal(found.sights[1].obs["x"], question.sights[1].obs["x"])
    assert found.sights[0].num_padding == 1


def test_sights_of_closed_questions_are_dropped_and_films_stay(booth):
    def seen() -> list[str]:
        rows = booth.queue.read("SELECT key FROM sight JOIN question ON id = question ORDER BY id")
        return [row["key"] for row in rows]

    trainer, films = booth.trainers[0], Films(booth.queue)
    trainer.submit(asked("clip", 1, 2))
    films.put(1, [Film(b"webp", {})]), films.put(2, [Film(b"webp", {})])
    first = booth.score("ann")
    booth.counter.undo("ann", first.uuid)
    assert seen() == ["key/1", "key/2"]  # it may still be drawn
    answered = booth.score("ann").uuid
    booth.time += 10
    (answer,) = trainer.collect()
    assert seen() == ["key/1", "key/2"]  # it may still be lost on the way
    trainer.collect()
    (left,) = {"key/1", "key/2"} - {answer.key}
    assert seen() == [left] and answered
    trainer.expire([left])
    assert seen() == [] and films.film(1) == films.film(2) == Film(b"webp", {})
    assert booth.queue.read("SELECT COUNT(*) FROM answer")[0][0] == 2


def test_a_question_that_is_asked_again_can_be_drawn_again(booth):
    booth.trainers[0].submit(asked("clip", 1))
    booth.trainers[0].expire(["key/1"])
    booth.trainer().submit(asked("clip", 1))
    assert Films(booth.queue).question(1) == asked("clip", 1)[0]
    assert Films(booth.queue).undrawn(5) == [1]


def test_new_raters_practise_on_what_the_owner_has_marked(booth):
    trainer, overview = booth.trainers[0], Overview(booth.queue)
    booth.raters.add("cat")
    trainer.submit(asked("clip", 1))
    booth.score("ann", 0.0)
    booth.time += 10
    trainer.collect()
    trainer.submit(asked("clip", 2))
    overview.mark(1, 1.0)
    assert booth.take("cat").question == 2  # what was never drawn can be shown to nobody any more
    Films(booth.queue).put(1, [Film(b"", {})])
    booth.time += 100
    receipt = booth.score("bob", 0.5)
    assert (receipt.state, receipt.feedback) == ("practice", 1.0)
    (work,) = trainer.collect()
    assert (work.rater, work.reason, work.price_micro) == ("bob", "practice", 20_000)
    assert booth.score("bob").state == "counted"  # nothing else is marked
    (bob,) = [shift for shift in overview.shifts() if shift.rater.name == "bob"]
    assert bob.agreement == 0.5


def test_nobody_practises_where_nothing_is_open_and_no_trainer_is_there_to_pay(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    booth.score("ann", 0.0)
    booth.time += 10
    trainer.collect(), trainer.collect()
    Overview(booth.queue).mark(1, 1.0), Films(booth.queue).put(1, [Film(b"", {})])
    booth.time += 100  # the run is over
    assert booth.counter.next("bob") is None
    trainer.collect()
    assert booth.take("bob").question == 1


def test_what_a_rater_is_owed_is_what_is_not_fetched_or_not_booked(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    item = booth.take("ann")
    booth.time += 6
    booth.counter.skip("ann", item.question, booth.uuid(), 6.0)
    assert owed(booth) == {"ann": 0.02, "bob": 0.0}  # 6 s at 12 an hour
    trainer.collect()
    assert owed(booth) == {"ann": 0.0, "bob": 0.0}
    trainer.told({"owed": {"bob": 1.5}})
    assert owed(booth) == {"ann": 0.0, "bob": 1.5}


def owed(booth) -> dict[str, float]:
    return {shift.rater.name: shift.owed for shift in Overview(booth.queue).shifts()}


def test_gold_looks_like_any_other_item_and_gets_no_feedback(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", *range(100)))
    for _ in range(20):
        booth.score("ann", 0.0)
    booth.time += 10
    trainer.collect()
    trainer.collect()
    for number in range(1, 101):
        if booth.queue.read("SELECT state FROM question WHERE id = ?", (number,))[0][0] == "collected":
            Overview(booth.queue).mark(number, 1.0)
            Films(booth.queue).put(number, [Film(b"", {})])
    booth.raters.add("cat")
    receipts = [booth.score("cat", 1.0) for _ in range(60)]
    states = [receipt.state for receipt in receipts]
    assert states[:5] == ["practice"] * 5 and states[5:].count("practice") == 0
    assert 1 <= states.count("gold") <= 8  # one of twenty, by chance
    assert all(receipt.feedback is None for receipt in receipts[5:])


def test_gold_is_held_against_what_the_owner_has_marked(booth):
    """cat gives 1.0 to all, dan 0.25: of marks of 1 that is 1 and .25. Practice, whose answer was told, does not count."""
    booth.raters.add("cat"), booth.raters.add("dan")
    booth.trainers[0].submit(asked("clip", *range(8)))
    for number in range(1, 9):
        for purpose, name, value in (("gold" if number > 2 else "practice", "cat", 1.0), ("gold", "dan", 0.25)):
            with booth.queue.writing() as db:
                rater = find(db, name).id
                now = booth.now()
                db.execute(
                    "INSERT INTO assignment VALUES (?, ?, ?, ?, ?, NULL, 0, NULL)",
                    (number, rater, purpose, now, now + 60),
                )
            booth.counter.answer(name, Given(number, booth.uuid(), 0.0, value=value))
        if number != 3:
            Overview(booth.queue).mark(number, 1.0)
    shifts = {shift.rater.name: shift for shift in Overview(booth.queue).shifts()}
    assert (shifts["cat"].gold, shifts["cat"].golds, shifts["cat"].is_off_gold) == (1.0, 5, False)
    assert (shifts["dan"].gold, shifts["dan"].golds, shifts["dan"].is_off_gold) == (0.25, 7, True)
    assert (shifts["ann"].gold, shifts["ann"].golds, shifts["ann"].is_off_gold) == (None, 0, False)
    Overview(booth.queue).mark(8, None)  # taken away again
    (dan,) = [shift for shift in Overview(booth.queue).shifts() if shift.rater.name == "dan"]
    assert dan.golds == 6


def test_status_is_a_line(booth):
    booth.trainers[0].submit(asked("clip", 1, 2))
    booth.time += 720
    booth.score("ann")
    hint = f"nobody serves the page yet: tandem label serve {booth.folder}"
    assert booth.trainers[0].status() == f"1 open, oldest 12 min, 1 rater, 1/h, {hint}"


def test_what_the_trainer_knows_is_kept_for_the_owner(booth):
    booth.trainers[0].submit(asked("clip", 1))
    facts = {"raters": {"ann": {"sigma": 0.1}}, "trainer": "waits"}
    booth.trainers[0].told(facts | {"predictions": {"key/1": 2.5, "key/9": 1.0}})
    assert booth.queue.meta("facts") == facts
    assert booth.queue.read("SELECT prediction FROM question")[0][0] == 2.5


def test_people_are_made_for_the_folder_of_a_run(tmp_path):
    config = LabelerConfig(name="people", kind="clip", fee=0.25)
    labeler = make_labeler(config, RewardVault(), 0, tmp_path, 4_000_000)
    assert isinstance(labeler, People) and not list(tmp_path.iterdir())
    labeler.submit(asked("clip", 1))
    assert labeler.queue.meta("prices") == {"ceiling_micro": 12_000_000, "fee_micro": 250_000}
    assert json.loads(json.dumps(labeler.collect())) == []
    labeler.close()
