"""A connection that does not come on is closed; one that waits between two requests is not."""

import socket
import time
from urllib.parse import urlsplit

import pytest

from tandem.envs.labelers.people.server import protocol

REQUEST = b"GET /static/label.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PATIENCE = 0.4


@pytest.fixture
def connection(site, listening, monkeypatch):
    """connection() -> a socket to the server, whose patience is short."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", PATIENCE)
    port = urlsplit(listening(site)).port
    made = []

    def connect() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def is_closed(one: socket.socket) -> bool:
    """Waits for the end, and tells what else comes by not being true."""
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def answer(one: socket.socket) -> bytes:
    """All of one answer: of its head, and the body that this announces."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += one.recv(65536)
    head, _, body = head.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += one.recv(65536)
    return head.split(b"\r\n")[0]


def dribble(one: socket.socket, said: bytes) -> float:
    """Send a byte at a time, each well within the patience. -> seconds until the server has had enough"""
    begun = time.monotonic()
    for byte in said:
        try:
            one.send(bytes([byte]))
        except OSError:
            break
        one.settimeout(PATIENCE / 8)
        try:
            if one.recv(1) == b"":
                break
        except TimeoutError:
            continue
        except ConnectionResetError:
            break
    return time.monotonic() - begun


def test_who_says_nothing_is_not_waited_for(connection):
    assert is_closed(connection())


@pytest.mark.parametrize("is_first", [True, False])
def test_headers_that_come_byte_by_byte_have_an_end(connection, is_first):
    one = connection()
    if not is_first:  # a connection that was used well before
        one.send(REQUEST)
        assert answer(one) == b"HTTP/1.1 200 OK"
    assert PATIENCE / 2 < dribble(one, b"GET / HTTP/1.1\r\nX: " + b"x" * 200) < 10 * PATIENCE


def test_a_head_that_follows_a_request_at_once_has_an_end_too(connection):
    one = connection()
    one.send(REQUEST + b"GET /")
    assert answer(one) == b"HTTP/1.1 200 OK" and is_closed(one)


def test_who_thinks_between_two_requests_is_waited_for(connection):
    one = connection()
    for pause in (0.0, 2 * PATIENCE):
        time.sleep(pause)
        one.send(REQUEST)
        assert answer(one) == b"HTTP/1.1 200 OK"
