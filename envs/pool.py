"""Environments side by side, in this process or each in one of its own; every one can be asked and made anew alone."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

import gymnasium
import numpy as np

from ..errors import UserError
from ..outside import told

Arrived = tuple[dict[str, np.ndarray], float, bool, bool]  # obs, true reward, is_terminated, is_truncated
START_SECONDS = 300.0  # that an environment may take to be made, in a process that imports everything anew
GRACE_SECONDS = 1.0  # that a process may take to close its environment


class EnvFailed(UserError):
    """An environment raised, its process died, or it did not answer in time. `is_lost`: it must be made anew."""


class Pool(Protocol):
    """N environments: what they are asked for is begun for all and then finished one by one."""

    spaces: tuple[gymnasium.Space, gymnasium.Space]

    def begin(self, env: int, command: str, *arguments: Any) -> None: ...

    def finish(self, env: int, steps: int = 1) -> Any:
        """What came of it. EnvFailed. steps: that it may take the time of."""
        ...

    def rebuild(self, env: int) -> None:
        """EnvFailed where the environment cannot be made."""
        ...

    def close(self) -> None: ...


def obey(env: gymnasium.Env, command: str, *arguments: Any) -> Any:
    """Do with one environment what a pool was asked for."""
    if command == "reset":
        obs, _ = env.reset(seed=arguments[0])
        return _copied(obs), 0.0, False, False
    if command == "step":
        obs, reward, is_terminated, is_truncated, _ = env.step(arguments[0])
        return _copied(obs), float(reward), bool(is_terminated), bool(is_truncated)
    assert command == "repeat", command
    return repeats(env, *arguments)


def repeats(env: gymnasium.Env, seed: int, actions: np.ndarray, rows: dict[str, np.ndarray]) -> bool:
    """Whether an episode from this seed, with these actions (T - 1, A), gives these rows (T, *shape) again, bit for bit.

    It is left where it first differs, or after the last row.
    """
    obs, _ = env.reset(seed=seed)
    for t in range(len(actions) + 1):
        if t:
            obs, _, is_terminated, is_truncated, _ = env.step(actions[t - 1])
            if is_terminated or is_truncated:
                return False
        if any(not np.array_equal(obs[key], rows[key][t], equal_nan=True) for key in rows):
            return False
    return True


def _copied(obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: np.array(values) for key, values in obs.items()}  # an environment may write over its own later


class InProcess:
    """All in this process: for environments that step quickly."""

    def __init__(self, makers: Sequence[Callable[[], gymnasium.Env]]):
        self._makers = makers
        self._envs = [make() for make in makers]
        self._asked: dict[int, tuple] = {}
        self.spaces = self._envs[0].observation_space, self._envs[0].action_space

    def begin(self, env: int, command: str, *arguments: Any) -> None:
        self._asked[env] = (command, *arguments)

    def finish(self, env: int, steps: int = 1) -> Any:
        try:
            return obey(self._envs[env], *self._asked.pop(env))
        except Exception as error:  # of any kind: it is a person's own code
            raise EnvFailed(told(error)) from error

    def rebuild(self, env: int) -> None:
        with contextlib.suppress(Exception):  # what is broken may not even close
            self._envs[env].close()
        try:
            self._envs[env] = self._makers[env]()
        except Exception as error:
            raise EnvFailed(told(error)) from error

    def close(self) -> None:
        for env in self._envs:
            with contextlib.suppress(Exception):
                env.close()


class Processes:
    """Each in a process of its own: for environments that take their time, hang or crash."""

    def __init__(self, makers: Sequence[Callable[[], gymnasium.Env]], timeout: float):
        """timeout: seconds that an answer may take, 0: any number."""
        self._makers, self._timeout = makers, timeout or None
        # Forking a process that runs torch's threads or CUDA can hang it.
        self._context = multiprocessing.get_context("forkserver")
        self._workers = [self._start(make) for make in makers]
        self.spaces = [self._made(env) for env in range(len(makers))].pop()

    def _start(self, make: Callable[[], gymnasium.Env]):
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, make), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def begin(self, env: int, command: str, *arguments: Any) -> None:
        with contextlib.suppress(OSError):  # a dead one is found out by `finish`
            self._workers[env][1].send((command, *arguments))

    def finish(self, env: int, steps: int = 1) -> Any:
        return self._answer(env, self._timeout and steps * self._timeout)

    def _answer(self, env: int, seconds: float | None) -> Any:
        process, pipe = self._workers[env]
        if not pipe.poll(seconds):
            raise EnvFailed(f"no answer in {seconds:g} seconds (envs.timeout)")
        try:
            is_good, answer = pipe.recv()
        except (EOFError, OSError) as error:
            process.join(GRACE_SECONDS)
            raise EnvFailed(f"its process died (exit code {process.exitcode})") from error
        if not is_good:
            raise EnvFailed(answer)
        return answer

    def rebuild(self, env: int) -> None:
        _end(*self._workers[env])
        self._workers[env] = self._start(self._makers[env])
        self._made(env)

    def _made(self, env: int) -> tuple[gymnasium.Space, gymnasium.Space]:
        return self._answer(env, START_SECONDS)

    def close(self) -> None:
        for _, pipe in self._workers:
            with contextlib.suppress(OSError):
                pipe.send(("close",))
        for process, pipe in self._workers:
            process.join(GRACE_SECONDS)
            _end(process, pipe)


def _end(process, pipe) -> None:
    process.kill()
    process.join()
    pipe.close()


def serve(pipe: Connection, make: Callable[[], gymnasium.Env]) -> None:
    """A worker's life: make the environment, then do what is asked until told to close, or until the trainer is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a terminal sends them to all; the trainer decides
    threading.Thread(target=_watch, daemon=True).start()
    try:
        env = make()
        pipe.send((True, (env.observation_space, env.action_space)))
    except Exception as error:  # noqa: BLE001 - of any kind: told where it can be handled
        pipe.send((False, told(error)))
        return
    while True:
        try:
            command, *arguments = pipe.recv()
        except (EOFError, OSError):
            return
        if command == "close":
            env.close()
            return
        try:
            pipe.send((True, obey(env, command, *arguments)))
        except Exception as error:  # noqa: BLE001
            pipe.send((False, told(error)))


def _watch() -> None:
    """End with the trainer, whatever the environment is busy with."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
