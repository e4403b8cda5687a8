"""Who comes in: a token once, a cookie then; raters and the owner each by their own door, and nobody else."""

import pytest

PRIVATE = {
    "GET": ["/api/me", "/api/owner", "/api/owner/gallery", "/film/1/0"],
    "POST": ["/api/next", "/api/answer", "/api/undo", "/api/skip", "/api/cannot_tell", "/api/heartbeat"]
    + [f"/api/owner/{verb}" for verb in ("pause", "add", "retract", "expire")],
}
DOORS = [(method, path) for method, paths in PRIVATE.items() for path in paths]


def test_the_token_becomes_a_cookie_that_no_script_and_no_other_site_sees_and_the_address_is_clean(site):
    answer = site.client().get("/", params={"token": site.tokens["ann"]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/label")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_file_knows_no_token(site):
    assert site.client("ann").get("/api/me").json()["name"] == "ann"
    kept = b"".join(file.read_bytes() for file in site.queue.path.parent.glob("questions.db*"))
    assert b"ann" in kept and not any(token.encode() in kept for token in site.tokens.values())


@pytest.mark.parametrize(("method", "path"), DOORS)
def test_a_stranger_gets_nothing(site, method, path):
    site.client("ann").post("/api/next", json={})
    assert site.client().request(method, path, json={}).status_code == 401


@pytest.mark.parametrize(("method", "path"), [door for door in DOORS if "/owner" in door[1]])
def test_a_rater_is_not_the_owner(site, method, path):
    ann = site.client("ann")
    ann.cookies.set("tandem-owner-8600", site.tokens["ann"])  # the rater's own token at the owner's door
    assert ann.request(method, path, json={}).status_code == 401


def test_the_owner_is_no_rater(site):
    assert site.client("owner").get("/api/me").status_code == 401


def test_a_page_of_another_run_is_refused_and_keeps_what_it_has_to_say(site):
    ann = site.client("ann")
    own = ann.get("/api/me").json()["run"]
    assert own == site.queue.meta("run")
    answers = {run: ann.post("/api/next", params={"run": run}, json={}) for run in (own, "another")}
    assert {run: answer.status_code for run, answer in answers.items()} == {own: 200, "another": 401}
    assert answers["another"].json()["error"] == "this page is of a run that is not served here now"


def test_forged_and_stale_tokens_are_refused_in_words(site):
    for forged in ("", "x", "x" * 30_000, "é", site.tokens["ann"][:-1], "' OR 1=1 --"):
        answer = site.client().get("/", params={"token": forged})
        assert answer.status_code == 401 and "Ask whoever sent it" in answer.text
    ann = site.client("ann")
    site.raters.renew("ann")
    assert ann.get("/api/me").status_code == 401
    assert site.client().get("/", params={"token": site.tokens["ann"]}).status_code == 401


def test_a_film_is_for_the_owner_and_for_whom_its_question_was_given_to(site):
    ann, bob, owner = site.client("ann"), site.client("bob"), site.client("owner")
    url = ann.post("/api/next", json={}).json()["question"]["films"][0]["url"]
    assert [one.get(url).status_code for one in (ann, bob, owner)] == [200, 404, 200]
    assert ann.get(url).headers["cache-control"] == "no-store"


def test_media_and_files_have_no_paths(site):
    owner = site.client("owner")
    (site.queue.path.parent / "secret.css").write_text("secret")
    names = ("../secret.css", "..%2f..%2fsecret.css", "%2e%2e/secret.css", "/etc/passwd", "label.html", "__init__.py")
    for name in names:
        for address in (f"/static/{name}", f"/film/{name}/0", f"/film/1/{name}", f"/{name}"):
            assert owner.get(address).status_code == 404, address
    assert owner.get("/static/label.js").status_code == 200
    for numbers in (
        "9" * 5000 + "/0",
        "1/" + "9" * 5000,
        "\u0661/0",
        "99999999999999999999/0",
        "1/99999999999999999999",
        "-1/0",
        "1/7",
    ):
        assert owner.get(f"/film/{numbers}").status_code == 404


def test_a_range_is_one_range(site):
    owner = site.client("owner")
    whole = owner.get("/film/1/0").content
    told = {}
    for asked in ("bytes=0-3", "bytes=4-", "bytes=-2", "bytes=0-99999999", "bytes=0-1,2-3", "bytes=x", "bytes=-", "lines=0-1"):  # fmt: skip
        answer = owner.get("/film/1/0", headers={"range": asked})
        told[asked] = answer.status_code, answer.content
    assert told == {
        "bytes=0-3": (206, whole[:4]),
        "bytes=4-": (206, whole[4:]),
        "bytes=-2": (206, whole[-2:]),
        "bytes=0-99999999": (206, whole),
        **dict.fromkeys(("bytes=0-1,2-3", "bytes=x", "bytes=-", "lines=0-1"), (200, whole)),
    }
    for asked in ("bytes=99999999-", "bytes=-0", "bytes=5-4"):
        assert owner.get("/film/1/0", headers={"range": asked}).status_code == 416
