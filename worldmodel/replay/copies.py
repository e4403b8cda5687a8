"""A label's own copy of what its reward model needs to see, so that evicting a transition never orphans a paid label."""

from dataclasses import dataclass

import numpy as np

from .rows.rings import Rings


@dataclass(frozen=True)
class Copy:
    """The labelled row and the burn-in rows before it, never of another episode: L = burn_in + 1 rows.

    Left-padded with zeros where the episode starts inside; is_first is then set on the first real row and the start
    latent is zero. It is also set where the rows before are gone. `context_step` names the row of the start latent.
    """

    env: int
    step: int  # the labelled row
    episode: int  # the episode's number in its stream
    is_heldout: bool
    context_step: int  # step of the row before the copy, -1 where there is none
    obs: dict[str, np.ndarray]  # key -> (L, *shape)
    prev_action: np.ndarray  # (L, A) float32
    is_first: np.ndarray  # (L,) bool
    start_deter: np.ndarray  # (D,) float32
    start_stoch: np.ndarray  # (S,) uint8, class indices

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """The L rows themselves by column, which other copies of the same rows share."""
        obs = {f"obs/{name}": values for name, values in self.obs.items()}
        return obs | {"prev_action": self.prev_action, "is_first": self.is_first}

    @property
    def num_padding(self) -> int:
        """Rows at the front that are none."""
        return int(self.is_first.argmax()) if self.is_first.any() else 0

    @property
    def steps(self) -> np.ndarray:
        """(L,) of the rows in their stream; of padding too."""
        return self.step + np.arange(1 - len(self.is_first), 1)


def copy_rows(rings: Rings, stream: np.ndarray, row: np.ndarray, burn_in: int, is_heldout: bool) -> list[Copy]:
    """Copies that end at the rows `row` (n,) of the rings `stream` (n,); all of them must still be held."""
    assert rings.is_alive(stream, row).all(), (stream, row)
    number, length = len(row), burn_in + 1
    # (n, L + 1): the row before the copy, then the copy. Rows of another episode, or gone, are not real.
    rows = row[:, None] + np.arange(-length, 1)
    same = rings.slot(stream, row)[:, None]
    is_held = rings.is_alive(stream[:, None], rows)
    slot = np.where(is_held, rings.slot(stream[:, None], rows), same)
    is_real = is_held & (rings.columns["episode"][slot] == rings.columns["episode"][same])

    def real(name: str, window: slice) -> np.ndarray:
        values, mask = rings.read(name, slot[:, window]), is_real[:, window]
        return np.where(mask.reshape(mask.shape + (1,) * (values.ndim - 2)), values, 0).astype(values.dtype)

    has_context = is_real[:, 0]
    is_first = real("is_first", slice(1, None))
    is_first[np.arange(number), is_real[:, 1:].argmax(1)] |= ~has_context
    context_step = np.where(has_context, rings.columns["step"][slot[:, 0]], -1)
    obs = {name: real(name, slice(1, None)) for name in rings.columns if name.startswith("obs/")}
    prev_action = real("action", slice(0, -1))
    start_deter, start_stoch = real("deter", slice(0, 1))[:, 0], real("stoch", slice(0, 1))[:, 0]
    step, episode = rings.columns["step"][same[:, 0]], rings.columns["episode"][same[:, 0]]
    return [
        Copy(
            env=int(stream[i]),
            step=int(step[i]),
            episode=int(episode[i]),
            is_heldout=is_heldout,
            context_step=int(context_step[i]),
            obs={name.removeprefix("obs/"): value[i] for name, value in obs.items()},
            prev_action=prev_action[i],
            is_first=is_first[i],
            start_deter=start_deter[i],
            start_stoch=start_stoch[i],
        )
        for i in range(number)
    ]


def run_lengths(rings: Rings, stream: np.ndarray, row: np.ndarray, most: int) -> np.ndarray:
    """(n,): rows with a reward, of one episode and still held, that end at the rows `row` (n,) of the rings `stream` (n,)."""
    rows = row[:, None] + np.arange(1 - most, 1)
    is_held = rings.is_alive(stream[:, None], rows)
    slot = np.where(is_held, rings.slot(stream[:, None], rows), rings.slot(stream, row)[:, None])
    episode, is_first = rings.columns["episode"][slot], rings.columns["is_first"][slot]
    is_real = is_held & (episode == episode[:, -1:]) & ~is_first
    return np.maximum(1, np.cumprod(is_real[:, ::-1], 1).sum(1))
