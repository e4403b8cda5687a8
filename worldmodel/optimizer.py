"""LaProp with adaptive gradient clipping, as DreamerV3 uses it: clip, divide by the RMS, then momentum."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class OptimizerConfig:
    lr: float = 4e-5
    warmup: int = 1000  # updates over which the learning rate rises linearly from 0
    agc: float = 0.3  # largest ratio of gradient norm to parameter norm, per tensor
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-20

    def __post_init__(self):
        if not self.lr > 0:
            raise ValueError(f"lr: must be above 0, got {self.lr}")
        if self.warmup < 0:
            raise ValueError(f"warmup: must be 0 or more updates, got {self.warmup}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: must be in [0, 1), got {getattr(self, name)}")
        if not self.eps > 0:
            raise ValueError(f"eps: must be above 0, got {self.eps}")
        if not self.agc > 0:
            raise ValueError(f"agc: must be above 0, got {self.agc}")


class LaProp(torch.optim.Optimizer):
    """Per tensor: u = g / max(1, |g| / (agc max(1e-3, |p|))); v = b2 v + (1-b2) u^2; r = u / (sqrt(v') + eps);
    m = b1 m + (1-b1) r; p -= lr m'. Primes are bias corrections. At update k of the warm-up lr is lr (k-1) / warmup,
    so the first update changes nothing. All counters are tensors: a step never asks the device for a number.

    Follows danijar/dreamerv3 embodied/jax/opt.py.
    """

    def __init__(self, params: Iterable[Tensor], config: OptimizerConfig, anneal: int = 0):
        """anneal: updates in the second half of which the learning rate falls linearly to a tenth; 0: it stays, as published."""
        super().__init__(params, {**config.__dict__, "anneal": anneal})

    @torch.no_grad()
    def step(self, closure=None, is_live: Tensor | None = None, part: Tensor | None = None) -> None:
        """Take a step, or none at all where `is_live`, a scalar bool on the parameters' device, is false. part: of the
        learning rate, a scalar there too.

        A step that is not taken leaves parameters, moments and counters as they are, bit for bit: whoever has nothing to
        learn from yet starts the warm-up when there is. The device alone looks at the flag.
        """
        assert closure is None
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            self._step(group, params, is_live, part)

    def check(self, state: dict, what: str) -> None:
        """ValueError, which begins with `what`, names what keeps a saved state from being loaded: settings are not changed."""
        for ours, theirs in zip(self.state_dict()["param_groups"], state["param_groups"], strict=True):
            for name in sorted(ours.keys() | theirs.keys()):
                if ours.get(name) != theirs.get(name):
                    raise ValueError(
                        f"{what}: {name} was {theirs.get(name)} at the checkpoint, expected {ours.get(name)}"
                    )
        params = [p for group in self.param_groups for p in group["params"]]
        for place, moments in state["state"].items():
            shape = tuple(params[place].shape)
            expected = {"count": (), "mu": shape, "nu": shape}
            saved = {name: tuple(value.shape) for name, value in moments.items()}
            if saved != expected:
                raise ValueError(f"{what}: parameter {place} has {saved} in the checkpoint, expected {expected}")

    def load_state_dict(self, state_dict: dict) -> None:
        """In place where there are moments already, as a recording of the step needs them. What the saved state has not
        begun to remember is nothing: zero."""
        own = {p: moments for p, moments in self.state.items()}
        super().load_state_dict(state_dict)
        for p, moments in own.items():
            saved = self.state.get(p, {})
            for name, value in moments.items():
                value.copy_(saved[name]) if name in saved else value.zero_()
            self.state[p] = moments

    def _state_of(self, p: Tensor) -> dict[str, Tensor]:
        if p not in self.state:
            self.state[p] = {
                "count": torch.zeros((), device=p.device),
                "mu": torch.zeros_like(p),
                "nu": torch.zeros_like(p),
            }
        return self.state[p]

    def _step(self, group: dict, params: list[Tensor], is_live: Tensor | None, part: Tensor | None) -> None:
        states = [self._state_of(p) for p in params]
        mu, nu = [s["mu"] for s in states], [s["nu"] for s in states]
        counts = [s["count"] for s in states]
        # Where it is not live each factor is the one that changes nothing: no copy of parameters or moments is made.
        if is_live is None:
            torch._foreach_add_(counts, 1.0)
        else:  # a list: a single tensor would be taken for a number, for which the host waits
            torch._foreach_add_(counts, [is_live.float()] * len(counts))
        count = counts[0]  # parameters of a group step together

        grads = [p.grad for p in params if p.grad is not None]  # all of them: the others were left out before
        update = clip_adaptively(params, grads, group["agc"])
        update = _chosen(is_live, update, [update[0].new_zeros(())] * len(update))
        torch._foreach_mul_(
            nu, group["beta2"] if is_live is None else torch.where(is_live, group["beta2"], 1.0).float()
        )
        torch._foreach_addcmul_(nu, update, update, 1 - group["beta2"])
        root = torch._foreach_div(nu, 1 - group["beta2"] ** count)
        torch._foreach_sqrt_(root)
        torch._foreach_add_(root, group["eps"])
        torch._foreach_div_(update, root)
        torch._foreach_lerp_(mu, _chosen(is_live, update, mu), 1 - group["beta1"])
        scale = learning_rate(group, count) / (1 - group["beta1"] ** count)
        if part is not None:
            scale = scale * part
        if is_live is not None:
            scale = torch.where(is_live, scale, 0.0)
        torch._foreach_sub_(params, torch._foreach_mul(mu, scale))


def _chosen(is_live: Tensor | None, live: list[Tensor], other: list[Tensor]) -> list[Tensor]:
    if is_live is None:
        return live
    return [torch.where(is_live, now, then) for now, then in zip(live, other, strict=True)]


def learning_rate(group: dict, count: Tensor) -> Tensor | float:
    """At the update that makes `count`, a scalar tensor: nothing here depends on its value on the host."""
    rate = group["lr"]
    if group["warmup"]:
        rate = rate * ((count - 1) / group["warmup"]).clamp(max=1.0)
    if group["anneal"]:
        rate = rate * (1.9 - 1.8 * count / group["anneal"]).clamp(min=0.1, max=1.0)
    return rate


def clip_adaptively(params: list[Tensor], grads: list[Tensor], agc: float) -> list[Tensor]:
    """Gradients with norm at most agc max(1e-3, |p|), whole tensors. -> new tensors."""
    limits = torch._foreach_norm(params)
    torch._foreach_clamp_min_(limits, 1e-3)
    torch._foreach_mul_(limits, agc)
    factors = torch._foreach_norm(grads)
    torch._foreach_div_(factors, limits)
    torch._foreach_clamp_min_(factors, 1.0)
    return list(torch._foreach_div(grads, factors))
