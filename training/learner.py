"""One update: the dynamics model, the reward model and the actor-critic each take one optimiser step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..agents.actions import action_noise
from ..agents.actor_critic import ActorCritic, Replayed
from ..envs.records import Spaces
from ..worldmodel.dynamics import DynamicsModel
from ..worldmodel.imagine import dream
from ..worldmodel.optimizer import LaProp
from ..worldmodel.ranks import ALONE, Ranks
from ..worldmodel.records import Batch, LabelBatch
from ..worldmodel.reward import RewardModel, fold_weights
from ..worldmodel.rssm import Latent


@dataclass(frozen=True)
class TrainConfig:
    updates: int | None = 10_000  # updates in all, spread over the settled spend; null: ratio rules
    ratio: float | None = None  # replayed steps for each agent step, DreamerV3's train_ratio; null: updates rules
    anneal: bool = False  # the learning rates fall to a tenth in the second half of `updates`; as published they stay
    batch: int = 16  # sequences
    length: int = 64  # steps a sequence
    label_batch: int = 128  # labels an update
    horizon: int = 15  # imagined steps

    def __post_init__(self):
        if (self.updates is None) == (self.ratio is None):
            raise ValueError(
                f"updates: set exactly one of updates and ratio, got updates={self.updates}, ratio={self.ratio}"
            )
        if self.updates is not None and self.updates < 1:
            raise ValueError(f"updates: must be at least 1, got {self.updates}")
        if self.ratio is not None and not self.ratio > 0:
            raise ValueError(f"ratio: must be above 0, got {self.ratio}")
        if self.anneal and self.updates is None:
            raise ValueError("anneal: needs train.updates, got a ratio")
        for name, least in (("batch", 1), ("length", 2), ("label_batch", 1), ("horizon", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class Noise:
    """All randomness of one update. B batch, T time, L labels of W rows each, N = B*T starts, H horizon, S groups."""

    observe: Tensor  # (B, T, S) uniform
    label: Tensor  # (L, W, S) uniform, twice L of pairs; L = 0 in coupled mode
    imagine: Tensor  # (N, H, S) uniform
    action: Tensor  # (N, H, *): a normal number for each of an action, then a uniform one for each of its choices

    @classmethod
    def draw(
        cls, generator: torch.Generator, train: TrainConfig, groups: int, spaces: Spaces, num_labels: int, rows: int
    ):
        starts, device = train.batch * train.length, generator.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=device)

        action = action_noise((starts, train.horizon), spaces, generator)
        return cls(
            uniform(train.batch, train.length, groups),
            uniform(num_labels, rows, groups),
            uniform(starts, train.horizon, groups),
            action,
        )


class Learner:
    """Holds the three models and their optimisers; `update` is a function of (parameters, batch, labels, noise)."""

    def __init__(
        self,
        dynamics: DynamicsModel,
        reward: RewardModel,
        actor_critic: ActorCritic,
        is_bfloat16: bool = False,
        anneal: int = 0,
    ):
        """anneal: updates in the second half of which the learning rates fall to a tenth, 0: never."""
        self.dynamics, self.reward, self.actor_critic = dynamics, reward, actor_critic
        self.is_bfloat16 = is_bfloat16
        self.ranks: Ranks = ALONE
        self.optimizers = {
            "dynamics": LaProp(dynamics.parameters(), dynamics.config.optimizer, anneal),
            "reward": LaProp(reward.parameters(), reward.config.optimizer, anneal),
            "actor_critic": LaProp(actor_critic.trained_parameters(), actor_critic.config.optimizer, anneal),
        }
        # On the models' device, read by the host now and then: updates skipped, and those since the last that was not.
        self.skipped, self.skipped_in_a_row = (torch.zeros((), device=self._device) for _ in range(2))

    def update(self, batch: Batch, labels: LabelBatch | None, noise: Noise) -> tuple[dict[str, Tensor], Latent]:
        """Labels are None in coupled mode, where batch.reward is what trains the reward. Tensors on the models' device.

        The reward model takes no step on an update without any label: its warm-up begins with the first one. Labels that
        are mostly noise move it by part of a step (LabelReplay.step), or it would learn the noise by heart. Where the loss,
        a label or a gradient is not finite nothing takes a step: no parameter changes, and no moment or running statistic.
        Where ranks share the update these are its parts, and each rank takes the same step.
        -> metrics (detached scalars) and the new latents (B, T, ...) for the replay.
        """
        scale = self.actor_critic.return_scale.state()
        loss, metrics, latent = self.backward(batch, labels, noise)
        told, weight = (batch.reward, batch.reward_weight) if labels is None else (labels.value, labels.weight)
        assert told is not None and weight is not None, "coupled batches carry both"
        # A label that is no number would be taken for the largest there is. The flags stay on the device.
        is_finite, has_labels = loss.isfinite() & told.isfinite().all(), weight.any()
        grads = self._gradients()
        is_finite, has_labels, metrics = self.ranks.reduce(grads, is_finite, has_labels, metrics)
        # A gradient too large for its norm to be finite is none.
        is_finite = is_finite & torch.stack(torch._foreach_norm(grads)).isfinite().all()
        is_live = {"dynamics": is_finite, "reward": is_finite & has_labels, "actor_critic": is_finite}
        part = {"reward": metrics["reward/step"]}
        for name, model in self.models_by_name().items():
            self.optimizers[name].step(is_live=is_live[name], part=part.get(name))
            model.cap_slopes(is_live[name])
        self.actor_critic.update_slow_critic(is_finite)
        self.actor_critic.return_scale.keep(is_finite, scale)
        self._count(is_finite)
        return {**metrics, "train/skipped": (~is_finite).float()}, latent

    def backward(
        self, batch: Batch, labels: LabelBatch | None, noise: Noise
    ) -> tuple[Tensor, dict[str, Tensor], Latent]:
        """An update up to its gradients, which lie in the parameters afterwards. -> the sum of all losses, metrics, latents."""
        with torch.autocast(noise.observe.device.type, torch.bfloat16, enabled=self.is_bfloat16):
            loss, metrics, latent = self._losses(batch, labels, noise)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return loss, metrics, latent

    def _gradients(self) -> list[Tensor]:
        return [p.grad for model in self.models() for p in model.parameters() if p.grad is not None]

    def _count(self, is_finite: Tensor) -> None:
        skipped = (~is_finite).float()
        self.skipped += skipped
        self.skipped_in_a_row.add_(1.0).mul_(skipped)

    @property
    def _device(self) -> torch.device:
        return self.dynamics.rssm.in_deter.weight.device

    def _losses(self, batch: Batch, labels: LabelBatch | None, noise: Noise):
        dynamics_loss, metrics, observed = self.dynamics(batch, noise.observe)
        latent = observed.latent.detach()  # dreams start here; behaviour must not shape the model
        if labels is None:
            assert batch.reward is not None and batch.reward_weight is not None, "coupled batches carry both"
            reward_loss, reward_metrics = self.reward(observed.feat, batch.reward, batch.reward_weight, self.ranks)
            with torch.no_grad():  # rows whose answer has not come yet: the prediction stands in
                predicted = self.reward.predict(observed.feat)
            reward = torch.where(batch.reward_weight > 0, batch.reward, predicted)
            replayed = Replayed(observed.feat, reward, batch.is_last, batch.is_terminal)
        else:
            reward_loss, reward_metrics = self.reward_loss(labels, noise.label)
            feat = observed.feat.detach()  # the critic must not shape the latent: reward would leak into it
            with torch.no_grad():  # predicted, never the true one; the critic's target carries no gradient
                reward = self.reward.predict(feat)
            replayed = Replayed(feat, reward, batch.is_last, batch.is_terminal)
        start = Latent(latent.deter.flatten(0, 1), latent.stoch.flatten(0, 1))  # (N, ...)
        imagined = dream(self.dynamics, self.reward, self.actor_critic.explore, start, noise.imagine, noise.action)
        # Weights that autocast cached inside no_grad have no graph: some versions of torch would give them no gradient.
        torch.clear_autocast_cache()
        behaviour_loss, behaviour_metrics = self.actor_critic(imagined, replayed, self.ranks)
        metrics = {**metrics, **reward_metrics, **behaviour_metrics}
        return dynamics_loss + reward_loss + behaviour_loss, metrics, latent

    def reward_loss(self, labels: LabelBatch, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The reward model on bought labels, its features encoded afresh and without gradient into the dynamics model.

        noise (L, W, S), of pairs (2 L, W, S)."""
        weight = fold_weights(labels.fold, labels.weight, self.reward.config.members)
        if labels.rows is None:
            feat = self.dynamics.encode(labels, noise)  # (L, F)
            return self.reward(feat, labels.value, weight, self.ranks)
        feat = self.dynamics.encode_rows(labels, noise[: len(labels.value)], labels.length)  # (L, R, F)
        if labels.right is not None:
            right = self.dynamics.encode_rows(labels.right, noise[len(labels.value) :], labels.length)
            feat = torch.stack([feat, right])  # (2, L, R, F)
            # Whoever leaves out the episode of either clip learns nothing from the pair.
            weight = weight * (fold_weights(labels.right.fold, labels.weight, self.reward.config.members) > 0)
        return self.reward.judge(labels, feat, weight, self.ranks)

    def models(self) -> list[DynamicsModel | RewardModel | ActorCritic]:
        return list(self.models_by_name().values())

    def models_by_name(self) -> dict[str, DynamicsModel | RewardModel | ActorCritic]:
        """As a checkpoint and the optimisers name them."""
        return {"dynamics": self.dynamics, "reward": self.reward, "actor_critic": self.actor_critic}

    def is_finite(self) -> bool:
        """Whether every parameter, statistic and moment is. Waits for the device."""
        tensors = [t for t in self.tensors() if t.is_floating_point()]
        norms = torch._foreach_norm([t.detach().float() for t in tensors], float("inf"))
        return bool(torch.stack(norms).isfinite().all())

    def tensors(self) -> list[Tensor]:
        """All that an update may change, the learner's own: they stay where they are in memory as long as it lives."""
        parts = [t for model in self.models() for t in (*model.parameters(), *model.buffers())]
        moments = [t for one in self.optimizers.values() for state in one.state.values() for t in state.values()]
        return [*parts, *moments, self.skipped, self.skipped_in_a_row]

    @property
    def num_parameters(self) -> int:
        """Trained numbers."""
        return sum(p.numel() for model in self.models() for p in model.parameters() if p.requires_grad)

    @property
    def _parts(self) -> dict[str, torch.nn.Module | LaProp]:
        optimizers = {f"{name}_optimizer": optimizer for name, optimizer in self.optimizers.items()}
        return {**self.models_by_name(), **optimizers}

    def state_dict(self) -> dict:
        """Parameters, statistics, moments, counters. The tensors are the learner's own, which the next update changes."""
        counters = {"skipped": torch.stack([self.skipped, self.skipped_in_a_row])}
        return {name: part.state_dict() for name, part in self._parts.items()} | counters

    def named_state(self) -> dict[str, Tensor]:
        """Each parameter, statistic and moment by its name, such as dynamics_optimizer.3.mu; the learner's own."""
        state = self.state_dict()
        models = {f"{name}.{key}": value for name in self.models_by_name() for key, value in state[name].items()}
        moments = {
            f"{name}_optimizer.{place}.{key}": value
            for name in self.optimizers
            for place, one in state[f"{name}_optimizer"]["state"].items()
            for key, value in one.items()
        }
        return models | moments

    def load_state_dict(self, state: dict) -> None:
        """In place, since recordings know where the tensors lie. ValueError names what differs; nothing is changed then."""
        state = {"skipped": torch.zeros(2)} | state  # version 0.2 did not keep it
        expected = {*self._parts, "skipped"}
        if state.keys() != expected:
            raise ValueError(f"learner: the checkpoint holds {sorted(state)}, expected {sorted(expected)}")
        for name, part in self._parts.items():
            if isinstance(part, LaProp):
                part.check(state[name], name)
            else:
                check_tensors(part.state_dict(), state[name], name)
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        for own, saved in zip((self.skipped, self.skipped_in_a_row), state["skipped"], strict=True):
            own.copy_(saved)


def check_tensors(own: dict[str, Tensor], saved: dict[str, Tensor], what: str) -> None:
    """ValueError names the first tensor that is missing, unknown or of another shape or type."""
    for name in sorted(own.keys() | saved.keys()):
        ours, theirs = (_form(one[name]) if name in one else "nothing" for one in (own, saved))
        if ours != theirs:
            raise ValueError(f"{what}: {name} is {theirs} in the checkpoint, expected {ours}")


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
