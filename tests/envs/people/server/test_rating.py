"""What raters can say, and what becomes of nonsense: refused in words, nothing paid twice, nothing lost."""

import uuid

import pytest

from tandem.envs.labelers.people.queue import Queue


def next_question(client) -> dict:
    return client.post("/api/next", json={}).json()["question"]


def answer(client, about: int, **fields):
    said = {"uuid": str(uuid.uuid4()), "question": about, "seconds": 2.0, "value": 0.75}
    return client.post("/api/answer", json=said | fields)


def rows(site, sql: str) -> list[tuple]:
    return [tuple(row) for row in site.queue.read(sql)]


def test_a_score_becomes_the_label_that_the_trainer_collects(site):
    ann = site.client("ann")
    question = next_question(ann)
    assert question["films"][0]["context"] == 3 and question["films"][0]["url"] == f"/film/{question['id']}/0"
    site.clock.seconds += 4
    told = answer(ann, question["id"], seconds=3.0).json()
    assert (told["state"], told["today"], told["seconds_each"]) == ("counted", 1, 3.0)
    site.clock.seconds += 60  # nobody can take it back any more
    (label,) = site.people.collect()
    assert (label.value, label.rater, label.seconds) == (8 * 0.75, "ann", 3.0)  # 8 rows from 0 to 1 each
    assert label.price_micro == 12 * 3 * 1_000_000 // 3600


def test_an_answer_that_is_sent_twice_counts_once(site):
    ann = site.client("ann")
    question, same = next_question(ann)["id"], str(uuid.uuid4())
    first, again = (answer(ann, question, uuid=same) for _ in range(2))
    assert first.json() == again.json() and first.status_code == 200
    assert answer(ann, question).status_code == 409  # another answer to what was answered
    assert rows(site, "SELECT COUNT(*) FROM answer") == [(1,)]


@pytest.mark.parametrize(
    "said",
    [
        {"value": "0.5"},
        {"value": True},
        {"value": 1.0001},
        {"value": -1e308},
        {"value": None},
        {"value": [0.5]},
        {"choice": "left"},
        {"marks": [[0, 1]]},
        {"seconds": -1},
        {"seconds": "2"},
        {"uuid": "x"},
        {"uuid": 7},
        {"question": "1"},
        {"question": 0},
        {"question": 2**70},
        {"question": None},
        {"rater": "bob"},
        {"price": 1e9},
        {"x" * 5000: 1},
    ],
)
def test_nonsense_is_refused_in_a_line_and_nothing_is_kept(site, said):
    ann = site.client("ann")
    refused = answer(ann, next_question(ann)["id"], **said)
    assert refused.status_code in (400, 404) and 10 < len(refused.json()["error"]) < 200
    assert rows(site, "SELECT COUNT(*) FROM answer") == [(0,)]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"1",
        b"null",
        b"\xff\xfe",
        b'{"value": NaN}',
        b'{"value": Infinity}',
        b"[" * 16_000,
        b'{"seconds": 1' + b"0" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("path", ["/api/answer", "/api/skip", "/api/undo", "/api/heartbeat"])
def test_a_body_that_is_no_object_is_refused(site, path, body):
    refused = site.client("ann").post(path, content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 400 and refused.json()["error"].startswith("a body is one JSON object")


def test_a_question_that_was_not_given_to_somebody_is_not_theirs_to_answer(site):
    ann, bob = site.client("ann"), site.client("bob")
    question = next_question(ann)["id"]
    assert answer(bob, question).status_code == 404
    skip = {"question": question, "uuid": str(uuid.uuid4()), "seconds": 1}
    assert bob.post("/api/skip", json=skip).status_code == 404
    assert bob.post("/api/undo", json={"answer": str(uuid.uuid4()), "uuid": str(uuid.uuid4())}).status_code == 404


def test_two_raters_never_hold_one_question(site):
    ann, bob = site.client("ann"), site.client("bob")
    assert next_question(ann)["id"] == next_question(ann)["id"] != next_question(bob)["id"]


def test_an_answer_is_taken_back_until_the_trainer_has_it(site):
    ann = site.client("ann")
    question, first = next_question(ann)["id"], str(uuid.uuid4())
    answer(ann, question, uuid=first)
    undo = {"answer": first, "uuid": str(uuid.uuid4())}
    assert ann.post("/api/undo", json=undo).json()["today"] == 0
    assert next_question(ann)["id"] == question
    second = str(uuid.uuid4())
    assert answer(ann, question, uuid=second, value=0.0).json()["state"] == "counted"
    site.clock.seconds += 60
    assert [label.value for label in site.people.collect()] == [0.0]
    assert ann.post("/api/undo", json={"answer": second, "uuid": str(uuid.uuid4())}).status_code == 409


def test_what_two_raters_skip_is_declined(site):
    assert site.client("bob").post("/api/heartbeat", json={"question": 1}).status_code == 200  # bob is there
    for name in ("ann", "bob"):
        client = site.client(name)
        for _ in range(6):
            said = {"question": next_question(client)["id"], "uuid": str(uuid.uuid4()), "seconds": 1}
            assert client.post("/api/cannot_tell" if name == "ann" else "/api/skip", json=said).status_code == 200
        assert "waiting" in client.post("/api/next", json={}).json()
    assert len([reply for reply in site.people.collect() if hasattr(reply, "reason") and not hasattr(reply, "rater")]) == 6  # fmt: skip


def test_a_paused_rater_is_told_so_and_may_still_answer_what_is_held(site):
    ann, owner = site.client("ann"), site.client("owner")
    question = next_question(ann)["id"]
    owner.post("/api/owner/pause", json={"rater": "ann", "is_paused": True})
    assert answer(ann, question).status_code == 200
    told = ann.post("/api/next", json={}).json()
    assert told["title"] == "A pause" and "saved" in told["waiting"]
    bob = site.client("bob")
    held = next_question(bob)["id"]
    owner.post("/api/owner/pause", json={"is_paused": True})
    assert next_question(bob)["id"] == held and answer(bob, held).status_code == 200
    assert bob.post("/api/next", json={}).json()["title"] == "A pause"
    owner.post("/api/owner/pause", json={"is_paused": False})
    assert next_question(bob)


def test_without_questions_the_page_says_whether_a_trainer_is_there(site):
    site.client("owner").post("/api/owner/expire", json={})
    ann = site.client("ann")
    assert "not running" in ann.post("/api/next", json={}).json()["waiting"]
    site.people.collect()
    assert "by themselves" in ann.post("/api/next", json={}).json()["waiting"]


def test_a_full_disk_is_said_and_the_browser_is_to_try_again(site):
    ann = site.client("ann")
    question = next_question(ann)["id"]
    pages = site.queue.read("PRAGMA page_count")[0][0]
    site.queue.read(f"PRAGMA max_page_count = {pages}")  # SQLite's own word for a full disk
    long = {"marks": None, "uuid": str(uuid.uuid4())}
    told = [answer(ann, question, **long)]
    while told[-1].status_code == 200 and len(told) < 200:  # until the last page is full
        told.append(ann.post("/api/undo", json={"answer": long["uuid"], "uuid": str(uuid.uuid4())}))
        long["uuid"] = str(uuid.uuid4())
        told.append(answer(ann, question, **long))
    assert told[-1].status_code == 507 and "disk is full" in told[-1].json()["error"]
    site.queue.read("PRAGMA max_page_count = 1000000")
    assert answer(ann, question, **long).status_code in (200, 409)


def test_a_queue_of_another_run_is_not_served(site, tmp_path):
    (tmp_path / "questions.id").write_text("another\n")
    with pytest.raises(Exception, match="belongs to another run"):
        Queue.open(tmp_path)
