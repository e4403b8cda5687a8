"""The agent that acts: filters observations with the dynamics model and asks the actor."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..envs.records import Spaces
from ..worldmodel.dynamics import DynamicsModel
from ..worldmodel.rssm import Latent
from .actions import action_noise
from .actor_critic import ActorCritic


@dataclass(frozen=True)
class StepNoise:
    """All randomness of one step of N environments."""

    observe: Tensor  # (N, 1, S) uniform
    action: Tensor | None  # (N, *) as of `action_noise`; None: the most likely action is taken


@dataclass(frozen=True)
class AgentState:
    """What the agent remembers between steps of N environments."""

    latent: Latent  # (N, ...)
    action: Tensor  # (N, A), the last one


class Agent:
    def __init__(self, dynamics: DynamicsModel, actor_critic: ActorCritic, spaces: Spaces, seed: int):
        self.dynamics, self.actor_critic, self.spaces = dynamics, actor_critic, spaces
        self.device = dynamics.rssm.in_deter.weight.device
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.step: Callable[[dict[str, Tensor], AgentState, Tensor, StepNoise], AgentState] = (
            self._step
        )  # or a recording

    @torch.inference_mode()
    def act(
        self,
        obs: dict[str, np.ndarray],
        state: AgentState | None = None,
        is_first: np.ndarray | None = None,
        mode: bool = True,
    ) -> tuple[np.ndarray, AgentState]:
        """One step. obs: key -> (N, *shape), or without N for a single environment, as one of `make_env` gives them: vectors,
        categories counted from 0, images of bytes; is_first (N,), all true without a state.

        -> action (N, A) float32 in [-1, 1] or one-hot (sampled actions may lie outside; environments clip), and the state
        to hand in next time. mode=False samples. ValueError for a key that is missing, of another shape, or of no such class.
        """
        self._check(obs)
        key, spec = next(iter(self.spaces.obs.items()))
        is_single = obs[key].ndim == len(spec.shape)
        seen = {k: torch.as_tensor(obs[k], device=self.device) for k in self.spaces.obs}
        if is_single:
            seen = {k: v.unsqueeze(0) for k, v in seen.items()}
        seen = {k: v.to(getattr(torch, self.spaces.obs[k].dtype)) for k, v in seen.items()}
        num = len(next(iter(seen.values())))
        if state is None:
            rssm = self.dynamics.rssm
            state = AgentState(rssm.initial(num), torch.zeros(num, self.spaces.action_size, device=self.device))
            is_first = np.ones(num, bool)
        first = torch.zeros(num, dtype=torch.bool) if is_first is None else torch.from_numpy(np.atleast_1d(is_first))
        state = self.step(seen, state, first.to(self.device), self._noise(num, mode))
        result = state.action[0] if is_single else state.action
        return result.float().cpu().numpy(), state

    def _check(self, obs: dict[str, np.ndarray]) -> None:
        if missing := set(self.spaces.obs) - set(obs):
            raise ValueError(f"obs: missing {sorted(missing)}, got {sorted(obs)}")
        for key, spec in self.spaces.obs.items():
            shape = tuple(obs[key].shape)
            if shape[len(shape) - len(spec.shape) :] != spec.shape:
                raise ValueError(f"obs: {key!r} is of shape {shape}, expected {spec.shape} with or without an axis N")
            if spec.kind == "category" and (obs[key].min() < 0 or obs[key].max() >= spec.classes):
                raise ValueError(f"obs: {key!r} has classes 0 to {spec.classes - 1}, got {obs[key].tolist()}")

    def _noise(self, num: int, mode: bool) -> StepNoise:
        shape = (num, 1, self.dynamics.rssm.stoch)
        observe = torch.rand(shape, generator=self.generator, device=self.device)
        return StepNoise(observe, None if mode else action_noise((num,), self.spaces, self.generator))

    def _step(self, obs: dict[str, Tensor], state: AgentState, is_first: Tensor, noise: StepNoise) -> AgentState:
        """A function of its tensors alone. obs: key -> (N, *shape), is_first (N,)"""
        rssm, embed = self.dynamics.rssm, self.dynamics.encoder(obs).unsqueeze(1)
        observed, _ = rssm.observe(state.latent, state.action.unsqueeze(1), embed, is_first.unsqueeze(1), noise.observe)
        latent = Latent(observed.deter[:, 0], observed.stoch[:, 0])
        if noise.action is None:
            return AgentState(latent, self.actor_critic.mode(latent.feat))
        return AgentState(latent, self.actor_critic.policy(latent.feat, noise.action))
