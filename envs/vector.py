"""N environments in lockstep: one action each in, one row each out. True rewards go to the vault and nowhere else."""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..seeds import derive_seed
from .make import EnvConfig
from .pool import Failure, Order, Pool, Row, open_pool
from .records import Spaces, Transition
from .sights.eye import Looks
from .sights.reel import Reel
from .standing import OpenEpisode, Standing
from .vault import RewardVault


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def episode_seed(seed: int, env: int, episode: int, attempt: int = 0) -> int:
    """What the reset is given that begins an episode of an environment; attempt: how many starts of it have failed."""
    return derive_seed(derive_seed(seed, env), episode, *([attempt] if attempt else []))


class VectorEnv:
    """Streams of rows from `config.num` environments of `task`.

    Rows and episodes of each stream are numbered for ever. Everything random is a function of (seed, environment,
    episode), and which episodes are held out of the rows bought so far, too.

    An environment that raises, dies, hangs or observes what is no number costs its episode: that is closed as truncated
    before the bad row, and the row in its place is the first of the next one. `warn` is told each time, in a line.
    """

    def __init__(
        self,
        task: str,
        config: EnvConfig,
        seed: int,
        vault: RewardVault,
        warn: Callable[[str], None] = to_stderr,
        pool: Pool | None = None,
        reel: Reel | None = None,
        looks: Looks = "",
    ):
        """pool: environments that somebody else built, and will close. reel: takes a sight of every row, as `looks` says."""
        self.num = config.num
        self._task, self._config, self._seed, self._vault, self._warn = task, config, seed, vault, warn
        self.next_steps = np.zeros(self.num, np.int64)  # (N,) int64: the number of the row that comes next
        self.next_episodes = np.zeros(self.num, np.int64)  # (N,) int64: the number of the episode that comes next
        self.was_last = np.ones(self.num, bool)  # whose next row follows a reset
        self.was_lent = False  # others have played in it: go_on() takes up the episodes that were open
        self._streak = np.zeros(self.num, np.int64)  # failures since an episode was completed
        self._heldout = HeldoutShare(config.heldout_share, seed, self.num)
        self._begun: np.ndarray | None = None  # the action that the environments have been given already
        self._is_lent = pool is not None
        self._pool = open_pool(task, config, looks) if pool is None else pool
        self._reel = reel
        self.spaces = self._pool.spaces

    def begin(self, action: np.ndarray) -> None:
        """Let environments in processes of their own play while the caller does something else; `step` with the same action
        is to follow. What comes of it is the same."""
        self.check(action)
        self._pool.begin(self._orders(action), self._reel is not None)
        self._begun = action.copy()

    def step(self, action: np.ndarray) -> Transition:
        """action (N, A) float32 -> the rows arrived at.

        Environments whose last row was is_last (at first: all) are reset; their action is ignored and their row
        is_first. UserError, and no row, once an environment has failed `config.patience` times without completing an
        episode in between.
        """
        assert action.shape == (self.num, self.spaces.action_size), (action.shape, self.num, self.spaces.action_size)
        self.check(action)
        assert self._begun is None or np.array_equal(action, self._begun), "another action was begun with"
        self._begun = None
        tick = self._play(action)
        is_first, step, is_last = tick.is_first, self.next_steps, tick.is_terminated | tick.is_truncated
        for env, is_reset in enumerate(is_first.tolist()):
            if is_reset:
                self._heldout.begin(env, int(self.next_episodes[env]), self.next_episodes)
            else:
                self._vault.put(env, int(step[env]), tick.rewards[env])
            if self._reel is not None:
                self._reel.put(env, int(step[env]), tick.sights[env])
        if self._reel is not None and not step.any():
            self._tell_if_unseen(tick)
        self._heldout.count(is_first, is_last)
        self._streak[is_last] = 0
        # New arrays: the old ones may be in a checkpoint.
        self.next_episodes = self.next_episodes + is_first
        self.next_steps = step + 1
        self.was_last = is_last.copy()
        return Transition(tick.obs, is_first, is_last, tick.is_terminated, step, self._heldout.is_heldout.copy())

    def check(self, action: np.ndarray) -> None:
        """UserError for an action (N, A) that holds something that is no number, before any environment is given it."""
        if not np.isfinite(action).all():
            env = int(np.flatnonzero(~np.isfinite(action).all(1))[0])
            raise UserError(
                f"task: {self._task}: the action for environment {env} is not finite: {_shown(action[env])}"
            )

    def go_on(self, standing: Standing) -> None:
        """Take the streams up where they stood: every open episode is played again, and goes on if that is the same.

        One that differs, in a single bit of an observation, is closed as truncated, which is said.
        """
        assert self._begun is None, "a step is under way"
        assert standing.next_step.shape == standing.next_episode.shape == (self.num,), standing
        self.was_lent = False
        self.next_steps = np.array(standing.next_step, np.int64)
        self.next_episodes = np.array(standing.next_episode, np.int64)
        self.was_last = np.array(standing.was_last, bool)
        opened = {one.env: one for one in standing.open if not self.was_last[one.env]}
        lengths = np.zeros(self.num, np.int64)
        for env, one in opened.items():
            lengths[env] = len(one.action)
        self._heldout.go_on(standing, lengths, ~self.was_last)
        whys = dict.fromkeys(np.flatnonzero(~self.was_last).tolist(), "its rows are not known")
        whys = {env: why for env, why in whys.items() if env not in opened} | self._repeat(opened)
        for env, why in sorted(whys.items()):
            number = int(self.next_episodes[env]) - 1
            self._warn(
                f"warning: environment {env} does not repeat its episode {number}: {why}: it is closed as truncated"
            )
            self._cut(env)

    def cut(self, which: np.ndarray) -> None:
        """Close the episodes of the environments in `which` (N,) bool as truncated: their next row is is_first."""
        for env in np.flatnonzero(which).tolist():
            self._cut(env)

    def lend(self, num: int, seed: int, vault: RewardVault, warn: Callable[[str], None]) -> "VectorEnv":
        """The first `num` environments for episodes of another purpose, until the next step() or go_on() here.

        The episodes that are open in them are closed as truncated, unless go_on() takes them up afterwards.
        """
        assert 0 < num <= self.num and self._begun is None, (num, self.num, self._begun)
        self.was_lent = True
        self.cut(np.arange(self.num) < num)
        config = replace(self._config, num=num, heldout_share=0.0)
        return VectorEnv(self._task, config, seed, vault, warn=warn, pool=self._pool)

    def keep_sights(self) -> None:
        """Put those of the rows so far on disk."""
        if self._reel is not None:
            self._reel.write()

    def close(self) -> None:
        if not self._is_lent:
            self._pool.close()
        if self._reel is not None:
            self._reel.close()

    def _tell_if_unseen(self, tick: "_Tick") -> None:
        if not any(tick.sights) and not any(spec.kind == "image" for spec in self.spaces.obs.values()):
            self._warn(f"warning: task: {self._task} leaves no pictures: raters see its numbers (labeler.look)")

    def _play(self, action: np.ndarray) -> "_Tick":
        """One row of each environment: of the step asked for, or of a reset where that failed."""
        tick = _Tick(self.spaces, self.was_last)
        attempts, orders = [0] * self.num, self._orders(action)
        while orders:
            failures = tick.fill(self._pool, orders, self._reel is not None)
            orders = {}
            for env, failure in failures.items():
                self._count_failure(env, failure, bool(tick.is_first[env]))
                attempts[env] += int(tick.is_first[env])  # a start that failed is not tried again: there are others
                tick.is_first[env] = True
                orders[env] = self._episode_seed(env, int(self.next_episodes[env]), attempts[env])
        return tick

    def _orders(self, action: np.ndarray) -> dict[int, Order]:
        """For the next step of all environments: a seed where an episode begins."""
        return {
            env: self._episode_seed(env, int(self.next_episodes[env])) if was_last else action[env]
            for env, was_last in enumerate(self.was_last.tolist())
        }

    def _episode_seed(self, env: int, episode: int, attempt: int = 0) -> int:
        return episode_seed(self._seed, env, episode, attempt)

    def _count_failure(self, env: int, failure: Failure, is_start: bool) -> None:
        self._streak[env] += 1
        row, times = self.next_steps[env], self._streak[env]
        if times >= self._config.patience:
            raise UserError(
                f"task: {self._task}: environment {env} {failure}, and that after {times - 1} failures without a "
                f"completed episode in between (envs.patience is {self._config.patience})"
            )
        end = "another start is tried" if is_start else "its episode is closed as truncated"
        self._warn(f"warning: environment {env}, row {row}, {failure}: {end}")

    def _repeat(self, opened: dict[int, OpenEpisode]) -> dict[int, str]:
        """Play open episodes again, side by side. -> environment: how it differs, for those that do."""
        whys = self._repeat_starts(opened)
        for row in range(1, max((len(one.action) for one in opened.values()), default=0) + 1):
            orders: dict[int, Order] = {
                env: one.action[row - 1] for env, one in opened.items() if row <= len(one.action) and env not in whys
            }
            for env, outcome in self._pool.play(orders):
                if why := self._difference(outcome, opened[env], row):
                    whys[env] = why
        return whys

    def _repeat_starts(self, opened: dict[int, OpenEpisode]) -> dict[int, str]:
        whys: dict[int, str] = {}
        left = list(opened)
        for attempt in range(self._config.patience):
            orders: dict[int, Order] = {env: self._episode_seed(env, opened[env].number, attempt) for env in left}
            left = []
            for env, outcome in self._pool.play(orders):
                if why := self._difference(outcome, opened[env], 0):
                    whys[env] = why
                if isinstance(outcome, Failure):  # as it may have done the first time
                    left.append(env)
                elif not why:
                    whys.pop(env, None)
        return whys

    def _difference(self, outcome: Row | Failure, episode: OpenEpisode, row: int) -> str:
        """What is not as it was; empty where it is the same bit for bit."""
        if isinstance(outcome, Failure):
            return f"at its row {row} it {outcome}"
        for key, spec in self.spaces.obs.items():
            was, now = (np.asarray(values, spec.dtype) for values in (episode.obs[key][row], outcome.obs[key]))
            if was.tobytes() != now.tobytes():
                return f"{key!r} differs at its row {row}"
        return f"it ends at its row {row}" if outcome.is_terminated or outcome.is_truncated else ""

    def _cut(self, env: int) -> None:
        self.was_last[env] = True
        self._heldout.end(env)


class _Tick:
    """The rows of one lockstep tick while they come in."""

    def __init__(self, spaces: Spaces, was_last: np.ndarray):
        num = len(was_last)
        self.obs = {key: np.zeros((num, *spec.shape), spec.dtype) for key, spec in spaces.obs.items()}
        self.rewards, self.sights = [0.0] * num, [b""] * num
        self.is_terminated = np.zeros(num, bool)
        self.is_truncated = np.zeros(num, bool)
        self.is_first = was_last.copy()

    def fill(self, pool: Pool, orders: dict[int, Order], is_seen: bool) -> dict[int, Failure]:
        """Take in a row of each environment that has an order. -> those that gave none, or none that can be used."""
        failures = {}
        for env, outcome in pool.play(orders, is_seen):
            if isinstance(outcome, Failure):
                failures[env] = outcome
                continue
            for key, values in self.obs.items():
                if outcome.obs[key].shape != values.shape[1:]:
                    shapes = f"{outcome.obs[key].shape}, expected {values.shape[1:]}"
                    failures[env] = Failure(f"gave an observation of another shape: {key!r} is {shapes}")
                    break
                values[env] = outcome.obs[key]
            self.rewards[env], self.sights[env] = outcome.reward, outcome.sight
            self.is_terminated[env] = outcome.is_terminated
            self.is_truncated[env] = outcome.is_truncated
        for env, failure in self._unusable().items():
            self._clear(env)
            failures[env] = failure
        return failures

    def _unusable(self) -> dict[int, Failure]:
        found = {}
        for key, values in self.obs.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                is_bad = ~np.isfinite(values).reshape(len(values), -1).all(1)
                for env in np.flatnonzero(is_bad).tolist():
                    what = f"{key!r} is {_shown(values[env])}"
                    found[env] = Failure(f"gave an observation that is not finite in float32: {what}")
        return found

    def _clear(self, env: int) -> None:
        for values in self.obs.values():
            values[env] = 0
        self.rewards[env], self.is_terminated[env], self.is_truncated[env] = 0.0, False, False


def _shown(values: np.ndarray) -> str:
    return np.array2string(values, threshold=8, separator=", ").replace("\n", "")


class HeldoutShare:
    """Which episodes are kept from training: about `share` of the transitions, steered over all that were bought.

    An episode is decided at its reset, by a random number that is a function of (seed, environment, episode) and by how
    many rows either kind has; what the episodes that are open are likely to bring is counted too. The second of all
    episodes is held out, so that the shortest of runs has both kinds.
    """

    def __init__(self, share: float, seed: int, num: int):
        self._share, self._seed = share, seed
        self.rows = np.zeros(2, np.int64)  # bought in training and in held-out episodes
        self.is_heldout = np.zeros(num, bool)
        self._is_open = np.zeros(num, bool)
        self._length = np.zeros(num, np.int64)  # rows bought in the open episode

    def begin(self, env: int, episode: int, begun: np.ndarray) -> None:
        """Decide the episode that begins. begun (N,): episodes of each stream before this tick."""
        self.end(env)
        self.is_heldout[env] = self._draw(env, episode, int(begun.sum()))
        self._is_open[env] = True
        self._length[env] = 0

    def whole(self, env: int, episode: int, begun: np.ndarray, rows: int) -> bool:
        """Decide an episode of so many rows that is there already, and count them."""
        self.begin(env, episode, begun)
        self.end(env)
        self.rows[int(self.is_heldout[env])] += rows
        return bool(self.is_heldout[env])

    def count(self, is_first: np.ndarray, is_last: np.ndarray) -> None:
        """Count the rows of a tick, after the episodes that begin in it."""
        is_bought = ~is_first
        held = np.count_nonzero(is_bought & self.is_heldout)
        self.rows[0] += np.count_nonzero(is_bought) - held
        self.rows[1] += held
        self._length += is_bought
        self._is_open &= ~is_last

    def end(self, env: int) -> None:
        self._is_open[env] = False

    def go_on(self, standing: Standing, lengths: np.ndarray, is_open: np.ndarray) -> None:
        self.rows, self.is_heldout = np.array(standing.rows, np.int64), np.array(standing.is_heldout, bool)
        self._length, self._is_open = lengths, is_open.copy()

    def _draw(self, env: int, episode: int, begun: int) -> bool:
        place = episode * len(self.is_heldout) + env
        if not self._share or place < 2:
            return bool(self._share) and place == 1
        mean = max(1.0, self.rows.sum() / max(1, begun))
        to_come = np.where(self._is_open, np.maximum(mean - self._length, 0), 0)
        held = self.rows[1] + to_come[self.is_heldout].sum()
        owed = (self._share * (self.rows.sum() + to_come.sum()) - held) / mean  # in episodes
        chance = derive_seed(self._seed, env, episode, 1) / 2**31  # the 1: not the streams' seeds
        return bool(chance < self._share + owed / 2)
