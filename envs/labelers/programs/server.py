"""A server that answers: each question is POSTed, with an Idempotency-Key."""

import base64
import contextlib
import http.client
import socket
import threading
from urllib.parse import unquote

from ...records import Answer, Declined, Question
from .account import printable
from .address import parts_of
from .line import Failed, Refused, Unreachable
from .wire import Unusable, parsed, reply_of

MOST_BYTES = 1_000_000  # of a reply
AGAIN = (408, 425, 429)  # of the statuses that refuse: those that mean later


class Server:
    """One connection at a time to the server.

    timeout: seconds from a question to its answer. run: makes the keys of this run's questions differ from those of others.
    """

    def __init__(self, url: str, timeout: float, run: str):
        self._parts, self._timeout, self._run = parts_of(url), timeout, run
        self._socket: socket.socket | None = None
        self._is_cut = False

    def ask(self, question: Question, request: bytes) -> Answer | Declined:
        """Failed for a time-out, a status from 500 on and what is no answer; Refused for the statuses from 300 on."""
        connection, status, body = self._connected(), 0, b""
        late = threading.Event()
        alarm = threading.Timer(self._timeout, self._hang_up, [late])  # a socket's own begins anew with every byte
        alarm.daemon = True
        alarm.start()
        try:
            path = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
            connection.request("POST", path, request, self._headers(question))
            response = connection.getresponse()
            status, body = response.status, response.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            if not late.is_set() and not isinstance(error, TimeoutError):
                raise Failed(f"broke off: {_words(error)}") from error
            late.set()
        finally:
            alarm.cancel()
            self._socket = None
            connection.close()
        if late.is_set():  # what was read may be a part
            raise Failed(f"gave no answer in {self._timeout:g} seconds")
        return _reply(status, body, question)

    def cut(self) -> None:
        self._is_cut = True
        self._hang_up()

    def close(self) -> None:
        """Nothing stays open between two questions."""

    def _connected(self) -> http.client.HTTPConnection:
        is_secret = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_secret else http.client.HTTPConnection
        assert self._parts.hostname, "checked as a setting"
        connection = kind(self._parts.hostname, self._parts.port, timeout=self._timeout)
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(f"cannot be reached: {_words(error)}") from error
        self._socket = connection.sock
        if self._is_cut:
            connection.close()
            raise Failed("was hung up")
        return connection

    def _headers(self, question: Question) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "tandem"}
        headers["Idempotency-Key"] = f"{self._run}/{question.key}"
        if self._parts.username is not None:
            pair = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers

    def _hang_up(self, late: threading.Event | None = None) -> None:
        if late is not None:
            late.set()
        if (open_socket := self._socket) is not None:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)


def _reply(status: int, body: bytes, question: Question) -> Answer | Declined:
    words = printable(body.decode(errors="replace"))
    if status >= 500 or status in AGAIN:
        raise Failed(f"answered {status}: {words}")
    if status >= 300:
        raise Refused(f"answered {status}: {words}")
    if len(body) > MOST_BYTES:
        raise Failed(f"answered more than {MOST_BYTES} bytes")
    try:
        content = parsed(body)
        if content["key"] != question.key:
            raise Unusable(f"the reply is about {printable(content['key'])}")
        return reply_of(content, question)
    except Unusable as error:
        raise Failed(f"answered {status}, but {error}") from error


def _words(error: Exception) -> str:
    return printable(getattr(error, "strerror", None) or str(error) or type(error).__name__)
