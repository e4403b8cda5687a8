"""Held-out rows as a block of windows of one length, all of them fit to be measured on."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ...worldmodel.records import Batch, Window

BURN_IN = 16  # rows of a window that begins inside an episode before its latent is trusted
SCORED = 48  # rows of a window that are scored


@dataclass(frozen=True)
class Block(Window):
    """B windows of T rows, as many as the longest has, each inside one episode; shorter ones are padded at their end.

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
    spans = [_span(episode, start) for _, episode, start in kept]
    rows = max(end - begin for begin, end in spans)
    windows = [_window(*cut, *span, rows) for cut, span in zip(kept, spans, strict=True)]
    stacked = {
        one.name: torch.stack([getattr(window, one.name) for window in windows])
        for one in fields(Block)
        if one.name != "obs"
    }
    return Block(obs={key: torch.stack([window.obs[key] for window in windows]) for key in windows[0].obs}, **stacked)


def _span(episode: Batch, start: int) -> tuple[int, int]:
    """Rows start .. start + SCORED of an episode, with BURN_IN rows before them, as far as it has them."""
    return max(0, start - BURN_IN), min(episode.is_first.shape[1], start + SCORED)


def _window(number: int, episode: Batch, start: int, begin: int, end: int, rows: int) -> Block:
    """Rows begin .. end of an episode, scored from `start` on and padded to so many rows, without the batch axis."""
    is_first = episode.is_first.new_zeros(rows)
    is_first[0] = True
    is_scored = torch.zeros_like(is_first)
    is_scored[start - begin : end - begin] = True
    prev_action = _padded(episode.prev_action[0, begin:end], rows)
    prev_action[0] = 0
    return Block(
        obs={key: _padded(value[0, begin:end], rows) for key, value in episode.obs.items()},
        prev_action=prev_action,
        is_first=is_first,
        start_deter=torch.zeros_like(episode.start_deter[0]),
        start_stoch=torch.zeros_like(episode.start_stoch[0]),
        is_scored=is_scored,
        episode=torch.tensor(number, device=is_scored.device),
    )


def _padded(x: Tensor, rows: int) -> Tensor:
    padded = x.new_zeros((rows, *x.shape[1:]))
    padded[: len(x)] = x
    return padded
