"""Lambda-returns and the running scale of returns."""

import torch
from torch import Tensor, nn


def lambda_return(reward: Tensor, term: Tensor, last: Tensor, boot: Tensor, discount: float, lam: float) -> Tensor:
    """All (B, T), reward and flags those of ARRIVING at t (index 0 unused) -> (B, T-1).

    R_t = r_{t+1} + discount (1 - term_{t+1}) [(1 - lam (1 - last_{t+1})) boot_{t+1} + lam (1 - last_{t+1}) R_{t+1}].
    term may be a probability. danijar/dreamerv3 agent.py, lambda_return.
    """
    live = discount * (1.0 - term[:, 1:].float())
    mix = lam * (1.0 - last[:, 1:].float())
    direct = reward[:, 1:] + live * (1.0 - mix) * boot[:, 1:]
    carry = live * mix
    value, values = boot[:, -1], []
    for direct_t, carry_t in zip(reversed(direct.unbind(1)), reversed(carry.unbind(1)), strict=True):
        value = direct_t + carry_t * value
        values.append(value)
    return torch.stack(values[::-1], 1)


class PercentileScale(nn.Module):
    """Exponential averages of the 5th and 95th percentile, started at 0 and not debiased; scale = max(limit, hi - lo)."""

    low: Tensor
    high: Tensor
    quantiles: Tensor  # (2,)

    def __init__(self, rate: float = 0.01, limit: float = 1.0):
        super().__init__()
        self.rate, self.limit = rate, limit
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("quantiles", torch.tensor([0.05, 0.95]), persistent=False)

    @torch.no_grad()
    def update(self, values: Tensor) -> Tensor:
        """Take in values of any shape, then give the scale, a scalar tensor."""
        low, high = torch.quantile(values.float().flatten(), self.quantiles)
        self.low.lerp_(low, self.rate)
        self.high.lerp_(high, self.rate)
        return self.scale()

    def state(self) -> tuple[Tensor, Tensor]:
        """Copies, for `keep`."""
        return self.low.clone(), self.high.clone()

    def keep(self, is_live: Tensor, before: tuple[Tensor, Tensor]) -> None:
        """Go back to `before` where `is_live`, a scalar bool, is false."""
        for now, then in zip((self.low, self.high), before, strict=True):
            torch.where(is_live, now, then, out=now)

    def scale(self) -> Tensor:
        return (self.high - self.low).clamp(min=self.limit)
