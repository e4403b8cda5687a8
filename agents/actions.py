"""What an actor's outputs say about actions: a bounded normal for each number, a categorical for each choice, independent.

An action vector is laid out as in `Spaces`: numbers, then one-hot choices. So are outputs: means, standard deviations, logits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..envs.records import Spaces
from ..worldmodel.distributions import (
    categorical_entropy,
    categorical_log_probs,
    categorical_sample,
    normal_entropy,
    normal_log_prob,
    normal_params,
)
from ..worldmodel.networks import joined


@dataclass(frozen=True)
class Actions:
    """Pure functions of an actor's raw outputs (..., outputs), float32; A action numbers in all."""

    spaces: Spaces
    unimix: float = 0.0  # uniform share of every choice
    min_std: float = 0.1
    max_std: float = 1.0

    @property
    def outputs(self) -> int:
        return 2 * self.spaces.num_continuous + sum(self.spaces.factors)

    def sample(self, raw: Tensor, noise: Tensor) -> Tensor:
        """noise (..., noise_size) as of `action_noise` -> (..., A); numbers may lie outside of [-1, 1]."""
        number = self.spaces.num_continuous
        # One by one: a graph that unbinds an empty slice cannot be loaded from a file.
        uniform = [noise[..., number + place] for place in range(len(self.spaces.factors))]
        parts = [categorical_sample(p.exp(), u) for p, u in zip(self._choices(raw), uniform, strict=True)]
        if number:
            mean, std = self._normal(raw)
            parts.insert(0, mean + std * noise[..., :number])
        return joined(parts)

    def mode(self, raw: Tensor) -> Tensor:
        """The most likely action -> (..., A)"""
        parts = [torch.zeros_like(p).scatter_(-1, p.argmax(-1, keepdim=True), 1.0) for p in self._choices(raw)]
        return joined([self._normal(raw)[0], *parts] if self.spaces.num_continuous else parts)

    def expected(self, raw: Tensor) -> Tensor:
        """The mean action, differentiable: probabilities where actions are chosen -> (..., A)"""
        parts = [p.exp() for p in self._choices(raw)]
        return joined([self._normal(raw)[0], *parts] if self.spaces.num_continuous else parts)

    def log_prob(self, raw: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of actions (..., A), and entropy: (...) each, summed over numbers and choices."""
        numbers, *chosen = action.split([self.spaces.num_continuous, *self.spaces.factors], -1)
        terms = [((p * one).sum(-1), categorical_entropy(p)) for p, one in zip(self._choices(raw), chosen, strict=True)]
        if self.spaces.num_continuous:
            mean, std = self._normal(raw)
            terms.append((normal_log_prob(numbers, mean, std).sum(-1), normal_entropy(std).sum(-1)))
        log_prob, entropy = terms[0]
        for more in terms[1:]:
            log_prob, entropy = log_prob + more[0], entropy + more[1]
        return log_prob, entropy

    def _normal(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = raw[..., : 2 * self.spaces.num_continuous].chunk(2, -1)
        return normal_params(mean, std, self.min_std, self.max_std)

    def _choices(self, raw: Tensor) -> list[Tensor]:
        """Log-probabilities (..., K) of each choice."""
        if not self.spaces.factors:
            return []
        logits = raw[..., 2 * self.spaces.num_continuous :].split(self.spaces.factors, -1)
        return [categorical_log_probs(one, self.unimix) for one in logits]


def action_noise(lead: tuple[int, ...], spaces: Spaces, generator: torch.Generator) -> Tensor:
    """What actions are drawn from: (*lead, noise_size), a normal number for each of an action, then a uniform one for each
    of its choices."""
    number, device = spaces.num_continuous, generator.device
    parts = []
    if number:
        parts.append(torch.randn((*lead, number), generator=generator, device=device))
    if spaces.factors:
        parts.append(torch.rand((*lead, len(spaces.factors)), generator=generator, device=device))
    return joined(parts)
