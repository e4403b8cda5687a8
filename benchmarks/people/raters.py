"""Simulated raters behind the server's own requests: five threads that live in a faster time, with rests and pauses."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tandem.envs.labelers.people.counter import Item
from tandem.envs.labelers.people.queue import Queue
from tandem.envs.labelers.people.simulated import Simulated, SimulatedConfig, Truth
from tandem.envs.labelers.people.verdict import Given
from tandem.envs.labelers.question_keys import question_of
from tandem.envs.records import Clip
from tandem.envs.vault import RewardVault

SHIFT, REST = 2 * 3600.0, 1800.0  # of every two hours they are away for half an hour, one after the other
PAUSE_CHANCE, PAUSE_SECONDS = 0.01, 1800.0  # after an answer
SECONDS = (4.0, 4.5, 5.0, 5.5, 6.0)  # for an answer, of each rater
IDLE_SECONDS = 20.0  # until somebody who has nothing to do looks again


@dataclass(frozen=True)
class Clock:
    """Seconds that pass `speed` times as fast as ours."""

    speed: float
    begun: float

    def now(self) -> float:
        return self.begun + (time.time() - self.begun) * self.speed

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)


class Browser:
    """What a rater's browser sends; what `Simulated` works with."""

    def __init__(self, port: int, token: str):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookie = ""
        self._connection.request("GET", f"/?token={token}")
        answer = self._connection.getresponse()
        answer.read()
        self._cookie = (answer.headers["set-cookie"] or "").partition(";")[0]

    def next(self, rater: str) -> Item | None:
        question = self._post("/api/next", {}).get("question")
        if question is None:
            return None
        sides = tuple(int(film["url"].rpartition("/")[2]) for film in question["films"])
        return Item(question["id"], question["kind"], question["prompt"], question["rows"], sides, 0.0, None)

    def answer(self, rater: str, given: Given) -> None:
        said = {"value": given.value, "choice": given.choice, "marks": given.marks}
        stated = {name: value for name, value in said.items() if value is not None}
        self._post("/api/answer", {"question": given.question, "uuid": given.uuid, "seconds": given.seconds} | stated)

    def skip(self, rater: str, question: int, uuid: str, seconds: float) -> None:
        self._post("/api/skip", {"question": question, "uuid": uuid, "seconds": seconds})

    def _post(self, path: str, body: dict) -> dict:
        try:
            answer = self._sent(path, body)
        except (ConnectionError, http.client.HTTPException):  # it was idle for too long: once more, as a browser does
            self._connection.close()
            answer = self._sent(path, body)
        content = json.loads(answer.read())
        # What was held too long went to somebody else, as it does with people.
        assert answer.status in (200, 409, 410), (path, answer.status, content)
        return content

    def _sent(self, path: str, body: dict) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json", "Cookie": self._cookie}
        self._connection.request("POST", path, json.dumps(body), headers)
        return self._connection.getresponse()


class Crew:
    """The raters of a run, at work until `stop`."""

    def __init__(self, queue: Queue, vault: RewardVault, clock: Clock, config: SimulatedConfig, seed: int):
        self.queue, self.vault, self.clock, self.config, self.seed = queue, vault, clock, config, seed
        self.failures: list[str] = []
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, port: int, tokens: dict[str, str]) -> None:
        for number, (name, token) in enumerate(tokens.items()):
            config = replace(self.config, seconds=SECONDS[number % len(SECONDS)])
            rater = Simulated(name, config, self.seed)
            rest = SHIFT * number / len(tokens)
            work = threading.Thread(target=self._guarded, args=(rater, Browser(port, token), rest, number))
            self._threads.append(work)
            work.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, rater: Simulated, browser: Browser, rest: float, number: int) -> None:
        try:
            self._work(rater, browser, rest, number)
        except Exception as error:  # noqa: BLE001  a thread's would be lost
            self.failures.append(f"{rater.name}: {type(error).__name__}: {error}")
            print(self.failures[-1], flush=True)

    def _work(self, rater: Simulated, browser: Browser, rest: float, number: int) -> None:
        rng = np.random.default_rng([self.seed, number])
        while not self._is_over.is_set():
            if (self.clock.now() - self.clock.begun - rest) % SHIFT > SHIFT - REST:
                self.clock.sleep(60.0)
            elif not rater.work(browser, self._truth, self.clock.sleep):
                self.clock.sleep(IDLE_SECONDS)
            elif rng.random() < PAUSE_CHANCE:
                self.clock.sleep(PAUSE_SECONDS)

    def _truth(self, question: int) -> Truth:
        key = self.queue.read("SELECT key FROM question WHERE id = ?", (question,))[0]["key"]
        asked = question_of(key)
        assert asked is not None, key
        return Truth(key, tuple(np.array(self._rewards(clip)) for clip in asked.clips))

    def _rewards(self, clip: Clip) -> list[float]:
        return [self.vault.reward(Clip(clip.env, clip.step - clip.length + 1 + row)) for row in range(clip.length)]


def when(is_true: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not is_true() and time.monotonic() < end:
        time.sleep(0.05)
    return is_true()
