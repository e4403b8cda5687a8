"""A run's policy and its reward model as modules that torch.export can take down: tensors in, tensors out, nothing else.

torch.export and not TorchScript, which torch has deprecated: newer Pythons no longer run it. A program is a graph of torch's own
operators with the numbers beside it, it names no class of ours, and batch sizes and lengths of episodes stay free in it.
"""

from torch import Tensor, nn
from torch._higher_order_ops.scan import scan  # the one way to keep an episode's length free in a graph

from ...agents.agent import Agent, AgentState, StepNoise
from ...agents.rewards import Rows, members_along, over_members
from ...worldmodel.rssm import RSSM, Latent

Tensors = dict[str, Tensor]


class PolicyProgram(nn.Module):
    """One step of N environments."""

    def __init__(self, agent: Agent):
        super().__init__()
        self._agent = agent
        self.encoder, self.rssm = agent.dynamics.encoder, filtering(agent.dynamics.rssm)
        self.actor = agent.actor_critic.actor

    def forward(self, obs: Tensors, state: Tensors, is_first: Tensor, noise: Tensors) -> tuple[Tensor, Tensors]:
        """obs: key -> (N, *shape); state: deter (N, D), stoch (N, S, K), action (N, A); is_first (N,) bool; noise: latent
        (N, S) and, where actions are sampled, action (N, *). -> action (N, A), state"""
        before = AgentState(Latent(state["deter"], state["stoch"]), state["action"])
        drawn = StepNoise(noise["latent"].unsqueeze(1), noise.get("action"))
        after = self._agent.step(obs, before, is_first, drawn)
        return after.action, {"deter": after.latent.deter, "stoch": after.latent.stoch, "action": after.action.clone()}


class RewardProgram(nn.Module):
    """Rows of an episode, or of several one after the other; a long one may come in pieces."""

    def __init__(self, agent: Agent):
        super().__init__()
        assert agent.reward_model is not None, "an agent that only acts"
        self._agent = agent
        self.encoder, self.rssm = agent.dynamics.encoder, filtering(agent.dynamics.rssm)
        self.reward = agent.reward_model

    def forward(
        self, obs: Tensors, prev_action: Tensor, is_first: Tensor, state: Tensors, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensors]:
        """obs: key -> (T, *shape); prev_action (T, A); is_first (T,) bool; state: deter (draws, D), stoch (draws, S, K);
        noise (draws, T, S). -> mean (T,), disagreement (T,), state after these rows"""
        rows = Rows(
            {key: one.unsqueeze(0) for key, one in obs.items()}, prev_action.unsqueeze(0), is_first.unsqueeze(0)
        )
        start = Latent(state["deter"], state["stoch"])
        members, end = members_along(self._agent.dynamics, self.reward, rows, start, noise, self._observe)
        mean, deviation = over_members(members, rows.is_first)
        return mean[0], deviation[0], {"deter": end.deter, "stoch": end.stoch}

    def _observe(
        self, start: Latent, action: Tensor, embed: Tensor, is_first: Tensor, noise: Tensor
    ) -> tuple[Latent, None]:
        return scanned(self._agent.dynamics.rssm, start, action, embed, is_first, noise), None


def filtering(rssm: RSSM) -> nn.ModuleDict:
    """Without the prior, which only dreams ask: what a program registers is what its file holds."""
    return nn.ModuleDict({name: part for name, part in rssm.named_children() if not name.startswith("prior_")})


def scanned(rssm: RSSM, start: Latent, action: Tensor, embed: Tensor, is_first: Tensor, noise: Tensor) -> Latent:
    """The latents of `RSSM.observe`, by a loop that stays one in a graph."""
    given = rssm.scan_inputs(start, action, embed, is_first)

    def step(carried: list[Tensor], row: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        (deter, stoch), (keep, action_in, embed_in, uniform) = carried, row
        deter, stoch, _ = rssm.observe_step(deter, stoch, keep, action_in, embed_in, uniform, given.weights, given.own)
        return [deter, stoch], [deter.clone(), stoch.clone()]  # a loop in a graph gives nothing away twice

    rows = [one.transpose(0, 1) for one in (*given.rows, noise)]  # (T, B, ...)
    _, (deters, stochs) = scan(step, [start.deter, start.stoch.flatten(-2)], rows)
    stoch = stochs.transpose(0, 1).unflatten(-1, (rssm.stoch, rssm.classes))
    return Latent(deters.transpose(0, 1), stoch)
