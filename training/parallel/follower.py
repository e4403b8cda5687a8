"""The life of a process that is not rank 0: it has a learner, does its part of every update, and says nothing."""

import signal
from typing import Any

import torch

from ..build import make_learner, resolve_device
from ..execution.records import tensors_of
from ..learner import Learner
from ..models import Models
from .group import Group
from .place import Place
from .shares import Inputs, unpacked
from .team import digest, take_gpu, whole

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def follow(place: Place) -> None:
    """Do what rank 0 says until it says that the run has ended. UserError where it has ended without a word.

    Signals are rank 0's to obey: it saves, and says when to end. Before the ranks have met there is nothing to save.
    """
    _on_signals(signal.SIG_DFL)
    group = Group(place)
    _on_signals(signal.SIG_IGN)
    follower = Follower(group)
    while follower.do(*group.hear()):
        pass
    group.leave()


def _on_signals(handler: Any) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)


class Follower:
    """A learner equal to that of rank 0, and what is to be done with it."""

    learner: Learner  # from the word "begin" on
    form: Inputs  # of a share, from the first "update" on

    def __init__(self, group: Group):
        self.group = group

    def do(self, word: str, what: tuple[Any, ...]) -> bool:
        """-> whether there may be more to do."""
        if word == "begin":
            self._begin(*what)
        elif word == "update":
            self._update(*what)
        elif word == "digest":
            self.group.collect_objects(digest(self.learner))
        else:
            assert word == "end", word
        return word != "end"

    def _begin(self, config, spaces, state) -> None:
        device = resolve_device(config)
        take_gpu(device, self.group.place)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.learner = make_learner(config, spaces, device)
        self.learner.load_state_dict(state)
        self.learner.ranks = self.group
        self.group.work_on(device)

    def _update(self, form: Inputs | None) -> None:
        """form: of the share that comes; None: as the last one's."""
        if form is not None:
            self.form = form
        row = torch.empty(
            sum(one.nbytes for one in tensors_of(self.form)), dtype=torch.uint8, device=Models.of(self.learner).device
        )
        self.group.deal(None, row)
        mine = unpacked(row, self.form)
        _, latent = self.learner.update(mine.batch, mine.labels, mine.noise)
        whole(latent, self.group)
