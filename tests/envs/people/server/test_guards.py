"""What the server refuses before it reads it: foreign hosts and origins, long bodies; and the headers of all it says."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tandem.envs.labelers.people.server.guards import MOST_BYTES, Guard, Hosts

HOME = "http://127.0.0.1:8600"
LOCAL = Hosts()


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())}, headers={"cache-control": "public"})


def client(hosts: Hosts = LOCAL) -> TestClient:
    app = Starlette(routes=[Route("/api", echo, methods=["GET", "POST"]), Route("/static/a.css", echo)])
    return TestClient(Guard(app, hosts), base_url=HOME)


@pytest.mark.parametrize("host", ["127.0.0.1:8600", "localhost:9000", "LOCALHOST", "[::1]:8600"])
def test_the_names_of_this_machine_are_answered(host):
    assert client().get("/api", headers={"host": host}).status_code == 200  # by any port: a tunnel has its own


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8600", "192.168.0.7:8600", "", "[::1", "0.0.0.0"])  # fmt: skip
def test_a_name_that_was_made_to_point_here_is_refused(host):
    answer = client().get("/api", headers={"host": host})
    assert answer.status_code == (200 if host == "[::1" else 421)


def test_an_exposed_server_answers_to_addresses_and_to_its_own_names_alone():
    open_to = Hosts(is_exposed=True, names=frozenset({"label.example"}))
    said = {host: client(open_to).get("/api", headers={"host": host}).status_code for host in ("192.168.0.7:8600", "label.example", "evil.example", "[fe80::1]:8600")}  # fmt: skip
    assert said == {"192.168.0.7:8600": 200, "label.example": 200, "evil.example": 421, "[fe80::1]:8600": 200}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:3000", "http://127.0.0.1:8600.evil.example", "http://localhost:8600"])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_place_is_refused(origin, method):
    assert client().request(method, "/api", json={}, headers={"origin": origin}).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_says_where_a_request_comes_from_is_believed(site):
    links = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
    assert client().get("/api", headers={"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}).status_code == 403
    assert client().post("/api", json={}, headers=links).status_code == 403
    assert client().get("/api", headers=links).status_code == 200  # somebody followed a link in a letter


def test_our_own_page_and_a_program_without_an_origin_are_answered():
    assert client().post("/api", json={}, headers={"origin": HOME, "sec-fetch-site": "same-origin"}).status_code == 200
    assert client().post("/api", json={}).json() == {"bytes": 2}


def test_a_form_of_another_page_cannot_pass_for_json():
    assert client().post("/api", content="{}", headers={"content-type": "text/plain"}).status_code == 415


def test_a_body_has_at_most_16_kib_whatever_it_says_of_its_length():
    json_type = {"content-type": "application/json"}
    assert client().post("/api", content=b"x" * MOST_BYTES, headers=json_type).json() == {"bytes": 16_384}
    assert client().post("/api", content=b"x" * (MOST_BYTES + 1), headers=json_type).status_code == 413
    assert client().post("/api", content=(b"x" * 1024 for _ in range(1024)), headers=json_type).status_code == 413
    assert client().post("/api", content=b"", headers={**json_type, "content-length": "-1"}).status_code == 413


def test_every_answer_carries_the_policies_refusals_too():
    for answer in (client().get("/api"), client().get("/api", headers={"host": "evil.example"}), client().get("/none")):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert not any(
            name.startswith("access-control") for name in answer.headers
        )  # no page of another place may read
    assert client().get("/static/a.css").headers["cache-control"] == "no-cache"
