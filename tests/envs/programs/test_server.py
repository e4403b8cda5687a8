"""A server that answers, is down, is slow, refuses and talks nonsense: asked again under the same key, and never trusted."""

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.programs import programs
from tandem.envs.records import Answer, Declined

from .asking import all_of, asked


class Answering(ThreadingHTTPServer):
    """say(headers, question) -> (status, body or a reply); what it heard is kept."""

    daemon_threads = True

    def __init__(self, say: Callable, port: int = 0):
        self.say, self.heard = say, []
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/judge"

    def handle_error(self, request, client_address):
        """Whoever asked has hung up."""

    def end(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((self.path, dict(self.headers), question))
        status, said = self.server.say(question)
        body = said if isinstance(said, bytes) else json.dumps({"key": question["key"]} | said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        """Nothing."""


@pytest.fixture
def serve():
    servers = []

    def make(say, port=0):
        servers.append(Answering(say, port))
        return servers[-1]

    yield make
    for one in servers:
        one.end()


def row(question: dict) -> tuple[int, dict]:
    return 200, {"value": question["clips"][0]["rows"]["row"][-1][0]}


def test_a_server_is_sent_what_a_program_is_and_keys_of_this_run(serve, make):
    server = serve(row)
    labeler = make(url=server.url.replace("//", "//me:pa%20ss@") + "?model=a")
    labeler.submit(asked(3, 7))
    assert all_of(labeler, 2) == {"q3": Answer("q3", 3.0), "q7": Answer("q7", 7.0)}
    path, headers, question = server.heard[0]
    assert path == "/judge?model=a" and headers["Authorization"] == "Basic bWU6cGEgc3M="  # me:pa ss
    assert headers["Idempotency-Key"] == f"{question['run']}/q3" and len(question["run"]) == 16
    assert question["kind"] == "step" and question["clips"][0]["step"] == 3


def test_a_server_that_fails_is_asked_again_under_the_same_key(serve, make):
    tries = Counter()

    def say(question):
        tries[question["key"]] += 1
        return row(question) if tries[question["key"]] == 3 else (503, b"busy")

    server = serve(say)
    labeler = make(url=server.url, retries=2)
    labeler.submit(asked(1))
    assert all_of(labeler, 1) == {"q1": Answer("q1", 1.0)}
    assert len({headers["Idempotency-Key"] for _, headers, _ in server.heard}) == 1 < len(server.heard)
    assert labeler.account()["labeler/retried"] == 2.0 and "answered 503: busy" in labeler.status()


@pytest.mark.parametrize(
    "status, body, why",
    [
        (500, b"no memory\x1b[2J left", r": answered 500: no memory \[2J left, after 2 tries$"),
        (200, b"<html>", r": answered 200, but no JSON, after 2 tries$"),
        (200, {"key": "other", "value": 1}, r"answered 200, but the reply is about other"),
        (200, {"value": float("nan")}, r"answered 200, but value is nan, no finite number"),
        (200, b" " * 1_100_000, r"answered more than 1000000 bytes"),
        (422, b"I see nothing", r": answered 422: I see nothing$"),
        (302, b"", r": answered 302: $"),
    ],
)
def test_what_is_no_answer_is_declined_with_the_servers_words(serve, make, status, body, why):
    server = serve(lambda question: (status, body))
    labeler = make(url=server.url, retries=1)
    labeler.submit(asked(1))
    reply = all_of(labeler, 1)["q1"]
    assert isinstance(reply, Declined)
    assert re.search(why, reply.reason), reply.reason
    assert len(server.heard) == (1 if 300 <= status < 500 else 2)


def test_a_slow_server_is_asked_several_questions_at_once(serve, make):
    together = threading.Barrier(4, timeout=10)

    def say(question):
        together.wait()
        return row(question)

    labeler = make(url=serve(say).url, parallel=4, retries=0)
    labeler.submit(asked(1, 2, 3, 4))
    assert sorted(reply.value for reply in all_of(labeler, 4).values()) == [1.0, 2.0, 3.0, 4.0]


def test_one_that_drips_is_hung_up_on(serve, make):
    """Each byte comes in time, and the answer never."""
    listening = socket.create_server(("127.0.0.1", 0))

    def drip():
        connection, _ = listening.accept()
        try:
            while True:
                connection.sendall(b"H")
                time.sleep(0.05)
        except OSError:
            connection.close()

    threading.Thread(target=drip, daemon=True).start()
    labeler = make(url=f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout=0.5, retries=0)
    labeler.submit(asked(1))
    assert all_of(labeler, 1)["q1"].reason.endswith("gave no answer in 0.5 seconds")
    listening.close()


def test_one_that_is_down_and_comes_back_loses_no_question(serve, make):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    labeler = make(url=f"http://127.0.0.1:{port}/", retries=0)
    labeler.submit(asked(1, 2))
    until = time.monotonic() + 10
    while "not reached" not in labeler.status() and time.monotonic() < until:
        time.sleep(0.01)
    assert labeler.status().startswith("2 open, oldest 0 s, 0 answered") and labeler.collect() == []
    serve(row, port)
    assert {key: reply.value for key, reply in all_of(labeler, 2).items()} == {"q1": 1.0, "q2": 2.0}
    assert "not reached" not in labeler.status()


def test_one_that_stays_away_is_given_up(make, monkeypatch):
    monkeypatch.setattr(programs.Programs.__init__, "__defaults__", ("", 2, 1, 0.1))
    labeler = make(url="http://127.0.0.1:9/secret?token=abc", retries=1)
    labeler.submit(asked(1))
    reason = all_of(labeler, 1)["q1"].reason
    assert "http://127.0.0.1:9/secret?***: cannot be reached: Connection refused, after 2 tries" in reason


def test_closing_waits_for_no_server(serve, make):
    labeler = make(url=serve(lambda question: (time.sleep(5), row(question))[1]).url)
    labeler.submit(asked(1))
    time.sleep(0.1)
    begun = time.monotonic()
    labeler.close()
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    "url",
    ["ftp://host/", "http://", "file:///etc/passwd", "http://me:secret@host:x/", "http://a b/", "http://h/\r\nX: y"],
)
def test_an_address_that_is_none_is_told_without_its_secrets(url):
    with pytest.raises(ValueError, match=r"^url: must be http") as caught:
        LabelerConfig(url=url)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
