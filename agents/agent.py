"""The agent that acts: filters observations with the dynamics model and asks the actor."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..envs.records import Spaces
from ..worldmodel.dynamics import DynamicsModel
from ..worldmodel.reward import RewardModel
from ..worldmodel.rssm import Latent
from .actions import action_noise
from .actor_critic import ActorCritic
from .rewards import Rewards, rewards_along


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
    def __init__(
        self,
        dynamics: DynamicsModel,
        actor_critic: ActorCritic,
        spaces: Spaces,
        seed: int,
        reward_model: RewardModel | None = None,
    ):
        """reward_model: what `reward` asks; whoever only acts needs none."""
        self.dynamics, self.actor_critic, self.spaces, self.reward_model = dynamics, actor_critic, spaces, reward_model
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

    def reward(
        self,
        obs: dict[str, np.ndarray],
        prev_action: np.ndarray,
        is_first: np.ndarray | None = None,
        draws: int = 8,
    ) -> Rewards:
        """What the reward model says that rows are worth: by what was bought, no true reward is asked.

        obs: key -> (T, *shape), an episode's rows in their order from the reset on, as environments of `make_env` give them;
        prev_action (T, A): the action that led to each row, so row 0's plays no part. The reward of row t is for arriving
        there: a function of rows 0 .. t and of the actions that led to 1 .. t. is_first (T,) bool: where further episodes
        begin; row 0 always begins one. With an axis B in front of all three, B streams at once. draws: of the latents, over
        which a member's reward is averaged.

        -> Rewards, (T,) or (B, T) each, raw reward units, action repeats summed; 0 in first rows. Where labels were pairs
        without scored clips their unit and zero mean nothing. The same rows always have the same rewards, and the agent's
        own state and draws are left alone. ValueError for a shape, key or class that does not fit, and for what is not finite,
        named.
        """
        assert self.reward_model is not None, "an agent that only acts"
        self._check(obs)
        key, spec = next(iter(self.spaces.obs.items()))
        lead = obs[key].shape[: obs[key].ndim - len(spec.shape)]
        if len(lead) not in (1, 2) or 0 in lead or draws < 1:
            raise ValueError(f"obs: must have an axis T, or B and T, and draws be 1 or more, got {lead} and {draws}")
        first = np.zeros(lead, bool) if is_first is None else np.array(is_first, bool)
        expected = {one: (obs[one].shape, (*lead, *spec.shape)) for one, spec in self.spaces.obs.items()}
        expected |= {"prev_action": (np.shape(prev_action), (*lead, self.spaces.action_size))}
        for name, (shape, wanted) in (expected | {"is_first": (first.shape, lead)}).items():
            if shape != wanted:
                raise ValueError(f"{name}: is of shape {shape}, expected {wanted}")
        first[..., 0] = True
        given = {
            one: self._tensor(one, obs[one], lead, getattr(torch, spec.dtype)) for one, spec in self.spaces.obs.items()
        }
        led = np.where(first[..., None], 0.0, prev_action)  # nothing led to the first row
        actions = self._tensor("prev_action", led, lead, torch.float32)
        begins = self._tensor("is_first", first, lead, torch.bool)
        mean, deviation = rewards_along(self.dynamics, self.reward_model, given, actions, begins, draws)
        return Rewards(*(one.reshape(lead).float().cpu().numpy() for one in (mean, deviation)))

    def _tensor(self, name: str, rows: np.ndarray, lead: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """(B, T, ...). ValueError where a number is not finite in that type."""
        tensor = torch.as_tensor(np.ascontiguousarray(rows), device=self.device).to(dtype)
        is_finite = tensor.isfinite()
        if not is_finite.all():
            raise ValueError(f"{name}: must be finite in {dtype}, got {tensor[~is_finite][0]}")
        return tensor if len(lead) == 2 else tensor.unsqueeze(0)

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
