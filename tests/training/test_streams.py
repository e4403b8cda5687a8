"""Streams of rows as they lie in the replay, whole across crashes and resumes."""

from pathlib import Path

import numpy as np
import pytest

from tandem.training.build import build
from tandem.training.phases import train
from tandem.training.purchases.transitions import Collector


def test_every_first_row_follows_a_last_row_of_its_stream(tiny, monkeypatch):
    """So that a first row's reward, which nobody paid for, has no weight in the replay-value loss; after a resume too."""
    config, tick, ticks = tiny(), Collector.tick, []

    def dying(self, agent):
        ticks.append(0)
        if len(ticks) == 50:  # in the middle of an episode
            raise RuntimeError("crash")
        return tick(self, agent)

    monkeypatch.setattr(Collector, "tick", dying)
    with pytest.raises(RuntimeError, match="crash"):
        train(config)
    monkeypatch.undo()
    train(config, Path(config.run.dir))
    run = build(config, is_resumed=True)
    num_first = []
    for rings in (run.transitions.training, run.transitions.heldout):
        for stream in range(rings.num_streams):
            slot = rings.slot(np.int64(stream), np.arange(rings.count[stream]))
            first, last = rings.columns["is_first"][slot], rings.columns["is_last"][slot]
            assert (first[1:] == last[:-1]).all()
            num_first.append(first.sum())
    assert max(num_first) > 3
    lengths = [episode.is_first.shape[1] for episode in run.transitions.heldout_episodes(99)]
    assert lengths and max(lengths) <= 21
    run.close()
