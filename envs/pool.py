"""Environments played side by side: all in this process, or each in one of its own. What fails is told, never raised."""

import contextlib
import fcntl
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.util import Finalize
from typing import Any, Protocol

import gymnasium
import numpy as np

from ..errors import UserError
from ..outside import place_outside
from .limited import TimedOut, limited
from .make import EnvConfig, make_env, spaces_of
from .records import Spaces
from .sights.eye import Looks, make_seen, sight_of

Order = int | np.ndarray  # a seed: begin an episode with it; an action (A,) float32: take it
Look = Callable[[gymnasium.Env], Any]  # says something of an environment that was just built
BUILD_SECONDS = 60.0  # on top of the time-out where a process starts or an environment is built
CLOSE_SECONDS = 2.0  # for environments that are closed in their processes; then these are killed


@dataclass(frozen=True, slots=True)
class Row:
    """What an environment gave: the observation and, unless it was reset, what arrived with it."""

    obs: dict[str, np.ndarray]
    reward: float = 0.0
    is_terminated: bool = False
    is_truncated: bool = False
    sight: bytes = b""  # where it was asked for: what the row can be looked at by


@dataclass(frozen=True)
class Failure:
    """Why there is no row, in words that follow "environment 3 "."""

    what: str
    where: str = ""  # file and line of the environment's own code

    def __str__(self) -> str:
        return f"{self.what} ({self.where})" if self.where else self.what


class Pool(Protocol):
    """Environments by number. One that failed is built anew by itself when it is next given a seed."""

    spaces: Spaces

    def begin(self, orders: dict[int, Order], is_seen: bool = False) -> None:
        """Where they play beside us; `play` of the same follows."""
        ...

    def play(self, orders: dict[int, Order], is_seen: bool = False) -> Iterator[tuple[int, Row | Failure]]:
        """Give each environment its order -> what each gave, `is_seen`: with a sight, where environments have any.

        A row's arrays are the environment's own: copy them.
        """
        ...

    def close(self) -> None: ...


def open_pool(task: str, config: EnvConfig, looks: Looks = "") -> Pool:
    """`config.num` environments of `task`, built; looks: what they keep of a row to be looked at. UserError for those that
    cannot be."""
    make = functools.partial(make_seen, task, config, 0, looks)  # every order to begin has a seed of its own
    if config.processes:
        return ProcessPool(make, config.num, config.timeout)
    return LocalPool(make, config.num, config.timeout)


def look_at(task: str, config: EnvConfig, seed: int, look: Look) -> Any:
    """What `look` says of one environment, which is built for it: where those of a pool are, and within their time-out.

    UserError where there is no answer.
    """
    make = functools.partial(make_env, task, config, seed)
    if config.processes:
        return _looked_at_in_a_process(task, Worker(make, config.timeout), look)
    player, seconds = Player(make), config.timeout and config.timeout + BUILD_SECONDS
    try:
        with limited(seconds):
            return player.open(look)
    except TimedOut as error:
        raise UserError(f"task: {task}: tried before the run, it {Failure(_late(seconds), _place(error))}") from error
    finally:
        player.close()


def _looked_at_in_a_process(task: str, worker: "Worker", look: Look) -> Any:
    try:
        worker.ask(look)
        answer = worker.answer()
    finally:
        worker.bid_farewell()
        worker.leave(time.monotonic() + CLOSE_SECONDS)
    if isinstance(answer, UserError):
        raise answer
    if isinstance(answer, Failure):
        raise UserError(f"task: {task}: tried before the run in a process of its own, it {answer}")
    return answer


class Player:
    """One environment. After an exception it is closed, and built anew for the next episode."""

    def __init__(self, make: Callable[[], gymnasium.Env]):
        self._make = make
        self._env: gymnasium.Env | None = None

    @property
    def is_built(self) -> bool:
        return self._env is not None

    def open(self, look: Look = spaces_of) -> Any:
        """Build the environment -> what `look` says of it. UserError where it cannot be built."""
        try:
            self._env = self._make()
        except UserError:
            raise
        except Exception as error:  # a person's own code may raise anything
            raise UserError(f"task: cannot be made, its constructor {failure_of(error)}") from error
        return look(self._env)

    def play(self, order: Order, is_seen: bool = False) -> Row | Failure:
        try:
            if isinstance(order, int):
                if self._env is None:
                    self._env = self._make()
                obs = self._env.reset(seed=order)[0]
                return Row(obs, sight=sight_of(self._env) if is_seen else b"")
            assert self._env is not None, "an episode begins with a seed"
            obs, reward, is_terminated, is_truncated, _ = self._env.step(order)
            sight = sight_of(self._env) if is_seen else b""
            return Row(obs, float(reward), is_terminated, is_truncated, sight)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a person's own code raises: it is told
            self.close()
            return failure_of(error)

    def close(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            with contextlib.suppress(Exception):  # it is given up anyway, and may be in any state
                env.close()


class LocalPool:
    """All in this process, one after the other: quickest for environments that are cheap.

    One that hangs is interrupted and built anew, unless it hangs in code that does not come back to Python.
    """

    def __init__(self, make: Callable[[], gymnasium.Env], num: int, timeout: float):
        self._timeout = timeout
        self._players = [Player(make) for _ in range(num)]
        try:
            self.spaces, *_ = [player.open() for player in self._players]
        except BaseException:
            self.close()
            raise

    def begin(self, orders: dict[int, Order], is_seen: bool = False) -> None:
        """Nothing to do: they play in this process, when they are asked."""

    def play(self, orders: dict[int, Order], is_seen: bool = False) -> Iterator[tuple[int, Row | Failure]]:
        for env, order in orders.items():
            yield env, self._in_time(self._players[env], order, is_seen)

    def _in_time(self, player: Player, order: Order, is_seen: bool) -> Row | Failure:
        seconds = self._timeout if player.is_built else self._timeout and self._timeout + BUILD_SECONDS
        try:
            with limited(seconds):
                return player.play(order, is_seen)
        except TimedOut as error:
            with contextlib.suppress(TimedOut), limited(CLOSE_SECONDS):
                player.close()
            return Failure(_late(seconds), _place(error))

    def close(self) -> None:
        for player in self._players:
            player.close()


class ProcessPool:
    """Each in a process of its own, which is killed and started anew where it dies, or does not answer in time."""

    def __init__(self, make: Callable[[], gymnasium.Env], num: int, timeout: float):
        self.workers, self._begun = [Worker(make, timeout) for _ in range(num)], set[int]()
        try:
            self.spaces = self._opened()
        except BaseException:
            self.close()
            raise

    def begin(self, orders: dict[int, Order], is_seen: bool = False) -> None:
        for env, order in orders.items():
            self.workers[env].ask(order, is_seen)
        self._begun = set(orders)

    def play(self, orders: dict[int, Order], is_seen: bool = False) -> Iterator[tuple[int, Row | Failure]]:
        for env in orders.keys() - self._begun:
            self.workers[env].ask(orders[env], is_seen)
        self._begun = set()
        for env in orders:
            yield env, self.workers[env].answer()

    def close(self) -> None:
        """End all processes; one that is busy, and might hang, at once, unless it was let begin: it may finish its step."""
        until = time.monotonic() + CLOSE_SECONDS
        while self._begun:
            self.workers[self._begun.pop()].hurry(until)
        for worker in self.workers:
            worker.bid_farewell()
        for worker in self.workers:
            worker.leave(until + CLOSE_SECONDS)

    def _opened(self) -> Spaces:
        for worker in self.workers:
            worker.ask(spaces_of)
        for opened in [worker.answer() for worker in self.workers]:
            if isinstance(opened, UserError):
                raise opened
            if isinstance(opened, Failure):
                raise UserError(f"task: cannot be made in a process of its own: it {opened}")
        return opened


class Worker:
    """The process of one environment, from the side of who asks."""

    def __init__(self, make: Callable[[], gymnasium.Env], timeout: float):
        self._make, self._timeout = make, timeout
        self.process: Any = None  # None: not started, or killed
        self._pipe: Any = None  # a Connection
        self._seconds = 0.0  # that the answer which is awaited may take
        self._deadline: float | None = None  # of that answer; None: there is no limit
        self._is_asked = self._is_built = False
        self._finalizer: Any = None

    def ask(self, order: Order | Look, is_seen: bool = False) -> None:
        if self._is_asked:  # whoever asked did not wait for the answer
            self.kill()
        if self._pipe is None:
            self._start()
        self._seconds = self._timeout if self._is_built else self._timeout + BUILD_SECONDS
        self._deadline = time.monotonic() + self._seconds if self._timeout else None
        self._is_asked = True
        pipe: Any = self._pipe
        with contextlib.suppress(ConnectionError):  # a dead process: its answer will say so
            pipe.send((order, is_seen))

    def answer(self) -> Any:
        """The Row, or the Failure of an environment that raised, of a process that died or did not answer in time."""
        assert self._pipe is not None and self._is_asked, "nothing was asked"
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        try:
            if not self._pipe.poll(left):
                self.kill()
                return Failure(_late(self._seconds))
            outcome = self._pipe.recv()
        except (EOFError, ConnectionError):  # of the pipe: what an environment raises comes as a Failure
            return Failure(f"is gone: {self._end()}")
        self._is_asked, self._is_built = False, not isinstance(outcome, Failure)
        return outcome

    def hurry(self, until: float) -> None:
        """Wait no longer than that for the answer that is on its way, and leave it aside."""
        self._deadline = until if self._deadline is None else min(self._deadline, until)
        self.answer()

    def bid_farewell(self) -> None:
        if self._is_asked:
            self.kill()
        elif self._pipe is not None:
            with contextlib.suppress(ConnectionError):
                self._pipe.send(None)

    def leave(self, until: float) -> None:
        if self.process is not None:
            self.process.join(max(0.0, until - time.monotonic()))
            self.kill()

    def kill(self) -> None:
        if self.process is not None:
            self._finalizer()
        if self._pipe is not None:
            self._pipe.close()
        self.process = self._pipe = None
        self._is_asked = self._is_built = False

    def _start(self) -> None:
        # Forking a process that runs torch's threads or CUDA can hang it: a server that runs neither forks.
        context = multiprocessing.get_context("forkserver")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, self._make), daemon=True)
        try:
            self.process.start()
        except BaseException:
            self.process = None  # there is nothing to kill
            raise
        finally:
            theirs.close()
        # At the program's end multiprocessing would terminate the process, which it does not hear, and wait for ever.
        self._finalizer = Finalize(self, _kill, args=(self.process,), exitpriority=10)

    def _end(self) -> str:
        self.process.join(CLOSE_SECONDS)
        code = self.process.exitcode
        self.kill()
        how = "was killed" if code is None else f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
        return f"its process {how}"


def _kill(process: Any) -> None:
    process.kill()
    process.join(CLOSE_SECONDS)


def work(pipe: Connection, make: Callable[[], gymnasium.Env]) -> None:
    """What a process does: play one environment as it is asked to, until it is told to leave or its parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a terminal or a group's end sends them here too: the parent decides
    leave_with_the_parent()
    player = Player(make)
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has closed the pipe
        while (asked := pipe.recv()) is not None:
            order, is_seen = asked
            pipe.send(_opened(player, order) if callable(order) else player.play(order, is_seen))
    player.close()


def _opened(player: Player, look: Look) -> Any:
    try:
        return player.open(look)
    except UserError as error:
        return UserError(str(error))  # a class of a person's own might not be readable on the other side


def leave_with_the_parent() -> None:
    """End this process as soon as its parent is gone, killed for example, whatever the environment is doing."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a process that was started by another"
    leave_with(parent.sentinel)


def leave_with(lifeline: int) -> None:
    """End this process as soon as nobody holds the other end of a pipe any more; lifeline: the descriptor of this end."""

    def watch() -> None:
        wait([lifeline])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    # Where the environment holds Python's lock no thread runs: then the system's SIGIO, which nobody handles, ends it.
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _late(seconds: float) -> str:
    return f"did not answer within {seconds:g} seconds (envs.timeout)"


def failure_of(error: BaseException) -> Failure:
    """An exception in one line, with the file and line of the environment's own code."""
    if isinstance(error, UserError):
        return Failure(f"failed: {error}")
    return Failure(f"raised {type(error).__name__}: {_one_line(str(error))}", _place(error))


def _place(error: BaseException) -> str:
    return place_outside(error, os.path.dirname(__file__))


def _one_line(text: str, most: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
