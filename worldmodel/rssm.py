"""The recurrent state-space model: block-GRU core, prior, posterior, and the scan over observations.

Everything that does not depend on the recurrent state is computed for all steps at once, outside the scan.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .distributions import categorical_kl, categorical_probs, categorical_sample, straight_through
from .fused.elementwise import UPDATE_BIAS, gated, gated_in_place, in_blocks, is_plain_cpu, norm_silu
from .fused.scan import Rows, Weights, scan
from .networks import MLP, BlockLinear, Linear, RMSNorm


@dataclass(frozen=True)
class Latent:
    """The model's state. deter (..., D); stoch (..., S, K), one-hot."""

    deter: Tensor
    stoch: Tensor

    @property
    def feat(self) -> Tensor:
        """(..., D + S*K)"""
        return self.feat_in(None)

    def feat_in(self, out: Tensor | None) -> Tensor:
        """The same, written to `out` where there is one, as which it is given back."""
        return torch.cat([self.deter, self.stoch.flatten(-2)], -1, out=out)

    def detach(self) -> "Latent":
        return Latent(self.deter.detach(), self.stoch.detach())


class RSSM(nn.Module):
    """Core, prior and posterior. `action` is always the one that led INTO a step."""

    def __init__(self, action: int, embed: int, config):
        super().__init__()
        self.stoch, self.classes, self.unimix = config.stoch, config.classes, config.unimix
        deter, hidden, blocks = config.deter, config.hidden, config.blocks
        self.blocks = blocks
        self.in_deter, self.in_deter_norm = Linear(deter, hidden), RMSNorm(hidden)
        self.in_stoch, self.in_stoch_norm = Linear(self.stoch * self.classes, hidden), RMSNorm(hidden)
        self.in_action, self.in_action_norm = Linear(action, hidden), RMSNorm(hidden)
        self.core = BlockLinear(deter + blocks * 3 * hidden, deter, blocks)  # input of a block: [its deter, 3 hidden]
        self.core_norm = RMSNorm(deter)
        self.gates = BlockLinear(deter, 3 * deter, blocks)
        self.prior_mlp = MLP(deter, hidden, config.prior_layers)
        self.prior_logit = Linear(hidden, self.stoch * self.classes)
        self.posterior_in, self.posterior_norm = Linear(deter + embed, hidden), RMSNorm(hidden)
        self.posterior_logit = Linear(hidden, self.stoch * self.classes)

    def initial(self, batch: int) -> Latent:
        """The zero state, (B, D) and (B, S, K)."""
        like = self.in_deter.weight
        return Latent(
            like.new_zeros(batch, like.shape[1]),
            like.new_zeros(batch, self.stoch, self.classes),
        )

    def observe(
        self, start: Latent, action: Tensor, embed: Tensor, is_first: Tensor, noise: Tensor
    ) -> tuple[Latent, Tensor]:
        """Filter a sequence. action (B, T, A), embed (B, T, E), is_first (B, T) bool, noise (B, T, S) uniform.

        -> posterior Latent (B, T, ...), posterior log-probabilities (B, T, S, K), in float32.
        """
        given = self.scan_inputs(start, action, embed, is_first)
        deter, stoch, probs = self.scan(start.deter, start.stoch.flatten(-2), given, noise)
        return Latent(deter, stoch.unflatten(-1, (self.stoch, self.classes))), log_of(probs)

    def scan(self, deter: Tensor, stoch: Tensor, given: "ScanInputs", noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """deter (B, D), stoch (B, S*K), noise (B, T, S) -> deter (B, T, D), stoch (B, T, S*K), probabilities (B, T, S, K).

        Where a CPU learns in float32 the steps share one way back (fused/scan.py)."""
        keep, action_in, embed_in = given.rows
        if not (torch.is_grad_enabled() and is_plain_cpu(deter, stoch, *given.rows, given.own, self.gates.bias)):
            return self.scan_by_steps(deter, stoch, given, noise)
        weights = Weights(
            *(self.in_deter.weight, self.in_deter.bias, self.in_stoch.weight, self.in_stoch.bias),
            torch.stack([self.in_deter_norm.scale, self.in_stoch_norm.scale]),
            *(given.weights.hidden, given.weights.own, self.core_norm.scale, self.gates.weight, self.gates.bias),
            *(given.own, self.posterior_norm.scale, self.posterior_logit.weight, self.posterior_logit.bias),
        )
        return scan(Rows(keep, action_in, embed_in, noise), deter, stoch, weights, self.unimix)

    def scan_by_steps(
        self, deter: Tensor, stoch: Tensor, given: "ScanInputs", noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `scan`, one `observe_step` after the other."""
        deters, stochs, mixed = [], [], []
        steps = zip(*(x.unbind(1) for x in (*given.rows, noise)), strict=True)
        for keep_t, action_t, embed_t, noise_t in steps:
            deter, stoch, probs = self.observe_step(
                deter, stoch, keep_t, action_t, embed_t, noise_t, given.weights, given.own
            )
            deters.append(deter)
            stochs.append(stoch)
            mixed.append(probs)
        return torch.stack(deters, 1), torch.stack(stochs, 1), torch.stack(mixed, 1)

    def scan_inputs(self, start: Latent, action: Tensor, embed: Tensor, is_first: Tensor) -> "ScanInputs":
        """All of `observe` that does not depend on the recurrent state; shapes as there."""
        deter_size = start.deter.shape[-1]
        keep = 1.0 - is_first.to(start.deter.dtype).unsqueeze(-1)  # (B, T, 1)
        weights = self.scan_weights()
        action_in = self.action_input(action * keep, weights)  # (B, T, D)
        own, w_embed = cast_once(self.posterior_in.weight).split([deter_size, embed.shape[-1]], 1)
        embed_in = F.linear(embed, w_embed, self.posterior_in.bias)  # (B, T, hidden)
        return ScanInputs((keep, action_in, embed_in), weights, own)

    def observe_step(
        self,
        deter: Tensor,
        stoch: Tensor,
        keep: Tensor,
        action_in: Tensor,
        embed_in: Tensor,
        noise: Tensor,
        weights: "ScanWeights",
        own: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One posterior step. deter (B, D), stoch (B, S*K), keep (B, 1), action_in (B, D), embed_in (B, hidden), noise
        (B, S); own (hidden, D), the posterior's weight for deter. -> deter, stoch, probabilities (B, S, K)"""
        deter = self.core_step(deter * keep, stoch * keep, action_in, weights)
        hidden = norm_silu(F.linear(deter, own) + embed_in, self.posterior_norm.scale)
        probs = self.probs(self.posterior_logit(hidden))
        return deter, straight_through(categorical_sample(probs, noise), probs).flatten(-2), probs

    def imagine_step(self, latent: Latent, action: Tensor, noise: Tensor, weights: "ScanWeights") -> Latent:
        """One prior step. action (N, A), noise (N, S) uniform; `weights` from scan_weights(), once a rollout."""
        stoch = latent.stoch.flatten(-2)
        if not torch.is_grad_enabled() and is_plain_cpu(latent.deter, stoch, action, weights.own):
            deter = self._dreamed_step(latent.deter, stoch, action, weights)
        else:
            deter = self.core_step(latent.deter, stoch, self.action_input(action, weights), weights)
        probs = self.prior_probs(deter)
        stoch = categorical_sample(probs, noise)
        return Latent(deter, straight_through(stoch, probs) if torch.is_grad_enabled() else stoch)

    def prior(self, deter: Tensor) -> Tensor:
        """(..., D) -> log-probabilities (..., S, K), float32"""
        return log_of(self.prior_probs(deter))

    def prior_probs(self, deter: Tensor) -> Tensor:
        """(..., D) -> probabilities (..., S, K), float32"""
        return self.probs(self.prior_logit(self.prior_mlp(deter)))

    def scan_weights(self) -> "ScanWeights":
        """The core's weight cut by input. The three hidden inputs are the same for every block, so their part is one
        dense (3 hidden, D) matrix and nothing is repeated."""
        deter, hidden = self.in_deter.weight.shape[1], self.in_deter.weight.shape[0]
        own, shared = cast_once(self.core.weight).split([deter // self.blocks, 3 * hidden], 1)
        shared = shared.transpose(0, 1).reshape(3 * hidden, deter)
        return ScanWeights(own, shared, shared[: 2 * hidden], shared[2 * hidden :])

    def action_input(self, action: Tensor, weights: "ScanWeights") -> Tensor:
        """The action's share of the core's pre-activation, bias included: (..., A) -> (..., D)"""
        hidden = norm_silu(self.in_action(bounded(action)), self.in_action_norm.scale)
        return hidden @ weights.action + self.core.bias

    def core_step(self, deter: Tensor, stoch: Tensor, action_in: Tensor, weights: "ScanWeights") -> Tensor:
        """deter (N, D), stoch (N, S*K), action_in (N, D) -> next deter (N, D)"""
        n, size = deter.shape
        x_deter = norm_silu(self.in_deter(deter), self.in_deter_norm.scale)
        x_stoch = norm_silu(self.in_stoch(stoch), self.in_stoch_norm.scale)
        x = torch.addmm(action_in, torch.cat([x_deter, x_stoch], -1), weights.hidden)
        blocks = deter.view(n, self.blocks, -1).transpose(0, 1)  # (g, N, D/g)
        x = x + torch.bmm(blocks, weights.own).transpose(0, 1).reshape(n, size)
        x = norm_silu(x, self.core_norm.scale).view(n, self.blocks, -1).transpose(0, 1)
        return gated(torch.baddbmm(self.gates.bias.view(self.blocks, 1, -1), x, self.gates.weight), deter)

    def _dreamed_step(self, deter: Tensor, stoch: Tensor, action: Tensor, weights: "ScanWeights") -> Tensor:
        """As `core_step` with the action itself, on a CPU that learns nothing from it: one product of all three inputs, and
        few passes over the many rows of a dream."""
        inputs = (deter, stoch, bounded(action))
        layers = (self.in_deter, self.in_stoch, self.in_action)
        hidden = deter.new_empty(len(deter), len(layers), self.in_deter.out_features)
        for place, (given, layer) in enumerate(zip(inputs, layers, strict=True)):
            hidden[:, place] = layer(given)
        scales: list[Tensor] = [norm.scale for norm in (self.in_deter_norm, self.in_stoch_norm, self.in_action_norm)]
        hidden = norm_silu(hidden, torch.stack(scales)).flatten(1)
        core = torch.addmm(self.core.bias, hidden, weights.shared)
        blocks = in_blocks(deter, self.blocks)
        in_blocks(core, self.blocks).add_(torch.bmm(blocks, weights.own))
        core = in_blocks(norm_silu(core, self.core_norm.scale), self.blocks)
        bias = self.gates.bias.view(self.blocks, 3, -1).clone()
        bias[:, 2] -= UPDATE_BIAS
        gates = torch.baddbmm(bias.view(self.blocks, 1, -1), core, self.gates.weight)
        return gated_in_place(gates, deter)

    def probs(self, logits: Tensor) -> Tensor:
        """(..., S*K) -> (..., S, K), float32"""
        return categorical_probs(logits.float().unflatten(-1, (self.stoch, self.classes)), self.unimix)


def bounded(action: Tensor) -> Tensor:
    """Numbers beyond 1 are 1, with their sign; what they are divided by has no gradient."""
    return action / torch.clamp(action.detach().abs(), min=1.0)


def log_of(probs: Tensor) -> Tensor:
    """Finite also where no uniform share keeps a probability from 0."""
    return probs.clamp(min=torch.finfo(probs.dtype).tiny).log()


def cast_once(weight: Tensor) -> Tensor:
    """Under autocast, the weight in its type: autocast would cast a part of a weight anew at every step of a scan."""
    device_type = weight.device.type
    if torch.is_autocast_enabled(device_type):
        return weight.to(torch.get_autocast_dtype(device_type))
    return weight


@dataclass(frozen=True)
class ScanWeights:
    """Views of RSSM.core.weight. own (g, D/g, D/g); shared (3 hidden, D), of it hidden (2 hidden, D) for deter and stoch and
    action (hidden, D)."""

    own: Tensor
    shared: Tensor
    hidden: Tensor
    action: Tensor


@dataclass(frozen=True)
class ScanInputs:
    """What the scan over observations goes by: rows (B, T, ...) are keep, the actions' share and the embeddings' share."""

    rows: tuple[Tensor, Tensor, Tensor]
    weights: ScanWeights
    own: Tensor  # (hidden, D), the posterior's weight for deter


def kl_losses(posterior: Tensor, prior: Tensor, free_nats: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities (..., S, K) -> dynamics and representation loss (...): summed over S, then floored."""
    dyn = categorical_kl(posterior.detach(), prior).sum(-1)  # trains the prior alone
    rep = categorical_kl(posterior, prior.detach()).sum(-1)  # trains the posterior alone
    return dyn.clamp(min=free_nats), rep.clamp(min=free_nats)
