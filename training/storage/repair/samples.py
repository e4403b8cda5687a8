"""What a row looks like, and copies of rows for questions that are lost."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from ....envs.records import DTYPES, Clip, ObsSpec, Spaces
from ....worldmodel.replay.copies import Copy
from ....worldmodel.replay.journal.transitions import ticks_of
from ....worldmodel.replay.label_store import Asked
from ....worldmodel.replay.stock import restock
from ....worldmodel.replay.tick import Ticks
from ....worldmodel.replay.transitions import TransitionReplay
from ...config import Config
from ..card import RunCard
from ..stock.mend import stocked
from .bench import Bench
from .logs import whole_frames
from .questions import CopyOf


def copier(bench: Bench, config: Config) -> CopyOf:
    """Copies of rows as the label replay wants them; in coupled mode, which keeps none, None for a row that is there."""

    @cache
    def replay() -> TransitionReplay | None:
        return _replay(bench, config)

    def copy_of(clip: Clip) -> Copy | None:
        held = replay()
        if held is None or clip.env >= held.num_streams:
            raise KeyError(f"{clip}: not in the replay")
        copy = held.copy(clip, config.labels.burn_in + config.labeler.rows - 1)
        return None if config.mode == "coupled" else copy

    return copy_of


def blank_tick(config: Config, card: RunCard | None, asked: dict[str, Asked], first: Mapping[int, int]) -> Ticks | None:
    """A tick of zeros at the streams' first steps, as wide as the card says, or else a question's copy; None where neither tells."""
    copy = next((item.copy for item in asked.values() if item.copy is not None), None)
    if card is not None:
        obs = {name: np.zeros(spec.shape, spec.dtype) for name, spec in card.spaces.obs.items()}
        return _blank(config, obs, card.spaces.action_size, first)
    if copy is None:
        return None
    obs = {name: np.zeros_like(values[-1]) for name, values in copy.obs.items()}
    return _blank(config, obs, copy.prev_action.shape[-1], first)


def _blank(config: Config, obs: dict[str, np.ndarray], action_size: int, first: Mapping[int, int]) -> Ticks:
    num, no = config.envs.num, np.zeros((1, config.envs.num), bool)
    return Ticks(
        obs={name: np.broadcast_to(value, (1, num, *value.shape)) for name, value in obs.items()},
        is_first=no,
        is_last=no,
        is_terminal=no,
        step=np.array([[first.get(env, 0) for env in range(num)]], np.int64),
        is_heldout=no,
        action=np.zeros((1, num, action_size), np.float32),
        deter=np.zeros((1, num, config.dynamics.deter), np.float32),
        stoch=np.zeros((1, num, config.dynamics.stoch), np.uint8),
    )


def _replay(bench: Bench, config: Config) -> TransitionReplay | None:
    """Of all episodes and ticks that can be read; None where there are none."""
    held, episodes = None, list(stocked(bench.folder))
    if episodes:
        spaces = Spaces({name: _spec(one[None]) for name, one in episodes[0].obs.items()}, episodes[0].action.shape[-1])
        latent = (config.dynamics.deter, config.dynamics.stoch)
        held = TransitionReplay(config.replay, spaces, config.envs.num, config.train.length, *latent)
        restock(held, episodes)
    for frame in whole_frames(bench.folder.transitions):
        ticks = ticks_of(frame)
        if held is None:
            held = TransitionReplay(
                config.replay,
                _spaces(ticks),
                ticks.step.shape[1],
                config.train.length,
                ticks.deter.shape[-1],
                ticks.stoch.shape[-1],
            )
        held.extend(ticks)
    return held


def _spaces(ticks: Ticks) -> Spaces:
    """As far as a replay asks: shapes and types."""
    return Spaces({name: _spec(values) for name, values in ticks.obs.items()}, ticks.action.shape[-1])


def _spec(values: np.ndarray) -> ObsSpec:
    """values (K, N, *shape)"""
    if values.dtype == DTYPES["image"]:
        return ObsSpec(values.shape[2:], kind="image")
    return ObsSpec(values.shape[2:], int(values.dtype == DTYPES["category"]))
