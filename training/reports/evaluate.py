"""True returns, for the eyes alone: nothing here is ever trained on or bought by."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...envs.episodes import Episode, EpisodeReturns, Trace, TraceRecorder
from ...envs.make import EnvConfig, episode_length, make_env, spaces_of
from ...envs.vault import RewardVault
from ...envs.vector import VectorEnv
from ...errors import UserError
from ...seeds import Channel, derive_seed

MAX_STEPS = 100_000  # agent steps after which an episode without a limit is taken to be endless


class VideoError(UserError):
    """A video that cannot be made here; the message says what is missing."""


class Policy(Protocol):
    def act(self, obs: dict[str, np.ndarray], state: Any, is_first: np.ndarray, mode: bool) -> tuple[np.ndarray, Any]:
        """obs key -> (N, *shape), is_first (N,) bool, state None at first -> action (N, A) float32, state."""
        ...


@dataclass(frozen=True)
class EvaluateConfig:
    episodes: int = 4  # of each kind (mode and sampled actions) at the end of a phase; 0: none, not at the end either
    envs: int = 4  # environments in lockstep
    final_episodes: int = 10  # of each kind at the end of the run

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
    """Plays whole episodes in environments of its own, with a vault of its own.

    Every run() plays the same start states, which no training episode has: results along a run compare like with like.
    """

    def __init__(
        self, task: str, env_config: EnvConfig, config: EvaluateConfig, seed: int, warn: Callable[[str], None] = print
    ):
        """warn: told of environments that fail."""
        self._task, self._env_config, self._config, self._warn = task, env_config, config, warn
        self._seed = derive_seed(seed, Channel.EVALUATION)

    def episodes(self, is_final: bool) -> int:
        """How many are configured for a phase's end, or for the end of the run."""
        return self._config.final_episodes if is_final and self._config.episodes else self._config.episodes

    def run(self, policy: Policy, episodes: int, mode: bool) -> EvalResult:
        """Play `episodes` episodes with the policy's mode or with sampled actions.

        Each environment plays a share that is fixed in advance: the first to finish would favour short episodes.
        UserError if the task's episodes do not end.
        """
        num = min(self._config.envs, episodes)
        vault = RewardVault()
        env = VectorEnv(
            self._task, replace(self._env_config, num=num, heldout_share=0.0), self._seed, vault, self._warn
        )
        try:
            return self._play(env, vault, policy, episodes, mode)
        finally:
            env.close()

    def _play(self, env: VectorEnv, vault: RewardVault, policy: Policy, episodes: int, mode: bool) -> EvalResult:
        returns, recorders = EpisodeReturns(vault, env.num), [TraceRecorder(vault, index) for index in range(env.num)]
        shares = [len(range(index, episodes, env.num)) for index in range(env.num)]
        played: list[list[Episode]] = [[] for _ in shares]
        longest = _longest(self._task, self._env_config) * max(shares)
        action, state = np.zeros((env.num, env.spaces.action_size), np.float32), None
        for _ in range(longest):
            transition = env.step(action)
            action, state = policy.act(transition.obs, state, transition.is_first, mode)
            for recorder in recorders:
                recorder.add(transition, action)
            for episode in returns.add(transition):
                played[episode.env].append(episode)
            if all(len(done) >= share for done, share in zip(played, shares, strict=True)):
                kept = [played[index % env.num][index // env.num] for index in range(episodes)]
                traces = [recorder.finished() for recorder in recorders]
                return EvalResult([one.episode_return for one in kept], [one.length for one in kept], traces)
        raise UserError(f"envs.time_limit: {self._task} has not ended after {longest} agent steps: it needs a limit")


def record_video(policy: Policy, task: str, env_config: EnvConfig, seed: int, path: Path, mode: bool = True) -> float:
    """Film one episode to `path` (.mp4), a picture an agent step, and return its true return.

    VideoError where imageio is not installed, the task cannot be drawn, or this machine has no way to draw.
    """
    path = Path(path)
    if path.suffix != ".mp4":
        raise VideoError(f"{path}: a video's name must end in .mp4")
    imageio = _imageio()
    env = make_env(task, replace(env_config, processes=False), derive_seed(seed, Channel.EVALUATION), render=True)
    frames_per_second = max(1, round((env.metadata.get("render_fps") or 30) / env_config.repeat))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Blocks of 2 pixels: the codec needs even sides; the default of 16 would resize most pictures.
        with imageio.get_writer(path, fps=frames_per_second, macro_block_size=2) as writer:
            return _film(env, policy, writer, task, _longest(task, env_config), mode)
    finally:
        env.close()


def _film(env: Any, policy: Policy, writer: Any, task: str, longest: int, mode: bool) -> float:
    obs, _ = env.reset()
    state, total, action_size = None, 0.0, spaces_of(env).action_size
    for step in range(longest):
        writer.append_data(_draw(env, task))
        batch = {key: value[None] for key, value in obs.items()}
        action, state = policy.act(batch, state, np.array([step == 0]), mode)
        assert action.shape == (1, action_size), f"action {action.shape}, expected (1, {action_size})"
        obs, reward, is_terminated, is_truncated, _ = env.step(action[0])
        total += float(reward)
        if is_terminated or is_truncated:
            writer.append_data(_draw(env, task))
            break
    return total


def _draw(env: Any, task: str) -> np.ndarray:
    try:
        picture = env.render()
    except Exception as error:  # every GL backend has exception types of its own for a machine that cannot draw
        raise VideoError(
            f"task: {task} cannot be drawn here: {type(error).__name__}: {error} (try MUJOCO_GL=egl or osmesa)"
        ) from error
    if picture is None:
        raise VideoError(f"task: {task} has no picture: its render() returned None")
    return np.asarray(picture, np.uint8)


def _imageio() -> Any:
    try:
        import imageio.v2 as imageio  # optional: the extra named in the message
        import imageio_ffmpeg  # noqa: F401  mp4 needs it, and imageio says so only after the first picture
    except ImportError as error:
        raise VideoError(
            "videos need imageio with ffmpeg: pip install 'tandem-worldmodel[video]', or -e '.[video]' in a checkout"
        ) from error
    return imageio


def _longest(task: str, config: EnvConfig) -> int:
    """Rows after which an episode must have ended, its reset row and some for a worker's restart included."""
    return 4 * (episode_length(task, config) + 1) if episode_length(task, config) else MAX_STEPS
