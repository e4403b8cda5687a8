"""kill -9 of the trainer, of the server and of the process that draws, while two browsers work: nothing is lost or counted twice."""

import http.client
import io
import json
import os
import random
import signal
import time
from collections import Counter as Tally
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from uuid import UUID

import pytest

from tandem.envs.labelers.people import counter
from tandem.envs.labelers.people.queue import Queue
from tandem.envs.labelers.people.raters import Raters
from tandem.envs.labelers.people.server import drawing
from tandem.envs.labelers.people.server.serve import bound, serve
from tandem.envs.sights.darkroom import refusal

from ..test_kills import FORK, RATERS, await_progress, check_books, keep, kept, resend, train

TRAINER, SERVER, DARKROOM = "trainer", "server", "darkroom"
PATIENCE = 90.0  # seconds: nothing can be answered until a new process has drawn it


def run_server(folder: Path, port: int) -> None:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        serve(folder, port, None, lambda: refusal("nothing can be drawn here"))


class Browser:
    """What a page does: an answer is stored before it is sent, and sent until the server has said that it has it."""

    def __init__(self, folder: Path, name: str, token: str, port: int):
        self._store, self._port, self._cookie = folder / f"store-{name}", port, ""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while not self._cookie:
            _, headers = self._send("GET", f"/?token={token}")
            self._cookie = headers["set-cookie"].partition(";")[0]

    def work(self, seed: int) -> None:
        rng = random.Random(seed)
        while True:
            status, said = self._post("/api/next", {})
            if status != 200 or "question" not in said:
                time.sleep(0.01)
                continue
            uuid, question = str(UUID(int=rng.getrandbits(128))), said["question"]["id"]
            if rng.random() < 0.1:
                self._post("/api/skip", {"question": question, "uuid": uuid, "seconds": 0.01})
                continue
            given = {"question": question, "uuid": uuid, "seconds": 0.01, "value": round(rng.random(), 3)}
            keep(self._store, given)
            status, said = self._post("/api/answer", given)
            assert status == 200, said
            keep(self._store, {"done": uuid})
            if rng.random() < 0.1:
                status, said = self._post("/api/undo", {"answer": uuid, "uuid": str(UUID(int=rng.getrandbits(128)))})
                assert status == 200 or said["word"] == "closed", said

    def _post(self, path: str, body: dict) -> tuple[int, dict]:
        """Again and again, until the server has answered; from 500 on it could not."""
        while True:
            status, headers = self._send("POST", path, body)
            if status < 500:
                return status, json.loads(headers["body"])
            time.sleep(0.02)

    def _send(self, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        headers = {"Content-Type": "application/json", "Cookie": self._cookie}
        while True:
            try:
                self._connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = self._connection.getresponse()
                return answer.status, dict(answer.headers) | {"body": answer.read()}
            except (OSError, http.client.HTTPException):  # the server is gone
                self._connection.close()
                time.sleep(0.02)


def browse(folder: Path, name: str, token: str, port: int, seed: int) -> None:
    Browser(folder, name, token, port).work(seed)


class Site:
    """The processes at work on one run."""

    def __init__(self, folder: Path, port: int, seed: int):
        self.folder, self.port, self.rng, self.running = folder, port, random.Random(seed), {}
        self.killed: Tally[str] = Tally()
        self.begun = 0

    def begin(self, name: str) -> None:
        self.begun += 1
        arguments = {
            TRAINER: (train, (self.folder, self.begun, False, time.time)),
            SERVER: (run_server, (self.folder, self.port)),
        }
        target, given = arguments[name]
        self.running[name] = FORK.Process(target=target, args=given)
        self.running[name].start()

    def kill(self, name: str) -> None:
        """At a moment of its work that nobody chose; the server begins another process that draws."""
        await_progress(self.folder, PATIENCE)
        if name == DARKROOM:
            time.sleep(self.rng.uniform(0.0, 0.3))
            os.kill(self.darkroom(), signal.SIGKILL)
        else:
            time.sleep(self.rng.uniform(0.0, 0.05))
            gone = self.darkroom() if name == SERVER else 0
            os.kill(self.running[name].pid, signal.SIGKILL)
            self.running[name].join()
            if gone:
                until(lambda: not Path(f"/proc/{gone}").exists())  # what draws leaves with its server
            self.begin(name)
        self.killed[name] += 1

    def darkroom(self) -> int:
        """Its process id, once there is one."""
        children = Path(f"/proc/{self.running[SERVER].pid}/task")
        found: list[int] = []

        def is_there() -> bool:
            found[:] = [int(one) for task in children.iterdir() for one in (task / "children").read_text().split()]
            return bool(found)

        until(is_there)
        return found[0]

    def end(self) -> None:
        for name in (SERVER, TRAINER):
            os.kill(self.running[name].pid, signal.SIGKILL)
            self.running[name].join()


def until(is_so) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.005)


@pytest.mark.run
@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_whichever_of_the_three_processes_is_killed_each_answer_is_counted_and_paid_once(tmp_path, monkeypatch, kills):
    monkeypatch.setattr(counter, "UNDO_SECONDS", 0.02)
    monkeypatch.setattr(drawing, "LIVES", 10**6)
    monkeypatch.setattr(drawing, "PAUSE_SECONDS", 0.01)
    (tmp_path / "config.yaml").touch()
    with Queue.create(tmp_path) as queue:
        tokens = {name: Raters(queue).add(name, 12.0) for name in RATERS}
    with bound(False, 0) as listener:
        port = listener.getsockname()[1]
    site = Site(tmp_path, port, seed=1)
    site.begin(SERVER), site.begin(TRAINER)
    browsers = [
        FORK.Process(target=browse, args=(tmp_path, name, tokens[name], port, seed), daemon=True)
        for seed, name in enumerate(RATERS)
    ]
    for browser in browsers:
        browser.start()
    for number in range(kills * (3 if kills > 3 else 1)):
        site.kill((TRAINER, SERVER, DARKROOM)[number % 3])
    await_progress(tmp_path, PATIENCE)
    for browser in browsers:
        assert browser.is_alive(), "it ended by itself"
        browser.kill(), browser.join()
    site.end()
    with Queue.open(tmp_path) as queue:
        for name in RATERS:  # what was stored and not acknowledged is sent by the page that is opened next
            resend(counter.Counter(queue), tmp_path / f"store-{name}", name)
        num_films = queue.read("SELECT COUNT(*) AS n FROM film GROUP BY question")
        assert num_films and all(row["n"] == 1 for row in num_films)
    train(tmp_path, 0, is_ending=True, now=time.time)
    check_books(tmp_path)
    told = {name: len([one for one in kept(tmp_path / f"store-{name}") if "done" in one]) for name in RATERS}
    print(f"killed {dict(site.killed)}; acknowledged {told}")
