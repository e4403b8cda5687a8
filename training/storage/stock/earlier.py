"""An earlier run as a data set: what it played, with the rewards that its vault withheld."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from ....budget.ledger import Ledger
from ....envs.datasets.given import Given
from ....envs.datasets.withheld import Earlier
from ....envs.spaces.bounds import Bounds
from ....errors import UserError
from ....links import refuse_links
from ....worldmodel.replay.journal.stock import StockJournal
from ....worldmodel.replay.journal.transitions import TransitionJournal
from ....worldmodel.replay.tick import Ticks
from ...settings import read_config
from ..card import RunCard
from ..folder import SAVED_AS, RunFolder
from .transitions import REWARDS, TRANSITIONS

Piece = tuple[Ticks, int, int, int]  # rows from one to another of a stream


def is_run(place: Path) -> bool:
    return (place / SAVED_AS).is_file()


def card_of(key: str, source: Path) -> RunCard:
    """The card of the run that the setting `key` names. UserError in one line."""
    if not is_run(source):
        raise UserError(f"{key}: {source} is no run's folder, it has no {SAVED_AS}")
    refuse_links(source)
    card = RunCard.find(source)
    if card is None:
        raise UserError(f"{key}: {source}: is of a version that kept no card of its spaces")
    return card


class EarlierRun:
    """Its stock first, then what it collected. Its own choice of held-out episodes stays: its labels keep to it."""

    has_rewards = True
    bounds: Bounds | None = None

    def __init__(self, key: str, name: str):
        self.name, self._folder = name, RunFolder(Path(name))
        self.spaces = card_of(key, self._folder.path).spaces
        envs = read_config(self._folder.config).envs
        self.repeat, self._has_heldout = envs.repeat, envs.heldout_share > 0

    @property
    def num_transitions(self) -> int:
        with closing(Ledger.open(self._folder.ledger)) as ledger:
            return ledger.units("transition")

    def episodes(self) -> Iterator[Given]:
        rewards = Earlier(self._folder.stock / REWARDS, self._folder.vault)
        for one in StockJournal(self._folder.stock / TRANSITIONS).read():
            name, worth = f"{one.env}/{one.step}", rewards.rewards(one.env, one.step + 1, len(one))
            yield Given(name, one.obs, one.action, worth, one.is_terminal, self._kept(one.is_heldout))
        for pieces in _episodes(TransitionJournal(self._folder.transitions).read()):
            if sum(end - start for _, _, start, end in pieces) > 1:
                given = _given(pieces, rewards)
                yield replace(given, is_heldout=self._kept(given.is_heldout))

    def _kept(self, is_heldout: bool | None) -> bool | None:
        return is_heldout if self._has_heldout else None


def _episodes(blocks: Iterable[Ticks]) -> Iterator[list[Piece]]:
    """Pieces of each episode, in the order in which they end; those that had not ended at the end last."""
    opened: dict[int, list[Piece]] = {}
    for block in blocks:
        for env in range(block.step.shape[1]):
            starts = np.flatnonzero(block.is_first[:, env]).tolist()
            for start, end in zip([0, *starts], [*starts, len(block)], strict=True):
                if start in starts and env in opened:
                    yield opened.pop(env)
                if start < end:
                    opened.setdefault(env, []).append((block, env, start, end))
    yield from opened.values()


def _given(pieces: list[Piece], rewards: Earlier) -> Given:
    block, env, start, _ = pieces[0]
    last, _, _, end = pieces[-1]
    step = int(block.step[start, env])
    obs = {key: np.concatenate([one.obs[key][a:b, env] for one, _, a, b in pieces]) for key in block.obs}
    action = np.concatenate([one.action[a:b, env] for one, _, a, b in pieces])[:-1]
    is_terminal, is_heldout = bool(last.is_terminal[end - 1, env]), bool(block.is_heldout[start, env])
    return Given(f"{env}/{step}", obs, action, rewards.rewards(env, step + 1, len(action)), is_terminal, is_heldout)
