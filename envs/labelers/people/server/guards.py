"""Who may speak to the server at all: hosts, origins, sizes, and the headers that every answer carries."""

import asyncio
import ipaddress
import json
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 16 * 1024  # of a request's body
SLOWEST = 20.0  # seconds that a body may take
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",  # a token may stand in the address that led here
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class TooLarge(Exception):
    """A body of more than MOST_BYTES."""


@dataclass(frozen=True)
class Hosts:
    """The names that this server answers to: a page of another name that was made to point here (rebinding) gets nothing.

    The loopback names always; once exposed, addresses in numbers, which nobody can make point elsewhere, and `names`.
    """

    is_exposed: bool = False
    names: frozenset[str] = frozenset()

    def knows(self, host: str) -> bool:
        """host: a Host header, with its port or without."""
        name = host_name(host)
        if name in LOOPBACK:
            return True
        return self.is_exposed and (name in self.names or is_address(name))


def host_name(host: str) -> str:
    """The name in a Host header, lower case: of "[::1]:8600" it is "::1"."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Guard:
    """ASGI: refuses what does not come from a page of ours, and sets the headers of what is answered."""

    app: ASGIApp
    hosts: Hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        answer = Answer(scope, send)
        refused = refusal(scope, self.hosts)
        if refused:
            return await answer.refuse(*refused)
        try:
            body = await asyncio.wait_for(read_body(receive), SLOWEST)
        except TooLarge:
            return await answer.refuse(413, f"a body has at most {MOST_BYTES} bytes")
        except TimeoutError:
            return await answer.refuse(408, f"a body is here within {SLOWEST:g} seconds")
        await self.app(scope, again(body, receive), answer.send)


async def read_body(receive: Receive) -> bytes:
    """All of a request's body. Raises TooLarge where one without a length, or with a false one, goes on for too long."""
    body, is_more = b"", True
    while is_more:
        message = await receive()
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
        if len(body) > MOST_BYTES:
            raise TooLarge
    return body


def again(body: bytes, receive: Receive) -> Receive:
    """What gives a body that was read already, and then whatever comes."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def refusal(scope: Scope, hosts: Hosts) -> tuple[int, str] | None:
    """Why a request is refused before anybody reads it: status and words; None where it is not."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    host, origin = headers.get("host", ""), headers.get("origin")
    if not hosts.knows(host):
        return 421, "this server does not answer to that name"
    if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        return 403, "that request came from a page of another place"
    is_link = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not is_link:
        return 403, "that request came from a page of another place"
    if scope["method"] == "POST" and headers.get("content-type", "").partition(";")[0] != "application/json":
        return 415, "a body is application/json"
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BYTES:
        return 413, f"a body has at most {MOST_BYTES} bytes"
    return None


class Answer:
    """What is answered to one request, with our headers."""

    def __init__(self, scope: Scope, send: Send):
        self._scope, self._send = scope, send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            is_public = self._scope["path"].startswith("/static/")
            ours = {**HEADERS, "cache-control": "no-cache" if is_public else "no-store"}
            kept = [(name, value) for name, value in message["headers"] if name.decode() not in ours]
            message["headers"] = [*kept, *((name.encode(), value.encode()) for name, value in ours.items())]
        await self._send(message)

    async def refuse(self, status: int, words: str) -> None:
        body = json.dumps({"error": words}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
