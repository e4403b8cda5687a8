"""N environments in lockstep: one action each in, one row each out. True rewards go to the vault and nowhere else."""

import functools
from collections.abc import Callable

import numpy as np

from ..errors import UserError
from ..seeds import derive_seed
from .make import EnvConfig, make_env, spaces_from
from .pool import Arrived, EnvFailed, InProcess, Pool, Processes
from .records import Transition
from .standing import OpenEpisode, Standing
from .vault import RewardVault


class VectorEnv:
    """Streams of rows from `config.num` environments of `task`.

    Rows and episodes of each stream are numbered for ever. Everything random is a function of (seed, environment, episode).
    An environment that fails, by an exception, a dead or hanging process or an observation that is not finite, is said
    through `warn`; its episode ends, truncated, with the row before, and a new one begins in the same tick.
    """

    def __init__(
        self,
        task: str,
        config: EnvConfig,
        seed: int,
        vault: RewardVault,
        warn: Callable[[str], None] = lambda line: None,
    ):
        self.num = config.num
        self._task, self._config, self._seed, self._vault, self._warn = task, config, seed, vault, warn
        self.next_steps = np.zeros(self.num, np.int64)  # the number of the row that comes next
        self.next_episodes = np.zeros(self.num, np.int64)  # the number of the episode that comes next
        self.failures = np.zeros(self.num, np.int64)  # in a row, since the stream's last whole episode
        self._was_last = np.ones(self.num, bool)
        self._is_heldout = np.zeros(self.num, bool)
        self._stream_seeds = [derive_seed(seed, env) for env in range(self.num)]
        self._pool = self._build_pool()
        self.spaces = spaces_from(*self._pool.spaces)

    def go_on(self, standing: Standing) -> None:
        """Take the streams up where they stand.

        An open episode is played again from its seed with the actions that were taken. Where that does not give the same
        observations, bit for bit, it is closed as truncated, which `warn` says: its stream's next row is a first one.
        """
        self.next_steps, self.next_episodes = standing.next_step.copy(), standing.next_episode.copy()
        self._is_heldout = standing.is_heldout.copy()
        self._was_last = np.ones(self.num, bool)
        episodes = [one for one in standing.open if not standing.was_last[one.env]]
        for one in episodes:
            self._pool.begin(one.env, "repeat", self._episode_seed(one.env, one.number), one.action, one.obs)
        for one in episodes:
            self._was_last[one.env] = not self._is_repeated(one)

    def step(self, action: np.ndarray) -> Transition:
        """action (N, A) float32 -> the rows arrived at.

        Environments whose last row was is_last (at first: all) are reset; their action is ignored and their row
        is_first. UserError after `envs.patience` failures in a row of one environment: the tick has given nothing then.
        """
        assert action.shape == (self.num, self.spaces.action_size), (action.shape, self.num, self.spaces.action_size)
        assert np.isfinite(action).all(), action
        is_first = self._was_last.copy()
        for env in range(self.num):
            if is_first[env]:
                self._pool.begin(env, "reset", self._episode_seed(env, int(self.next_episodes[env])))
            else:
                self._pool.begin(env, "step", action[env])
        rows = [self._finish(env, is_first) for env in range(self.num)]
        return self._transition(rows, is_first)

    def close(self) -> None:
        self._pool.close()

    def _finish(self, env: int, is_first: np.ndarray) -> Arrived:
        """The row of one environment; where it fails, the first row of its next episode."""
        is_whole = True
        while True:
            try:
                if not is_whole:
                    self._pool.rebuild(env)
                    self._pool.begin(env, "reset", self._episode_seed(env, int(self.next_episodes[env])))
                row = self._pool.finish(env)
                self._check(row[0])
            except EnvFailed as error:
                self._tell(env, error)
                is_first[env], is_whole = True, False
            else:
                return row

    def _tell(self, env: int, error: EnvFailed) -> None:
        self.failures[env] += 1
        where = f"{self._task}, environment {env}, row {self.next_steps[env]}: {error}"
        if self.failures[env] >= self._config.patience:
            raise UserError(
                f"task: {self.failures[env]} failures in a row (envs.patience), the last: {where}"
            ) from error
        self._warn(f"warning: {where}; it is made anew, its episode ends with the row before")

    def _check(self, obs: dict[str, np.ndarray]) -> None:
        for key, values in obs.items():
            if not np.isfinite(values).all():
                raise EnvFailed(f"an observation is not finite: {key!r} is {values}")

    def _transition(self, rows: list[Arrived], is_first: np.ndarray) -> Transition:
        self._begin_episodes(is_first)
        obs, rewards, is_terminated, is_truncated = zip(*rows, strict=True)
        step = self.next_steps
        for env in np.flatnonzero(~is_first).tolist():
            self._vault.put(env, int(step[env]), rewards[env])
        is_terminal = np.array(is_terminated)
        is_last = is_terminal | np.array(is_truncated)
        self.failures[is_last] = 0
        self._was_last = is_last.copy()
        self.next_steps = step + 1
        stacked = {key: np.stack([row[key] for row in obs]) for key in obs[0]}
        return Transition(stacked, is_first, is_last, is_terminal, step, self._is_heldout.copy())

    def _begin_episodes(self, is_first: np.ndarray) -> None:
        for env in np.flatnonzero(is_first):
            self._is_heldout[env] = is_heldout(self._config, self._seed, int(env), int(self.next_episodes[env]))
        self.next_episodes = self.next_episodes + is_first  # a new array: the old one may be in a checkpoint

    def _is_repeated(self, episode: OpenEpisode) -> bool:
        try:
            is_repeated, why = self._pool.finish(episode.env, len(episode.action) + 1), "its observations differ"
        except EnvFailed as error:
            is_repeated, why = False, str(error)
            self._pool.rebuild(episode.env)
        if not is_repeated:
            self._warn(
                f"warning: {self._task}, environment {episode.env}: its open episode does not repeat ({why}): it ends "
                f"with the row before, truncated"
            )
        return is_repeated

    def _episode_seed(self, env: int, episode: int) -> int:
        return derive_seed(self._stream_seeds[env], episode)

    def _build_pool(self) -> Pool:
        make = functools.partial(make_env, self._task, self._config)
        makers = [functools.partial(make, seed) for seed in self._stream_seeds]
        return Processes(makers, self._config.timeout) if self._config.processes else InProcess(makers)


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
