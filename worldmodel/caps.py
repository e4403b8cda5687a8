"""Caps on how steep a map may become: the largest singular value of a weight, held at a limit after every update."""

import torch
from torch import Tensor, nn


class SpectralCap(nn.Module):
    """Holds the largest singular value of `matrix * scale` at a limit, where matrix (..., P, Q) maps Q numbers to P and
    scale (..., 1, Q) is the gain of the RMS norm before it. Leading axes are maps of their own, blocks or members.

    Only a map that no norm follows is worth a cap. A norm after a map divides its size out again, so that capping a map
    in front of one changes next to nothing: of the recurrent core that leaves the gates, of a head its last map. There
    the gain of the norm in front belongs to the slope, or training would grow it and undo the cap. With SiLU between
    the two, whose slope is at most 1.1, the slope from the normalised features to the output is at most 1.1 * limit.
    Whether the whole world gets smoother is another matter, to be measured: the recurrent state, which the gates make, is
    normalised again wherever it is read.

    The weight itself is scaled down after an optimiser's step (a projection), instead of a quotient in every forward
    pass: scans, dreams and measurements see plain weights, and a weight does not drift up while its quotient stands
    still. One step of the power method an update; its vector is a buffer, so that a resumed run goes on with it. What it
    finds is at most the true value: after some updates the excess over the limit is a few percent at most.
    """

    direction: Tensor  # (*lead, Q, 1), the power method's vector

    def __init__(self, lead: tuple[int, ...], inputs: int, limit: float):
        super().__init__()
        self.limit = limit
        random = torch.Generator().manual_seed(0)  # its own: a capped run starts from the same weights as any other
        direction = torch.randn((*lead, inputs, 1), generator=random)
        self.register_buffer("direction", direction / direction.norm(dim=-2, keepdim=True))

    @torch.no_grad()
    def forward(self, matrix: Tensor, scale: Tensor, is_live: Tensor | None = None) -> None:
        """Scales `matrix` (a parameter or a view of one) in place. The device is asked for no number.

        Where `is_live`, a scalar bool on that device, is false nothing changes, the power method's vector neither.
        """
        gain = matrix * scale
        left = gain @ self.direction
        left = left / left.norm(dim=-2, keepdim=True).clamp(min=1e-30)
        right = gain.mT @ left
        size = right.norm(dim=-2, keepdim=True)  # (..., 1, 1)
        factor = self.limit / size.clamp(min=self.limit)
        is_moving = size > 0  # a head that is still zero has no direction
        if is_live is not None:
            is_moving, factor = is_moving & is_live, torch.where(is_live, factor, 1.0)
        self.direction.copy_(torch.where(is_moving, right / size, self.direction))
        matrix.mul_(factor)


def check_limits(config, *names: str) -> None:
    """ValueError naming the field unless each is None (no cap) or above 0."""
    for name in names:
        limit = getattr(config, name)
        if limit is not None and not limit > 0:
            raise ValueError(f"{name}: must be above 0 or null, got {limit}")
