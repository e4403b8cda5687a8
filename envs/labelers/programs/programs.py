"""The labeler that asks programs or a server: several questions at once, in threads, so that the trainer never waits."""

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ...records import Answer, Declined, Question, QuestionKind
from .account import Account
from .journal import Log, Said
from .line import Failed, Line, Refused, Unreachable
from .wire import written

BACKOFF_SECONDS = 0.5  # before a question is tried again; twice as long each time
MOST_BACKOFF_SECONDS = 15.0
LOST_SECONDS = 300.0  # that nobody is there, after which it counts as a failure at every question
CLOSE_SECONDS = 5.0


class Programs:
    """Answers through `parallel` lines at once, each used by a thread of its own.

    name: who is asked, for messages. make_line(account, log, run): another line; run names the run. prompt_of(kind):
    what is asked, in place of ours unless it is empty. retries: of a question that came to nothing, before it is declined.
    folder: of the run; labeler.log and the answers lie there.
    """

    def __init__(
        self,
        name: str,
        make_line: Callable[[Account, Log, str], Line],
        folder: Path,
        prompt_of: Callable[[QuestionKind], str],
        retries: int = 2,
        parallel: int = 1,
        lost_seconds: float = LOST_SECONDS,
    ):
        self.name, self.counts, self.log = name, Account(), Log(folder / "labeler.log")
        self._make_line, self._folder, self._prompt_of = make_line, folder, prompt_of
        self._retries, self._parallel, self._lost_seconds = retries, parallel, lost_seconds
        self._said: Said | None = None  # once there is a question: until then the folder may not be there
        self._open: dict[str, tuple[Question, float]] = {}  # key -> question, and when it was heard
        self._ready: list[Answer | Declined] = []
        self._todo: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._lines: list[Line] = []
        self._threads: list[threading.Thread] = []
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._broken: Exception | None = None
        self._lost_since: float | None = None

    def submit(self, questions: list[Question]) -> None:
        """One that was answered has the same answer again; one that is open stays open once."""
        if questions and self._said is None:
            self._start()
        for question in questions:
            with self._lock:
                if question.key in self._open:
                    continue
                assert self._said is not None, "there is a question"
                if said := self._said.answers.get(question.key):
                    self._ready.append(said)
                    continue
                self._open[question.key] = (question, time.monotonic())
            self.counts.count("asked")
            self._todo.put(question)

    def collect(self) -> list[Answer | Declined]:
        """Whatever has been answered, at once. Raises what a thread met that only a bug or a full disk can cause."""
        if self._broken is not None:
            raise self._broken
        with self._lock:
            ready, self._ready = self._ready, []
        return ready

    def expire(self, keys: list[str]) -> None:
        """Nobody waits for these any more: they are not asked, and what is said about them is dropped."""
        with self._lock:
            for key in keys:
                self._open.pop(key, None)

    def status(self) -> str:
        with self._lock:
            waiting = [since for _, since in self._open.values()]
            lost = self._lost_since
        oldest = f", oldest {_minutes(time.monotonic() - min(waiting))}" if waiting else ""
        gone = f", not reached for {_minutes(time.monotonic() - lost)}" if lost is not None else ""
        return f"{len(waiting)} open{oldest}, {self.counts.told()}{gone}, {self.name}"

    def account(self) -> dict[str, float]:
        """Counts since the start of this process, by the names that metrics have."""
        with self._lock:
            num_open = len(self._open)
        return self.counts.metrics() | {"labeler/open": float(num_open)}

    def close(self) -> None:
        """End every program and connection. What is open stays so, and is asked again by whoever submits it."""
        self._closed.set()
        for line in list(self._lines):
            line.cut()
        for _ in self._threads:
            self._todo.put(None)
        until = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _start(self) -> None:
        self._said = Said(self._folder / "labeler.answers.jsonl")
        self._lines = [self._make_line(self.counts, self.log, self._said.run) for _ in range(self._parallel)]
        for number, line in enumerate(self._lines):
            thread = threading.Thread(target=self._work, args=(line,), name=f"labeler-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self, line: Line) -> None:
        try:
            while (question := self._todo.get()) is not None and not self._closed.is_set():
                reply = self._reply(line, question)
                if reply is not None:
                    self._take(reply)
        except Exception as error:  # noqa: BLE001  of any kind: it is raised where the trainer looks
            self._broken = error
        finally:
            line.close()

    def _reply(self, line: Line, question: Question) -> Answer | Declined | None:
        """None where nobody waits for it any more."""
        assert self._said is not None, "the threads start after it"
        request, failures, waits = b"", 0, 0
        while self._is_awaited(question.key):
            request = request or written(question, self._prompt_of(question.kind), self._said.run)
            try:
                reply = line.ask(question, request)
                self._lost_since = None
                self.counts.count("answered" if isinstance(reply, Answer) else "declined")
                return reply
            except Refused as error:
                self._lost_since = None
                self.counts.count("declined")
                return Declined(question.key, f"{self.name}: {error}")
            except Unreachable as error:
                failures += self._is_lost()
                why = str(error)
            except Failed as error:
                self._lost_since = None
                failures += 1
                why = str(error)
            if self._closed.is_set():
                return None
            self.counts.trouble = why
            self.log.line(f"{question.key}: {why}")
            if failures > self._retries:
                self.counts.count("failed")
                tries = f", after {failures} tries" if failures > 1 else ""
                return Declined(question.key, f"{self.name}: {why}{tries}")
            self.counts.count("retried")
            self._closed.wait(min(BACKOFF_SECONDS * 2**waits, MOST_BACKOFF_SECONDS))
            waits = min(waits + 1, 10)
        return None

    def _is_awaited(self, key: str) -> bool:
        with self._lock:
            return key in self._open and not self._closed.is_set()

    def _is_lost(self) -> bool:
        """Whether nobody has been there for so long that waiting is no use."""
        now = time.monotonic()
        with self._lock:
            self._lost_since = now if self._lost_since is None else self._lost_since
            return now - self._lost_since >= self._lost_seconds

    def _take(self, reply: Answer | Declined) -> None:
        with self._lock:
            if self._open.pop(reply.key, None) is None:
                return
            if isinstance(reply, Answer):
                assert self._said is not None, "the threads start after it"
                self._said.keep(reply)
            self._ready.append(reply)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
