"""Held-out rows as a block of windows of one length, all of them fit to be measured on."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ...worldmodel.records import Batch, Window

BURN_IN = 16  # rows of a window that begins inside an episode before its latent is trusted
SCORED = 48  # rows of a window that are scored


@dataclass(frozen=True)
class Block(Window):
    """B windows of T rows, each inside one episode; shorter ones are padded at their end.

    is_first is true at every window's start, where the start latent is zero: filtering begins there.
    """

    is_scored: Tensor  # (B, T) bool: a row of the episode, past the burn-in
    episode: Tensor  # (B,) int64, which of the episodes given a window is from

    def runs(self, length: int) -> tuple[Tensor, Tensor]:
        """Non-overlapping runs of `length` rows after a start row, all of them scored. -> window, start row (W,) each.

        The first begins at the window's first scored row, wherever in its episode that is.
        """
        scored = self.is_scored.sum(1)  # (B,) of each window, one after the other
        number = (scored - 1).clamp(min=0) // length
        window = torch.arange(len(scored), device=scored.device).repeat_interleave(number)
        nth = torch.arange(len(window), device=scored.device) - (number.cumsum(0) - number)[window]
        return window, self.is_scored.int().argmax(1)[window] + length * nth


def block_of(episodes: list[Batch], most: int) -> Block | None:
    """Windows from whole episodes (batches of one), every row scored once, at most `most` of them, spread evenly.

    None without episodes.
    """
    cuts = [
        (number, episode, start)
        for number, episode in enumerate(episodes)
        for start in range(0, episode.is_first.shape[1], SCORED)
    ]
    if not cuts:
        return None
    kept = cuts if len(cuts) <= most else [cuts[i * len(cuts) // most] for i in range(most)]
    windows = [_window(*cut) for cut in kept]
    stacked = {
        one.name: torch.stack([getattr(window, one.name) for window in windows])
        for one in fields(Block)
        if one.name != "obs"
    }
    return Block(obs={key: torch.stack([window.obs[key] for window in windows]) for key in windows[0].obs}, **stacked)


def _window(number: int, episode: Batch, start: int) -> Block:
    """Rows start .. start + SCORED of an episode with BURN_IN rows before them, without the batch axis."""
    length = episode.is_first.shape[1]
    begin, end = max(0, start - BURN_IN), min(length, start + SCORED)
    is_first = episode.is_first.new_zeros(BURN_IN + SCORED)
    is_first[0] = True
    is_scored = torch.zeros_like(is_first)
    is_scored[start - begin : end - begin] = True
    prev_action = _padded(episode.prev_action[0, begin:end])
    prev_action[0] = 0
    return Block(
        obs={key: _padded(value[0, begin:end]) for key, value in episode.obs.items()},
        prev_action=prev_action,
        is_first=is_first,
        start_deter=torch.zeros_like(episode.start_deter[0]),
        start_stoch=torch.zeros_like(episode.start_stoch[0]),
        is_scored=is_scored,
        episode=torch.tensor(number, device=is_scored.device),
    )


def _padded(rows: Tensor) -> Tensor:
    padded = rows.new_zeros((BURN_IN + SCORED, *rows.shape[1:]))
    padded[: len(rows)] = rows
    return padded
