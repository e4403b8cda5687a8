"""How long does a rater wait for the server, when twenty of them label beside a training run?

    python benchmarks/label_load [--raters 20] [--questions 5000] [--think 1.0] [--idle]

The server is `tandem label serve`, a process of its own; a trainer's labeler asks all questions and fetches answers every
second; a training run with one thread goes on beside it (not with --idle). Each rater is a thread with a connection of its
own that fetches the next question and its film, thinks, and answers; now and then one skips, takes an answer back, or
sends one twice. Afterwards every answer must be there once. Writes benchmarks/results/label_load.json.
"""

import argparse
import http.client
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from cells import MACHINE
from kept import rounded
from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.people.films import Film, Films
from tandem.envs.labelers.people.people import People
from tandem.envs.labelers.people.raters import Raters
from tandem.envs.records import Answer, Clip, Question

RESULTS = Path(__file__).parents[1] / "results" / "label_load.json"
GOAL_MS = 100.0
ROWS, CONTEXT, COLUMNS, WIDTH, HEIGHT = 16, 4, 5, 160, 120  # of a film
SKIPS, UNDOS, TWICE = 0.03, 0.03, 0.03  # parts of the answers
BESIDE = ("quick_pendulum", "threads=1", "evaluate.episodes=1", "log.figures=false", "budget.total=100000")


@dataclass
class Told:
    """What the raters have measured, in milliseconds."""

    answers: list[float] = field(default_factory=list)
    nexts: list[float] = field(default_factory=list)
    films: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Rater:
    """One browser's worth of requests."""

    def __init__(self, port: int, token: str, think: float, told: Told, seed: int):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._think, self._told, self._random = think, told, random.Random(seed)
        answer = self._send("GET", f"/?token={token}")
        self._cookie = answer.headers["set-cookie"].partition(";")[0]

    def work(self) -> None:
        while (question := self._next()) is not None:
            self._timed(self._told.films, "GET", question["films"][0]["url"])
            time.sleep(self._random.expovariate(1 / self._think) if self._think else 0)
            self._say(question["id"])

    def _next(self) -> dict | None:
        for _ in range(20):  # others may hold the last questions for a moment
            said = self._timed(self._told.nexts, "POST", "/api/next", {})
            if "question" in said:
                return said["question"]
            time.sleep(0.5)
        return None

    def _say(self, question: int) -> None:
        body = {"uuid": str(uuid.UUID(int=self._random.getrandbits(128), version=4)), "question": question}
        body["seconds"] = rounded(self._think)
        if self._random.random() < SKIPS:
            self._timed([], "POST", "/api/skip", body)
            return
        answer = body | {"value": self._random.randrange(5) / 4}
        for _ in range(1 + (self._random.random() < TWICE)):
            self._timed(self._told.answers, "POST", "/api/answer", answer)
        if self._random.random() < UNDOS:
            self._timed([], "POST", "/api/undo", {"answer": body["uuid"], "uuid": str(uuid.uuid4())})

    def _timed(self, kept: list[float], method: str, path: str, body: dict | None = None) -> dict:
        begun = time.perf_counter()
        answer = self._send(method, path, body)
        content = answer.read()
        kept.append(1000 * (time.perf_counter() - begun))
        if answer.status != 200:
            self._told.failures.append(f"{path}: {answer.status} {content[:200]!r}")
        return json.loads(content) if content[:1] == b"{" else {}

    def _send(self, method: str, path: str, body: dict | None = None) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json", "Cookie": getattr(self, "_cookie", "")}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        if path.startswith("/?"):
            answer.read()
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raters", type=int, default=20)
    parser.add_argument("--questions", type=int, default=5000)
    parser.add_argument("--think", type=float, default=1.0, help="mean seconds that a rater looks (default: 1)")
    parser.add_argument("--idle", action="store_true", help="without a training run beside")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = measure(Path(folder), options)
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}
    rows["idle" if options.idle else "beside a training run"] = row
    RESULTS.write_text(json.dumps({"machine": MACHINE, "rows": rows}, indent=1) + "\n")
    print(json.dumps(row, indent=1))
    print(f"p99 of an answer {row['answer_ms']['p99']} ms, goal {GOAL_MS:g}: {'met' if row['is_met'] else 'missed'}")


def measure(folder: Path, options: argparse.Namespace) -> dict:
    run = folder / "run"
    run.mkdir()
    (run / "config.yaml").touch()
    people = People(run, LabelerConfig(name="people", kind="clip"), 100_000)
    tokens = fill(people, options)
    server = subprocess.Popen([sys.executable, "-m", "tandem", "label", "serve", str(run), "--port", "0"], stdout=subprocess.PIPE, text=True)  # fmt: skip
    training = None if options.idle else train(folder)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().partition("/?")[0].rpartition(":")[2])
        return label(people, tokens, port, server.pid, options)
    finally:
        for process in filter(None, (server, training)):
            process.send_signal(signal.SIGTERM)
        for process in filter(None, (server, training)):
            process.wait(60)
        people.close()


def fill(people: People, options: argparse.Namespace) -> list[str]:
    """Ask all questions, each with a film of some 40 kB. -> the raters' tokens"""
    people.submit([Question(f"q{n}", Clip(0, n * ROWS, ROWS), kind="clip") for n in range(options.questions)])
    films, noise = Films(people.queue), np.random.default_rng(0)
    film = draw(noise)
    for number in films.undrawn(options.questions):
        films.put(number, [film])
    return [Raters(people.queue).add(f"rater{n}") for n in range(options.raters)]


def draw(noise: np.random.Generator) -> Film:
    frames = ROWS + CONTEXT
    grid = noise.integers(0, 40, (HEIGHT * -(-frames // COLUMNS), WIDTH * COLUMNS, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(grid).save(file, "webp", quality=30)
    return Film(file.getvalue(), {"frames": frames, "columns": COLUMNS, "width": WIDTH, "height": HEIGHT, "fps": 12, "context": CONTEXT})  # fmt: skip


def train(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "tandem", "train", *BESIDE, f"run.dir={folder / 'beside'}"]
    training = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(20)  # until it learns
    return training


def label(people: People, tokens: list[str], port: int, server: int, options: argparse.Namespace) -> dict:
    told = Told()
    raters = [Rater(port, token, options.think, told, seed) for seed, token in enumerate(tokens)]
    threads = [threading.Thread(target=rater.work) for rater in raters]
    begun, replies, memory = time.perf_counter(), [], []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        replies += people.collect()
        memory.append(resident_mib(server))
        time.sleep(1)
    minutes = (time.perf_counter() - begun) / 60
    time.sleep(11)  # the undo time of the last answers
    replies += people.collect()
    labels = [reply.key for reply in replies if isinstance(reply, Answer)]
    assert len(labels) == len(set(labels)), "an answer came twice"
    return {
        "raters": options.raters,
        "questions": options.questions,
        "labels": len(labels),
        "declined": options.questions - len(labels),
        "minutes": rounded(minutes),
        "answers_per_second": rounded(len(told.answers) / minutes / 60),
        "answer_ms": spread(told.answers),
        "next_ms": spread(told.nexts),
        "film_ms": spread(told.films),
        "server_mib": {
            "at a tenth": rounded(memory[len(memory) // 10]),
            "at the end": rounded(memory[-1]),
            "most": rounded(max(memory)),
        },
        "failures": told.failures[:5],
        "is_met": statistics.quantiles(told.answers, n=100)[98] < GOAL_MS and not told.failures,
    }


def resident_mib(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return rounded(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def spread(milliseconds: list[float]) -> dict:
    cuts = statistics.quantiles(milliseconds, n=1000)
    return {"median": rounded(cuts[499]), "p99": rounded(cuts[989]), "p99.9": rounded(cuts[998]), "most": rounded(max(milliseconds))}  # fmt: skip
