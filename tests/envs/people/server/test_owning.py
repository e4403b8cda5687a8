"""What the owner sees and can do, and that no guess of the model reaches a rater."""

import json

import pytest

from tandem.envs.labelers.people.raters import OWNER
from tandem.envs.labelers.people.server.pages import read_pages


def score(client, clock, value: float) -> int:
    question = client.post("/api/next", json={}).json()["question"]["id"]
    clock.seconds += 10
    uuid = f"00000000-0000-4000-8000-{int(clock.seconds):012d}"
    client.post("/api/answer", json={"uuid": uuid, "question": question, "seconds": 6.0, "value": value})
    return question


def test_the_owner_sees_what_is_open_what_it_costs_and_who_is_underpaid(site):
    site.raters.add("cheap", 5.0)
    ann, owner = site.client("ann"), site.client("owner")
    score(ann, site.clock, 1.0), ann.post("/api/next", json={})
    site.people.collect()
    site.people.told({"raters": {"ann": {"sigma": 0.5, "bias": -0.1, "clean_per_coin": 30.0, "is_left": True}}, "trainer": "waiting for people", "predictions": {}})  # fmt: skip
    told = owner.get("/api/owner").json()
    coins = round(12e6 * 6 / 3600) / 1e6
    assert told["trainer"] == "waiting for people" and told["is_training"]
    assert told["figures"] | {"oldest": 0} == {
        "open": 5, "leased": 1, "oldest": 0, "answers_per_hour": 1, "coins_per_hour": coins, "answered": 1, "coins": coins,
        "skip_rate": 0.0, "agreement": None,
    }  # fmt: skip
    by_name = {rater["name"]: rater for rater in told["raters"]}
    assert by_name.keys() == {"ann", "bob", "cheap"} and told["least_wage"] == 8
    assert (by_name["ann"]["sigma"], by_name["ann"]["clean_per_coin"], by_name["ann"]["is_left"]) == (0.5, 30.0, True)
    assert [name for name, rater in by_name.items() if rater["wage"] < told["least_wage"]] == ["cheap"]


def test_a_rater_that_is_added_gets_an_address_that_works_once_told(site):
    owner = site.client("owner")
    added = owner.post("/api/owner/add", json={"name": "cleo", "wage": 15}).json()
    stranger = site.client()
    assert stranger.get(added["path"]).headers["location"] == "/label"
    assert stranger.get("/api/me").json()["name"] == "cleo"
    for wrong in ({"name": "cleo"}, {"name": "a/b"}, {"name": OWNER}, {"name": ""}, {"name": "x", "wage": -1}, {"name": "x", "wage": "9"}, {"name": ["x"]}, {}):  # fmt: skip
        assert owner.post("/api/owner/add", json=wrong).status_code == 400, wrong


def test_a_name_or_wage_that_nothing_can_hold_is_refused(site):
    def post(verb: str, **body: object) -> int:
        header = {"content-type": "application/json"}  # as text: half of a surrogate pair is JSON and no UTF-8
        return site.client("owner").post(f"/api/owner/{verb}", content=json.dumps(body), headers=header).status_code

    assert post("pause", rater="\ud800", is_paused=True) == post("retract", rater="\ud800") == 404
    assert post("add", name="\ud800") == post("add", name="x", wage=10**400) == 400


def test_a_wage_that_the_ceiling_cuts_is_said_to_the_owner(site):
    owner = site.client("owner")
    assert "note" not in owner.post("/api/owner/add", json={"name": "cleo", "wage": 2000}).json()
    assert "3.6 seconds" in owner.post("/api/owner/add", json={"name": "dora", "wage": 3000}).json()["note"]


def test_a_retracted_rater_keeps_the_pay_and_is_asked_no_more(site):
    ann, owner = site.client("ann"), site.client("owner")
    question = score(ann, site.clock, 0.25)
    owner.post("/api/owner/retract", json={"rater": "ann"})
    refused = ann.post("/api/next", json={})
    assert refused.status_code == 403 and "not counted" in refused.json()["error"]
    site.clock.seconds += 60
    (work,) = site.people.collect()
    assert (work.rater, work.seconds, work.reason) == ("ann", 6.0, "retracted")
    assert site.client("bob").post("/api/next", json={}).json()["question"]["id"] and question
    assert owner.post("/api/owner/retract", json={"rater": "nobody"}).status_code == 404


def test_expired_questions_are_declined_and_a_late_answer_is_paid(site):
    ann, owner = site.client("ann"), site.client("owner")
    question = ann.post("/api/next", json={}).json()["question"]["id"]
    assert "6 questions" in owner.post("/api/owner/expire", json={}).json()["note"]
    assert len(site.people.collect()) == 6
    late = {"uuid": "00000000-0000-4000-8000-000000000001", "question": question, "seconds": 0, "value": 1}
    assert ann.post("/api/answer", json=late).json()["state"] == "duplicate"


@pytest.mark.parametrize("body", [{"rater": 7, "is_paused": True}, {"is_paused": 1}, {"is_paused": True, "x": 1}, {}])
def test_levers_refuse_what_is_no_setting_of_theirs(site, body):
    assert site.client("owner").post("/api/owner/pause", json=body).status_code == 400


def test_the_gallery_shows_the_largest_residual_first(site):
    ann, owner = site.client("ann"), site.client("owner")
    first, second, third = (score(ann, site.clock, value) for value in (1.0, 0.5, 0.0))
    keys = {
        number: site.queue.read("SELECT key FROM question WHERE id = ?", (number,))[0][0] for number in (first, second)
    }
    site.people.told({"predictions": {keys[first]: 7.0, keys[second]: 0.0}})  # the labels are 8 and 4
    told = owner.get("/api/owner/gallery").json()
    assert [clip["question"] for clip in told["clips"]] == [second, first, third] and told["total"] == 3
    assert [(clip["label"], clip["prediction"]) for clip in told["clips"]] == [(4.0, 0.0), (8.0, 7.0), (0.0, None)]
    newest = owner.get("/api/owner/gallery", params={"order": "newest", "after": 1}).json()
    assert [clip["question"] for clip in newest["clips"]] == [second, first]
    for wrong in ({"order": "x"}, {"after": "-1"}, {"after": "9" * 40}, {"after": "²"}):
        assert owner.get("/api/owner/gallery", params=wrong).status_code == 400


def test_a_rater_is_shown_no_guess_of_the_model(site):
    site.people.told({"predictions": {f"q{one}": 123.456 for one in range(6)}})
    shown = site.client("ann").post("/api/next", json={}).json()["question"]
    assert "123.4" not in json.dumps(shown)
    assert shown.keys() == {"id", "kind", "prompt", "rows", "films"}


def test_pages_hold_no_inline_script_or_style_and_name_nothing_outside(site):
    for name, (body, _) in read_pages().items():
        text = body.decode()
        assert "http://" not in text and "https://" not in text.replace("on https and on", ""), name
        if name.endswith(".html"):
            assert "<script>" not in text and " style=" not in text and " on" + "click=" not in text, name
            assert site.client().get(f"/{name.removesuffix('.html')}").status_code == 200


def test_a_mark_of_the_owner_makes_a_clip_practice_whose_answer_the_rater_is_told(site):
    ann, owner = site.client("ann"), site.client("owner")
    question = score(ann, site.clock, 1.0)
    site.clock.seconds += 60
    site.people.collect(), site.people.collect()  # the trainer has it
    assert owner.post("/api/owner/mark", json={"question": question, "verdict": 0.75}).status_code == 200
    bob = site.client("bob")
    given = bob.post("/api/next", json={}).json()["question"]
    assert given["id"] == question and given.keys() == {"id", "kind", "prompt", "rows", "films"}  # looks like any other
    said = {"uuid": "00000000-0000-4000-8000-000000000001", "question": question, "seconds": 0, "value": 0}
    assert "said: 4.0 of 5" in bob.post("/api/answer", json=said).json()["feedback"]
    for wrong in (
        {"verdict": "left"},
        {"verdict": 7},
        {"verdict": True},
        {"question": 99},
        {"question": "1"},
        {"x": 1},
    ):
        refused = owner.post("/api/owner/mark", json={"question": question, "verdict": 0.5} | wrong)
        assert refused.status_code in (400, 404), wrong


@pytest.mark.parametrize("form", ["jsonl", "csv", "label_studio"])
def test_answers_are_exported_as_a_file(site, form):
    owner = site.client("owner")
    score(site.client("ann"), site.clock, 0.25)
    exported = owner.get(f"/api/owner/export/{form}")
    assert "ann" in exported.text and "attachment; filename=" in exported.headers["content-disposition"]
    assert owner.get("/api/owner/export/exe").status_code == 404
    assert site.client("ann").get(f"/api/owner/export/{form}").status_code == 401
