"""N environments in lockstep: one action each in, one row each out. True rewards go to the vault and nowhere else."""

import functools

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from ..errors import UserError
from ..seeds import derive_seed
from .make import EnvConfig, make_env, spaces_from
from .records import Transition
from .vault import RewardVault

MAX_REBUILDS = 3  # of a pool of processes that dies, in a row
# What a pipe to a process raises once that process is gone.
_DEAD_WORKER = (EOFError, ConnectionError)


class NonFiniteObservation(UserError):
    """An environment gave NaN or infinity."""


class VectorEnv:
    """Streams of rows from `config.num` environments of `task`.

    `next_steps` (N,) and `next_episodes` (N,) number the first row and the first episode of each stream: after a
    resume they go on where the old ones stopped, so that rows keep unique numbers and no episode comes twice.
    Everything random is a function of (seed, environment, episode).
    """

    def __init__(
        self,
        task: str,
        config: EnvConfig,
        seed: int,
        vault: RewardVault,
        next_steps: np.ndarray | None = None,
        next_episodes: np.ndarray | None = None,
    ):
        self.num = config.num
        self._task, self._config, self._seed, self._vault = task, config, seed, vault
        self.next_steps = _counters(next_steps, self.num)  # (N,) int64: the number of the row that comes next
        self.next_episodes = _counters(next_episodes, self.num)  # (N,) int64: the number of the episode that comes next
        self._was_last = np.ones(self.num, bool)
        self._is_heldout = np.zeros(self.num, bool)
        self._is_fresh = True  # the pool has not been reset yet
        self._pool = self._build_pool()
        self.spaces = spaces_from(self._pool.single_observation_space, self._pool.single_action_space)

    def step(self, action: np.ndarray) -> Transition:
        """action (N, A) float32 -> the rows arrived at.

        Environments whose last row was is_last (at first: all) are reset; their action is ignored and their row
        is_first. When a worker process dies the pool is rebuilt and every stream begins again with is_first; after
        MAX_REBUILDS in a row the error is raised. NonFiniteObservation names the environment, key and row.
        """
        assert action.shape == (self.num, self.spaces.action_size), (action.shape, self.num, self.spaces.action_size)
        assert np.isfinite(action).all(), action
        obs, rewards, is_terminated, is_truncated = self._advance(action)
        is_first = self._was_last
        self._begin_episodes(is_first)
        self._check(obs)
        step = self.next_steps
        self._keep_rewards(step, rewards, is_first)
        is_last = is_terminated | is_truncated
        self._was_last = is_last.copy()
        self.next_steps = step + 1
        return Transition(obs, is_first, is_last, is_terminated, step, self._is_heldout.copy())

    def close(self) -> None:
        if self._pool is None or self._pool.closed:
            return
        try:
            self._pool.close()
        except _DEAD_WORKER:
            _kill(self._pool)

    def _advance(self, action: np.ndarray):
        for attempt in range(MAX_REBUILDS + 1):
            try:
                return self._advance_pool(action)
            except _DEAD_WORKER:
                # Without processes it is the environment itself that raised.
                if not self._config.processes:
                    raise
                self._drop_pool()
                if attempt == MAX_REBUILDS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _advance_pool(self, action: np.ndarray):
        if self._pool is None:
            self._pool = self._build_pool()
        if self._is_fresh:
            obs, _ = self._pool.reset()
            self._is_fresh = False
            flags = np.zeros(self.num, bool)
            return _copied(obs), np.zeros(self.num), flags, flags.copy()
        obs, rewards, is_terminated, is_truncated, _ = self._pool.step(action)
        return _copied(obs), rewards, is_terminated, is_truncated

    def _begin_episodes(self, is_first: np.ndarray) -> None:
        for env in np.flatnonzero(is_first):
            self._is_heldout[env] = is_heldout(self._config, self._seed, int(env), int(self.next_episodes[env]))
        self.next_episodes = self.next_episodes + is_first  # a new array: the old one may be in a checkpoint

    def _keep_rewards(self, step: np.ndarray, rewards: np.ndarray, is_first: np.ndarray) -> None:
        for env in np.flatnonzero(~is_first).tolist():
            self._vault.put(env, int(step[env]), float(rewards[env]))

    def _check(self, obs: dict[str, np.ndarray]) -> None:
        for key, values in obs.items():
            if not np.isfinite(values).all():
                env = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
                where = f"environment {env}, key {key!r}, row {self.next_steps[env]}: {values[env]}"
                raise NonFiniteObservation(f"task: {self._task} gave an observation that is not finite: {where}")

    def _build_pool(self):
        make = functools.partial(make_env, self._task, self._config)
        stream_seeds = [derive_seed(self._seed, env) for env in range(self.num)]
        makers = [
            functools.partial(make, *stream) for stream in zip(stream_seeds, self.next_episodes.tolist(), strict=True)
        ]
        # NEXT_STEP gives exactly our rows, one a tick, is_first where the action was ignored. (With DISABLED, no tick
        # could reset some environments and step the others.) Copying flat arrays ourselves is cheaper than its deep
        # copies.
        common = {"copy": False, "autoreset_mode": AutoresetMode.NEXT_STEP}
        if not self._config.processes:
            return SyncVectorEnv(makers, **common)
        # Forking a process that runs torch's threads or CUDA can hang it.
        return AsyncVectorEnv(makers, context="forkserver", **common)

    def _drop_pool(self) -> None:
        if self._pool is not None:  # it is None where building it failed
            _kill(self._pool)
        self._pool = None
        self._is_fresh = True
        self._was_last = np.ones(self.num, bool)


def is_heldout(config: EnvConfig, seed: int, env: int, episode: int) -> bool:
    """Whether this episode is kept from training.

    Episodes are dealt over all environments into blocks of round(1 / heldout_share), each with one held-out episode
    at a random place; in the first block it is the second, so that the shortest of runs has an episode of either
    kind.
    """
    if config.heldout_share == 0:
        return False
    block_length = round(1 / config.heldout_share)
    block, place = divmod(episode * config.num + env, block_length)
    return place == (derive_seed(seed, block, 1) % block_length if block else 1)  # the 1: not the streams' seeds


def _counters(start: np.ndarray | None, num: int) -> np.ndarray:
    counters = np.zeros(num, np.int64) if start is None else np.array(start, np.int64)
    assert counters.shape == (num,), (counters.shape, num)
    return counters


def _copied(obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: values.copy() for key, values in obs.items()}


def _kill(pool: SyncVectorEnv | AsyncVectorEnv) -> None:
    assert isinstance(pool, AsyncVectorEnv), pool  # without processes there is nothing to end
    # close() would speak to the dead worker and raise, so the processes are ended one by one.
    for process in pool.processes:
        process.kill()
        process.join()
    for pipe in pool.parent_pipes:
        if pipe is not None:  # gymnasium has already closed the pipe of a worker that raised
            pipe.close()
    pool.closed = True
