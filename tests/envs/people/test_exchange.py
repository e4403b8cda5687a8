"""Answers go out and come in: as JSON lines, CSV, and what Label Studio reads and writes."""

import base64
import json
import shutil

import numpy as np
import pytest

from tandem.envs.labelers.people.exchange import label_studio
from tandem.envs.labelers.people.exchange.clip_video import clip_video
from tandem.envs.labelers.people.exchange.forms import FORMS, read_strangers
from tandem.envs.labelers.people.exchange.imports import Imported, import_answers
from tandem.envs.labelers.people.exchange.records import records
from tandem.envs.labelers.people.films import Film, Films
from tandem.envs.labelers.people.queue import Queue
from tandem.envs.labelers.people.schema import QueueRefused
from tandem.envs.labelers.people.verdict import Given
from tandem.envs.sights.film import FPS, strip

from .conftest import asked

STATED = {"clip": {"value": 0.75}, "pair": {"choice": "same"}, "moments": {"marks": [[0, 1], [2, -1]]}}


@pytest.fixture
def answered(booth):
    """One question of each kind answered by ann, one open; and a copy of the queue from before the answers."""
    trainer = booth.trainers[0]
    for step, kind in enumerate(STATED, 1):
        trainer.submit(asked(kind, step))
    trainer.submit(asked("clip", 9))
    copy = booth.folder / "copy"
    copy.mkdir()
    booth.queue.read("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("questions.db", "questions.id"):
        shutil.copy(booth.folder / name, copy / name)
    for _ in range(3):
        item = booth.take("ann")
        if booth.queue.read("SELECT key FROM question WHERE id = ?", (item.question,))[0][0] == "key/9":
            item = booth.counter.next("ann", held=[item.question])
        booth.time += 6
        booth.counter.answer("ann", Given(item.question, booth.uuid(), 6.0, **STATED[item.kind]))
    return booth, copy


@pytest.mark.parametrize("form", FORMS)
def test_what_was_exported_is_imported_as_it_was_and_only_once(answered, form):
    booth, copy = answered
    text = FORMS[form](records(booth.queue))
    assert text.count("key/9") == 1  # open, for others to answer
    with Queue.open(copy, booth.now) as other:
        assert import_answers(other, read_strangers(text)) == Imported(counted=3)
        assert import_answers(other, read_strangers(text)) == Imported(known=3)
        here, there = ([one | {"time": None} for one in records(queue)] for queue in (booth.queue, other))
        assert here == there
        assert other.read("SELECT COUNT(*) FROM work")[0][0] == 0


def test_the_label_of_an_export_is_the_answer_of_the_trainer(answered):
    booth, _ = answered
    booth.time += 10
    told = {answer.key: answer.value for answer in booth.trainers[0].collect()}
    exported = {record["key"]: record["label"] for record in records(booth.queue) if record["rater"]}
    assert exported == told == {"key/1": 2.0, "key/2": 0.5, "key/3": 0.0}


def test_an_imported_answer_reaches_the_trainer_and_a_second_one_is_kept_beside(booth):
    trainer = booth.trainers[0]
    trainer.submit(asked("clip", 1))
    booth.score("ann")
    line = json.dumps({"key": "key/1", "rater": "studio.1", "verdict": 1.0, "seconds": 6.0})
    assert import_answers(booth.queue, read_strangers(line)) == Imported(others=1)
    trainer.submit(asked("clip", 2))
    import_answers(booth.queue, read_strangers(line.replace("key/1", "key/2")))
    answer, work = trainer.collect()  # an import is not taken back, and needs no undo time
    assert (answer.key, answer.value, answer.rater, answer.price_micro) == ("key/2", 4.0, "studio.1", 20_000)
    assert (work.rater, work.reason) == ("studio.1", "duplicate")


def test_an_import_over_an_answer_that_was_taken_back_pays_the_time_of_that_too(booth):
    booth.trainers[0].submit(asked("clip", 1))
    first = booth.score("ann", seconds=6.0)
    booth.counter.undo("ann", first.uuid)
    line = json.dumps({"key": "key/1", "rater": "ann", "verdict": 1.0, "seconds": 3.0})
    assert import_answers(booth.queue, read_strangers(line)) == Imported(counted=1)
    (answer,) = booth.trainers[0].collect()
    assert (answer.value, answer.seconds, answer.price_micro) == (4.0, 9.0, 30_000)
    booth.time += 1000
    assert booth.trainers[0].collect() == []  # and pays it once


def test_an_import_costs_no_more_than_an_answer_here_and_no_later_lease_is_longer(booth):
    booth.trainers[0].submit(asked("clip", *range(8)))
    booth.score("ann", seconds=6.0)
    lines = [{"key": f"key/{step}", "rater": "bob", "verdict": 0.5, "seconds": 40_000} for step in range(8)]
    import_answers(booth.queue, read_strangers("\n".join(map(json.dumps, lines))))
    seconds = booth.queue.read(
        "SELECT DISTINCT a.seconds FROM answer a JOIN rater r ON r.id = a.rater WHERE name = 'bob'"
    )
    assert [row["seconds"] for row in seconds] == [60.0]
    booth.trainers[0].submit(asked("clip", 8))
    assert booth.take("bob").until == booth.time + 60


def test_no_import_takes_the_name_of_the_owner(booth):
    booth.trainers[0].submit(asked("clip", 1))
    line = json.dumps({"key": "key/1", "rater": "owner", "verdict": 0.5})
    with pytest.raises(QueueRefused, match="line 1: name: owner is whoever serves the page"):
        import_answers(booth.queue, read_strangers(line))
    with booth.queue.writing() as db:  # an import had done so once
        db.execute("UPDATE rater SET name = 'owner' WHERE name = 'ann'")
    owner = booth.raters.by_token(booth.raters.owner())
    assert owner is not None and owner.is_owner and not booth.raters.find("bob").is_owner


def test_every_refused_line_is_named_and_nothing_is_imported(booth):
    booth.trainers[0].submit(asked("clip", 1, 2, 3))
    good = {"key": "key/1", "rater": "ann", "verdict": 0.5}
    lines = [good, good | {"key": "key/7"}, good | {"verdict": 2}, good | {"rater": "a b"}, good | {"uuid": "x"}]
    with pytest.raises(QueueRefused) as error:
        import_answers(booth.queue, read_strangers("\n".join(map(json.dumps, lines))))
    assert str(error.value) == (
        "nothing is imported: line 2: key: no question key/7 was asked in this run; line 3: value: must be a number from "
        "0 to 1, got 2; line 4: name: up to 40 letters, digits, _, . and -, not default, got 'a b'; line 5: uuid: must be "
        "one in small letters with dashes, got 'x'"
    )
    assert booth.queue.read("SELECT COUNT(*) FROM answer")[0][0] == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"key": "key/1", "rater": "ann", "verdict": 0.5}\n{"key": ', "line 2: is no JSON"),
        ('{"key": "key/1", "verdict": 0.5}', "line 1: rater is missing"),
        ("key,verdict\nkey/1,0.5\n", "line 1: has no column rater"),
        ('key,rater,verdict\nkey/1,ann,"0.5\n', "line 2"),
        ('[{"data": {"key": "key/1", "kind": "clip"}}]', "task 1: not as Label Studio"),
        ("[3]", "task 1"),
        ("[", "is no JSON"),
        ("\ufeff\n", "is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(text, told):
    with pytest.raises(QueueRefused, match=told):
        read_strangers(text)


def test_ratings_of_label_studio_are_scores(booth):
    booth.trainers[0].submit(asked("clip", 1))
    result = {"type": "rating", "value": {"rating": 4}, "from_name": "stars", "to_name": "clip"}
    task = {"data": {"key": "key/1", "kind": "clip"}, "annotations": [{"completed_by": 7, "result": [result]}]}
    assert import_answers(booth.queue, read_strangers(json.dumps([task]))) == Imported(counted=1)
    (answer,) = booth.trainers[0].collect()
    assert (answer.value, answer.rater) == (2.0, "annotator-7")  # 4 of 1 to 5 is .75


def test_what_no_answer_holds_is_refused_in_a_line(booth):
    booth.trainers[0].submit(asked("clip", 1))
    odd = ("\ud800", "a\x00b", 10**400, -(10**400), [[0, 10**400]], {"a": 1}, True)
    good = {"key": "key/1", "rater": "ann", "verdict": 0.5, "seconds": 1.0}
    lines = [good | {name: one} for name in ("key", "rater", "verdict", "seconds", "uuid") for one in odd]
    for line in lines:
        with pytest.raises(QueueRefused, match="nothing is imported: line 1: ") as error:
            import_answers(booth.queue, read_strangers(json.dumps(line)))
        assert b"\n" not in str(error.value).encode()


def test_a_rating_beyond_all_numbers_is_refused_in_a_line(booth):
    result = [{"type": "rating", "value": {"rating": 10**400}}]
    annotation = {"completed_by": "ann", "result": result}
    text = json.dumps([{"data": {"key": "key/1", "kind": "clip"}, "annotations": [annotation]}])
    with pytest.raises(QueueRefused, match=r"^task 1: not as Label Studio exports it \(OverflowError"):
        read_strangers(text)


SHADES = (200, 40, 120, 240)


def drawn(brighter: int = 0) -> Film:
    return strip([np.full((40, 60, 3), shade + brighter, np.uint8) for shade in SHADES], context=1)


def test_what_is_open_and_wholly_drawn_can_be_labelled_in_label_studio(booth, monkeypatch):
    monkeypatch.setattr(label_studio, "missing", lambda: "")
    monkeypatch.setattr(label_studio, "clip_video", lambda film: b"video of " + film.webp)
    trainer, films = booth.trainers[0], Films(booth.queue)
    for kind, step in (("clip", 1), ("pair", 2), ("pair", 3), ("clip", 4), ("clip", 5)):
        trainer.submit(asked(kind, step))
    films.put(1, [drawn()])
    films.put(2, [drawn(), drawn(10)])
    films.put(3, [drawn(), Film(b"", {"traces": []})])  # no picture could be made of the right one
    films.put(5, [drawn()])
    tasks, why = label_studio.open_tasks(records(booth.queue), films)
    assert not why and not any("annotations" in task for task in tasks)
    one, pair = (
        {name: data[name] for name in data if name[:4] in ("stri", "film")}
        for data in (tasks[0]["data"], tasks[1]["data"])
    )
    left, right = (address("image/webp", film.webp) for film in (drawn(), drawn(10)))
    left_video, right_video = (address("video/mp4", b"video of " + film.webp) for film in (drawn(), drawn(10)))
    assert one == {"strip": left, "film": left_video}
    assert pair == {"strip": left, "strip_right": right, "film": left_video, "film_right": right_video}
    assert [task["data"]["key"] for task in tasks] == ["key/1", "key/2", "key/5"]


def address(form: str, content: bytes) -> str:
    return f"data:{form};base64,{base64.b64encode(content).decode()}"


def test_without_a_working_codec_strips_are_left_and_it_is_said(booth, monkeypatch):
    def broken(film: Film) -> bytes:
        raise IndexError("list index out of range")

    monkeypatch.setattr(label_studio, "missing", lambda: "")
    monkeypatch.setattr(label_studio, "clip_video", broken)
    booth.trainers[0].submit(asked("clip", 1))
    films = Films(booth.queue)
    films.put(1, [drawn()])
    (task,), why = label_studio.open_tasks(records(booth.queue), films)
    assert why == "mp4 cannot be made (IndexError: list index out of range)"
    assert "strip" in task["data"] and "film" not in task["data"]


def test_a_frame_of_its_video_is_a_row_of_the_clip():
    imageio = pytest.importorskip("imageio.v2", reason="the extra video is not installed")
    pytest.importorskip("imageio_ffmpeg", reason="the extra video is not installed")
    with imageio.get_reader(clip_video(drawn()), "mp4") as video:
        assert video.get_meta_data()["fps"] == FPS and video.get_meta_data()["size"] == (60, 40)
        seen = [float(frame.mean()) for frame in video]
    np.testing.assert_allclose(seen, SHADES[1:], atol=4)  # what led there is not in it


def test_what_is_answered_is_not_labelled_there_again(booth):
    booth.trainers[0].submit(asked("clip", 1))
    films = Films(booth.queue)
    films.put(1, [drawn()])
    assert len(label_studio.open_tasks(records(booth.queue), films)[0]) == 1
    item = booth.take("ann")
    booth.counter.answer("ann", Given(item.question, booth.uuid(), 6.0, value=0.5))
    assert label_studio.open_tasks(records(booth.queue), films)[0] == []
