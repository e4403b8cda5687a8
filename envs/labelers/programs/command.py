"""A program that answers: a line in, a line out, restarted where it died, killed where it hangs."""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ....errors import UserError
from ...records import Answer, Declined, Question
from .account import Account, printable
from .journal import Log
from .line import Failed
from .lines import Lines
from .wire import Unusable, parsed, reply_of

GUARD = str(Path(__file__).with_name("guard.py"))
PIECE = 65_536  # bytes read or written at a time
MOST_JUNK = 16_000_000  # bytes that are no answer, after which a program is killed
LAST_WORDS = 2_000  # bytes of what it wrote beside its answers
LEAVE_SECONDS = 1.0  # to go by itself
DEATH_SECONDS = 1.0  # to wait for its status once its output has ended


def check_found(command: Sequence[str]) -> None:
    """UserError where there is no such program."""
    if shutil.which(command[0]) is None:
        raise UserError(f"labeler.command: there is no program {printable(command[0])!r} that can be run here")


class Program:
    """One running copy of the program, which is asked one question at a time.

    timeout: seconds from a question to its answer; where the program has to start first, that counts.
    """

    def __init__(self, command: Sequence[str], timeout: float, account: Account, log: Log):
        self._command, self._timeout, self._account, self._log = command, timeout, account, log
        self._process: subprocess.Popen | None = None
        self._lines, self._last_words = Lines(), b""
        self._is_asked = self._is_cut = False

    def ask(self, question: Question, request: bytes) -> Answer | Declined:
        """Failed where it died, hung, flooded, or answered what is no answer; it is started anew for the next question."""
        process, self._is_asked = self._begun(), True
        if self._is_cut:
            raise Failed("was ended")
        try:
            return self._exchange(process, question, request)
        except BaseException:
            self._end()
            raise
        finally:
            self._is_asked = False

    def cut(self) -> None:
        self._is_cut, process = True, self._process
        if self._is_asked and process is not None:
            _kill(process)

    def close(self) -> None:
        """It is told by the end of its input, and has a moment."""
        if self._process is not None:
            _pipes(self._process)[0].close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LEAVE_SECONDS)
        self._end()

    def _begun(self) -> subprocess.Popen:
        if self._process is not None and self._process.poll() is not None:
            self._end()  # it ended by itself between two questions
        if self._process is None:
            self._process, self._lines, self._last_words = self._started(), Lines(), b""
        return self._process

    def _started(self) -> subprocess.Popen:
        """In a session of its own: what a terminal sends does not reach it, and it is killed with all that it started."""
        guarded = [sys.executable, "-I", "-S", GUARD, str(os.getpid()), *self._command]
        try:
            pipe = subprocess.PIPE
            process = subprocess.Popen(guarded, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)
        except OSError as error:
            raise Failed(f"cannot be started: {error.strerror}") from error
        for file in _pipes(process):
            os.set_blocking(file.fileno(), False)
        return process

    def _exchange(self, process: subprocess.Popen, question: Question, request: bytes) -> Answer | Declined:
        until, unsent, junk = time.monotonic() + self._timeout, memoryview(request), 0
        stdin, stdout, stderr = _pipes(process)
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                ready = {key.fileobj for key, _ in selector.select(left)}
                if stderr in ready and not self._overhear(stderr):
                    selector.unregister(stderr)
                if stdout in ready:
                    content = _read(stdout)
                    if reply := self._reply_in(content or b"\n", question):
                        if unsent:
                            raise Failed("answered before it had read the question")
                        return reply
                    junk += len(content)
                    if not content:
                        raise Failed(self._death(process))
                    if junk > MOST_JUNK:
                        raise Failed(f"wrote {junk // 1_000_000} MB that are no answer")
                if stdin in ready:
                    unsent = unsent[_written(stdin, unsent) :]
                    if not unsent:
                        selector.unregister(stdin)
        raise Failed(f"gave no answer in {self._timeout:g} seconds")

    def _reply_in(self, content: bytes, question: Question) -> Answer | Declined | None:
        reply = None
        for line in self._lines.of(content):
            if reply is None:
                reply = self._heard(line, question)
            else:
                self._set_aside(line, question)
        return reply

    def _heard(self, line: bytes, question: Question) -> Answer | Declined | None:
        """None for a line that says nothing about the question. Failed for one that does, and is no answer."""
        try:
            content = parsed(line)
        except Unusable:
            content = {}
        if content.get("key") != question.key:
            self._set_aside(line, question)
            return None
        try:
            return reply_of(content, question)
        except Unusable as error:
            raise Failed(str(error)) from error

    def _set_aside(self, line: bytes, question: Question) -> None:
        if line.strip() and self._account.count_unusable(line):
            self._log.line(f"this is no reply to {question.key}: {self._account.example}")

    def _overhear(self, stderr: IO[bytes]) -> bool:
        """Keep what it writes beside its answers; False at its end."""
        content = _read(stderr)
        self._log.add(content)
        self._last_words = (self._last_words + content)[-LAST_WORDS:]
        return bool(content)

    def _death(self, process: subprocess.Popen) -> str:
        """How it ended, with the last line that it wrote beside its answers."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DEATH_SECONDS)
        while self._overhear(_pipes(process)[2]):
            pass
        status = process.returncode
        if status is None:
            return "closed its output"
        how = f"ended with status {status}" if 0 <= status <= 128 else f"was ended by signal {abs(status) % 128}"
        words = printable(next(reversed(self._last_words.decode(errors="replace").strip().splitlines()), ""))
        return f"{how}: {words}" if words else how

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            process.wait()
            for file in _pipes(process):
                with contextlib.suppress(OSError):  # what was not sent yet
                    file.close()


def _pipes(process: subprocess.Popen) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    assert process.stdin and process.stdout and process.stderr, "all three were asked for"
    return process.stdin, process.stdout, process.stderr


def _read(file: IO[bytes]) -> bytes:
    """What is there; nothing at its end, or where nothing is there any more."""
    try:
        return os.read(file.fileno(), PIECE)
    except (BlockingIOError, ConnectionError):
        return b""


def _written(file: IO[bytes], content: memoryview) -> int:
    """How many bytes went. All of them where nobody reads any more: that the program is gone its output tells."""
    try:
        return os.write(file.fileno(), content[:PIECE])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(content)


def _kill(process: subprocess.Popen) -> None:
    """The whole group, whose leader is the guard."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: of a group of the dead
        os.killpg(process.pid, signal.SIGKILL)
