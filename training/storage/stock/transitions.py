"""Transitions of a data set or an earlier run as stock: copied into the run's folder once, their rewards withheld."""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ....envs.datasets.given import Given, Source
from ....envs.datasets.withheld import Withheld
from ....envs.records import Clip
from ....envs.vector import HeldoutShare
from ....errors import UserError
from ....worldmodel.replay.journal.stock import StockJournal
from ....worldmodel.replay.stock import StockEpisode
from .fit import Fit

TRANSITIONS, REWARDS = "transitions", "rewards"  # in the folder of the stock
KEY = "data.transitions"


@dataclass(frozen=True)
class Place:
    """Where an episode lies in the run's streams."""

    env: int
    step: int  # of its first row
    episode: int
    is_heldout: bool
    length: int  # transitions


@dataclass
class Places:
    """Of the episodes by their names; those of a run are named by stream and first row, ENV/STEP."""

    by_name: dict[str, Place] = field(default_factory=dict)
    _firsts: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, place: Place) -> None:
        self.by_name[name] = place
        env, _, step = name.partition("/")
        if env.isdecimal() and step.isdecimal():
            firsts = self._firsts[int(env)]
            firsts.insert(bisect_right(firsts, int(step)), int(step))

    def of(self, clip: Clip) -> tuple[Clip, Place] | None:
        """A clip of an earlier run where it lies now; None where its episode is not here."""
        firsts = self._firsts.get(clip.env, [])
        number = bisect_right(firsts, clip.step)
        if not number:
            return None
        first = firsts[number - 1]
        place = self.by_name[f"{clip.env}/{first}"]
        if clip.step - first > place.length:
            return None
        return Clip(place.env, place.step + clip.step - first, clip.length), place


class Shelf:
    """Gives episodes their places: each to the stream that has the fewest rows, and about a share of all held out."""

    def __init__(self, fit: Fit):
        self.fit, self.places = fit, Places()
        self._heldout = HeldoutShare(fit.heldout_share, fit.seed, fit.num_envs)
        self._next_step = np.zeros(fit.num_envs, np.int64)
        self._begun = np.zeros(fit.num_envs, np.int64)
        self.rows = np.zeros(
            (2, fit.num_envs), np.int64
        )  # of training and held-out episodes, their first ones included

    def put(self, given: Given) -> Place:
        env = int(self._next_step.argmin())
        episode, step = int(self._begun[env]), int(self._next_step[env])
        is_heldout = self._heldout.whole(env, episode, self._begun, len(given))
        if given.is_heldout is not None:
            is_heldout = given.is_heldout
        place = Place(env, step, episode, is_heldout, len(given))
        self.places.add(given.name, place)
        self._next_step[env] += len(given) + 1
        self._begun[env] += 1
        self.rows[int(is_heldout), env] += len(given) + 1
        return place

    def check(self, source: Source) -> None:
        """UserError where the replay cannot hold all, or training could not begin."""
        for name, rows, most in zip(("capacity", "heldout_capacity"), self.rows.max(1), self.fit.capacity, strict=True):
            if rows > most:
                number = int(self.rows[0 if name == "capacity" else 1].sum())
                raise UserError(
                    f"replay.{name}: must hold the {number:,} rows of {source.name}, which are there at once"
                )
        starts = int(np.maximum(self.rows[0] - self.fit.window, 0).sum())
        if starts < self.fit.starts:
            raise UserError(
                f"{KEY}: {source.name}: too few rows to learn from: {starts:,} windows of {self.fit.window} rows in training "
                f"episodes, {self.fit.starts:,} are needed"
            )


def take_transitions(stock: Path, source: Source, fit: Fit) -> Places:
    """Copy all episodes into the folder `stock`. UserError where one cannot be used or there are none."""
    kept, withheld, shelf = StockJournal(stock / TRANSITIONS), Withheld(stock / REWARDS), Shelf(fit)
    try:
        for given in source.episodes():
            place = shelf.put(given)
            numbers = (place.env, place.step, place.episode, place.is_heldout, given.is_terminal, given.name)
            kept.write(StockEpisode(*numbers, obs=given.obs, action=given.action))
            withheld.take(place.env, place.step, given.rewards)
    finally:
        kept.close()
        withheld.close()
    if not shelf.places.by_name:
        raise UserError(f"{KEY}: {source.name}: holds no episode with a transition")
    shelf.check(source)
    return shelf.places
