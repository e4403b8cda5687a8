"""Golden numbers of the imagination losses, the replay-value loss and the slow critic.

The imagination losses are checked twice: number by number through the pure functions, and through ActorCritic.forward
on a feature that already holds the recorded network outputs, so what it puts together is checked with its gradients.
"""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tandem.agents.actor_critic import (
    ActorCritic,
    ActorCriticConfig,
    Replayed,
    imagined_returns,
    value_losses,
    weighted_policy_loss,
)
from tandem.agents.returns import PercentileScale, lambda_return
from tandem.envs.records import ObsSpec, Spaces
from tandem.worldmodel.distributions import twohot_bins, twohot_mean
from tandem.worldmodel.imagine import Imagined

DISCOUNT = 332 / 333
CONFIG = ActorCriticConfig()
LOSS, GRADIENT = (2e-5, 2e-5), (2e-5, 1e-4)
REPLAY_LOSS = (1e-5, 1e-5)
SLOW = (1e-6, 5e-6)


class Columns(nn.Module):
    """A network whose output is already written in some columns of the feature."""

    def __init__(self, columns: slice):
        super().__init__()
        self.columns = columns

    def forward(self, feat: Tensor) -> Tensor:
        return feat[..., self.columns]


@dataclass(frozen=True)
class Recorded:
    """One variant's inputs. N rollouts of H steps; all but the action and the scale are leaves with gradient."""

    leaves: dict[str, Tensor]  # the file's name -> (N, H+1, ...)
    policy_leaves: tuple[str, ...]  # those that make up the policy's raw output
    action: Tensor  # (N, H, A)
    scale: PercentileScale
    discount: float  # 1 where the continue prediction holds it

    @property
    def feat(self) -> Tensor:
        """What the agent's networks read their outputs from: value logits, slow logits, raw policy output."""
        keys = ("value_logits", "slow_logits", *self.policy_leaves)
        return torch.cat([self.leaves[key] for key in keys], -1)

    def agent(self) -> ActorCritic:
        bins = self.leaves["value_logits"].shape[-1]
        width = self.action.shape[-1]
        spaces = Spaces({"state": ObsSpec((1,))}, width, (width,) if "disc_logits" in self.policy_leaves else ())
        agent = ActorCritic(CONFIG, spaces, self.feat.shape[-1], DISCOUNT)
        agent.critic = Columns(slice(0, bins))
        agent.slow_critic = Columns(slice(bins, 2 * bins))
        agent.actor = Columns(slice(2 * bins, None))
        agent.return_scale = self.scale
        return agent


def recorded(g: dict[str, Tensor], variant: str) -> Recorded:
    is_discrete = variant in ("disc", "nocontdisc")
    policy_leaves = ("disc_logits",) if is_discrete else ("cont_mean_raw", "cont_std_raw")
    action = F.one_hot(g["disc_act"].long(), g["disc_logits"].shape[-1]).float() if is_discrete else g["cont_act"]
    scale = PercentileScale()
    low, high = g[f"{variant}/retnorm_before"]
    scale.low.copy_(low)
    scale.high.copy_(high)
    keys = ("rew", "con", "value_logits", "slow_logits", *policy_leaves)
    leaves = {key: g[key].requires_grad_() for key in keys}
    return Recorded(leaves, policy_leaves, action[:, :-1], scale, DISCOUNT if variant == "nocontdisc" else 1.0)


def losses(inputs: Recorded, is_slow_target: bool = False) -> dict[str, Tensor]:
    """Everything the file records, by its names, from our pure functions."""
    bins = twohot_bins(inputs.leaves["value_logits"].shape[-1])
    value, slow_value = (twohot_mean(inputs.leaves[key], bins) for key in ("value_logits", "slow_logits"))
    target = slow_value if is_slow_target else value
    cont = inputs.leaves["con"] * inputs.discount  # our functions want the discount inside cont
    returns = imagined_returns(inputs.leaves["rew"], cont, target, CONFIG.lam)
    scale = inputs.scale.update(returns)
    advantage = (returns - target[:, :-1]) / scale
    weight = cont.cumprod(1) / inputs.discount
    log_prob, entropy = inputs.agent().log_prob(inputs.feat[:, :-1], inputs.action)
    value_logits = inputs.leaves["value_logits"][:, :-1]
    value_loss = value_losses(value_logits.log_softmax(-1), returns, slow_value[:, :-1], bins, CONFIG.slow_scale)
    return {
        "val": value,
        "slowval": slow_value,
        "ret": returns,
        "retnorm_after": torch.stack([inputs.scale.low, inputs.scale.high]),
        "roffset": inputs.scale.low,
        "rscale": scale,
        "adv": advantage,
        "weight": weight,
        "logpi": log_prob,
        "ent": entropy,
        "policy_loss": weighted_policy_loss(weight[:, :-1], log_prob, advantage, entropy, CONFIG.entropy),
        "value_loss": weight[:, :-1].detach() * value_loss,
    }


def gradients(loss: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of the sum of `loss`, by the file's names of the inputs."""
    grads = torch.autograd.grad(loss.sum(), leaves.values(), allow_unused=True, materialize_grads=True)
    return {key.removeprefix("cont_"): grad for key, grad in zip(leaves, grads, strict=True)}


@pytest.mark.parametrize("variant", ["cont", "disc", "slowtar", "nocontdisc"])
def test_golden_imagination_losses_number_by_number(golden, check, variant):
    g = golden("imag_loss")
    ours = losses(recorded(g, variant), is_slow_target=variant == "slowtar")
    named = {key.split("/")[1] for key in g if key.startswith(f"{variant}/")}
    assert named - {"grad", "gradmax", "retnorm_before"} == set(ours)
    for key, value in ours.items():
        check(value, g[f"{variant}/{key}"], *LOSS, what=key)


@pytest.mark.parametrize("variant", ["cont", "disc"])
@pytest.mark.parametrize("name", ["policy", "value"])
def test_golden_imagination_gradients(golden, check, variant, name):
    g = golden("imag_loss")
    inputs = recorded(g, variant)
    for key, ours in gradients(losses(inputs)[f"{name}_loss"], inputs.leaves).items():
        whole, largest = (f"{variant}/{kind}/{name}_wrt_{key}" for kind in ("grad", "gradmax"))
        if whole in g:
            check(ours, g[whole], *GRADIENT, what=whole)
        else:
            check(ours.abs().max(), g[largest], 0, 0, what=largest)


@pytest.mark.parametrize("variant", ["cont", "disc"])
def test_golden_losses_as_the_actor_critic_puts_them_together(golden, check, variant):
    g = golden("imag_loss")
    inputs = recorded(g, variant)
    agent, leaves = inputs.agent(), inputs.leaves
    all_last = torch.ones(1, len(inputs.action))  # replayed steps that are all last: their value loss has weight 0
    replayed = Replayed(inputs.feat[:, 0].detach().unsqueeze(0), torch.zeros_like(all_last), all_last, all_last)
    loss, metrics = agent(Imagined(inputs.feat, inputs.action, leaves["rew"], leaves["con"]), replayed)

    policy_loss, value_loss = g[f"{variant}/policy_loss"], g[f"{variant}/value_loss"]
    check(metrics["actor/loss"], policy_loss.mean(), *LOSS, what="mean policy loss")
    check(metrics["critic/loss"], value_loss.mean(), *LOSS, what="mean value loss")
    check(loss, policy_loss.mean() + value_loss.mean(), *LOSS, what="loss")
    after = torch.stack([agent.return_scale.low, agent.return_scale.high])
    check(after, g[f"{variant}/retnorm_after"], *LOSS, what="return percentiles")
    for key, ours in gradients(loss * policy_loss.numel(), leaves).items():  # recorded are gradients of sums
        arrays = [g[name] for name in (f"{variant}/grad/{head}_wrt_{key}" for head in ("policy", "value")) if name in g]
        check(ours, sum(arrays, torch.zeros_like(ours)), *GRADIENT, what=f"gradient of the loss to {key}")


@pytest.mark.parametrize("is_coupled", [False, True])
def test_golden_replay_value_loss_and_gradients(golden, check, is_coupled):
    """Coupled, the critic reads the replayed features; decoupled, it gets its logits at the starts: the same steps."""
    g = golden("repl_loss")
    leaves = {key: g[key].requires_grad_() for key in ("value_logits", "slow_logits", "reward", "boot")}
    logits = leaves["value_logits"]
    agent = ActorCritic(CONFIG, Spaces({"state": ObsSpec((1,))}, 1), logits.shape[-1], DISCOUNT)
    agent.critic = Columns(slice(None))
    feat, starts = (logits, logits.detach()) if is_coupled else (logits.detach(), logits)
    replayed = Replayed(feat, leaves["reward"], g["last"], g["term"])
    slow_value = twohot_mean(leaves["slow_logits"], agent.bins).flatten()
    loss = agent.replay_value_loss(replayed, leaves["boot"].flatten(), starts.flatten(0, 1).log_softmax(-1), slow_value)
    check(loss, g["repval_loss"], *REPLAY_LOSS, what="loss")
    grads = gradients(loss, leaves)
    check(grads.pop("value_logits"), g["grad_value_logits"], *GRADIENT, what="gradient to the value logits")
    for key, grad in grads.items():
        check(grad.abs().max(), g[f"gradmax_{key}"], 0, 0, what=f"gradient to {key}")


def test_golden_replay_returns(golden, check):
    g = golden("repl_loss")
    returns = lambda_return(g["reward"], g["term"], g["last"], g["boot"], DISCOUNT, CONFIG.lam)
    check(returns, g["ret"], *REPLAY_LOSS, what="return")


def test_golden_slow_critic_follows_the_critic(golden, check):
    g = golden("retnorm")
    inputs, outputs = g["slow/step0_src_kernel"].shape
    agent = ActorCritic(CONFIG, Spaces({"state": ObsSpec((1,))}, 1), 1, DISCOUNT)
    for slow, source in zip(agent.slow_critic.parameters(), agent.critic.parameters(), strict=True):
        assert torch.equal(slow, source)  # a copy at first
    agent.critic, agent.slow_critic = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)
    load(agent.slow_critic, g, "slow/step0_slow")
    num_steps = sum(key.endswith("src_bias") for key in g) - 1
    for step in range(1, num_steps + 1):
        load(agent.critic, g, f"slow/step{step}_src")
        agent.update_slow_critic()
        check(agent.slow_critic.weight.T, g[f"slow/step{step}_slow_kernel"], *SLOW, what=f"kernel {step}")
        check(agent.slow_critic.bias, g[f"slow/step{step}_slow_bias"], *SLOW, what=f"bias {step}")


def load(linear: nn.Linear, g: dict[str, Tensor], name: str) -> None:
    linear.weight.data.copy_(g[f"{name}_kernel"].T)
    linear.bias.data.copy_(g[f"{name}_bias"])
