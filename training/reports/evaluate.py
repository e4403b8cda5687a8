"""True returns, for the eyes alone: nothing here is ever trained on or bought by."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ...envs.episodes import Episode, EpisodeReturns, Trace, TraceRecorder
from ...envs.make import EnvConfig, episode_length
from ...envs.records import Transition
from ...envs.vault import RewardVault
from ...envs.vector import VectorEnv, episode_seed, to_stderr
from ...errors import UserError
from ...seeds import Channel, derive_seed
from .films.stage import Stage

MAX_STEPS = 10_000  # agent steps after which an episode of which no end is known is cut


class Policy(Protocol):
    def act(self, obs: dict[str, np.ndarray], state: Any, is_first: np.ndarray, mode: bool) -> tuple[np.ndarray, Any]:
        """obs key -> (N, *shape), is_first (N,) bool, state None at first -> action (N, A) float32, state."""
        ...


@dataclass(frozen=True)
class EvaluateConfig:
    episodes: int = 4  # of each kind (mode and sampled actions) at the end of a phase; 0: none, not at the end either
    envs: int = 4  # environments in lockstep
    final_episodes: int = 10  # of each kind at the end of the run
    borrow: bool = False  # play in training's environments, for tasks of which only one can be open

    def __post_init__(self) -> None:
        for name, least in (("episodes", 0), ("envs", 1), ("final_episodes", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class EvalResult:
    returns: list[float]  # true returns, one an episode
    lengths: list[int]  # agent steps
    traces: list[Trace]  # of each environment's first episode

    @property
    def mean_return(self) -> float:
        return float(np.mean(self.returns))

    @property
    def mean_length(self) -> float:
        return float(np.mean(self.lengths))


@dataclass(frozen=True)
class Evaluation:
    """True returns of the agent at a phase's end, one an episode."""

    phase: int
    spent: float  # coins until then
    returns_mode: list[float]
    returns_sampled: list[float]

    @property
    def mean_mode(self) -> float:
        return float(np.mean(self.returns_mode))

    @property
    def mean_sampled(self) -> float:
        return float(np.mean(self.returns_sampled))


class Evaluator:
    """Plays whole episodes, in environments of its own or between training's episodes, with a vault of its own.

    Every run() plays the same start states, which no training episode has: results along a run compare like with like.
    """

    def __init__(
        self,
        task: str,
        env_config: EnvConfig,
        config: EvaluateConfig,
        seed: int,
        warn: Callable[[str], None] = to_stderr,
    ):
        self._task, self._env_config, self._config, self._warn = task, env_config, config, warn
        self._seed = derive_seed(seed, Channel.EVALUATION)
        self._lender: VectorEnv | None = None

    def borrow(self, env: VectorEnv) -> None:
        """Play in training's environments from now on, where that is configured.

        Whoever trains takes up the episodes that are open there by VectorEnv.go_on, as in a run that is resumed.
        """
        self._lender = env if self._config.borrow else None

    def episodes(self, is_final: bool) -> int:
        """How many are configured for a phase's end, or for the end of the run; 0: there is no evaluation."""
        return self._config.final_episodes if is_final and self._config.episodes else self._config.episodes

    @property
    def stage(self) -> Stage | None:
        """Where the first episode of the first environment begins again; None where there can be no other environment."""
        return None if self._lender else Stage(self._task, self._env_config, episode_seed(self._seed, 0, 0))

    def run(self, policy: Policy, episodes: int, mode: bool) -> EvalResult:
        """Play `episodes` episodes with the policy's mode or with sampled actions.

        Each environment plays a share that is fixed in advance: the first to finish would favour short episodes. One
        that does not end is cut, which is said. UserError from an environment that fails again and again.
        """
        if episodes < 1:
            raise UserError(f"evaluate: there are no episodes to play, got {episodes}")
        vault = RewardVault()
        env = self._open(vault, episodes)
        try:
            return _Play(env, vault, policy, mode, longest(self._task, self._env_config)).run(episodes, self._say_cut)
        finally:
            env.close()

    def _open(self, vault: RewardVault, episodes: int) -> VectorEnv:
        num = min(self._config.envs, episodes)
        if self._lender is not None:
            return self._lender.lend(min(num, self._lender.num), self._seed, vault, self._say)
        config = replace(self._env_config, num=num, heldout_share=0.0)
        try:
            return VectorEnv(self._task, config, self._seed, vault, warn=self._say)
        except UserError as error:
            raise UserError(
                f"{error}; if only so many can be open: evaluate.borrow=true plays in training's"
            ) from error

    def _say(self, line: str) -> None:
        self._warn(f"warning: in evaluation: {line.removeprefix('warning: ')}")

    def _say_cut(self, num: int, length: int) -> None:
        what = f"{num} of the episodes had not ended after {length} agent steps and were cut there"
        self._say(f"envs.time_limit: {self._task}: {what}: it needs a limit")


class _Play:
    """Episodes under way, side by side, until there are enough of them."""

    def __init__(self, env: VectorEnv, vault: RewardVault, policy: Policy, mode: bool, longest: int):
        self._env, self._policy, self._mode, self._longest = env, policy, mode, longest
        self._returns = EpisodeReturns(vault, env.num)
        self._recorders = [TraceRecorder(vault, index) for index in range(env.num)]
        self._length = np.zeros(env.num, np.int64)  # agent steps of the open episodes
        self._num_cut = 0

    def run(self, episodes: int, say_cut: Callable[[int, int], None]) -> EvalResult:
        """say_cut(number, length) is called where episodes had to be cut."""
        env = self._env
        shares = [len(range(index, episodes, env.num)) for index in range(env.num)]
        played: list[list[Episode]] = [[] for _ in shares]
        action, state = np.zeros((env.num, env.spaces.action_size), np.float32), None
        while any(len(done) < share for done, share in zip(played, shares, strict=True)):
            transition = self._limited(env.step(action))
            action, state = self._policy.act(transition.obs, state, transition.is_first, self._mode)
            for recorder in self._recorders:
                recorder.add(transition, action)
            for episode in self._returns.add(transition):
                played[episode.env].append(episode)
        if self._num_cut:
            say_cut(self._num_cut, self._longest)
        kept = [played[index % env.num][index // env.num] for index in range(episodes)]
        traces = [recorder.finished() for recorder in self._recorders]
        return EvalResult([one.episode_return for one in kept], [one.length for one in kept], traces)

    def _limited(self, transition: Transition) -> Transition:
        """The rows, the last ones where an episode has gone on for too long."""
        self._length = np.where(transition.is_first, 0, self._length + 1)
        is_cut = (self._length >= self._longest) & ~transition.is_last
        if not is_cut.any():
            return transition
        self._num_cut += int(is_cut.sum())
        self._env.cut(is_cut)
        return replace(transition, is_last=transition.is_last | is_cut)


def longest(task: str, config: EnvConfig) -> int:
    """Agent steps after which an episode is cut: all that it can have, where that is known."""
    return episode_length(task, config) or MAX_STEPS
