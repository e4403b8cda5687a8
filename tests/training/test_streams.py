"""Streams of rows as they lie in the replay, whole across crashes and resumes."""

from pathlib import Path

import numpy as np
import pytest

from tandem.training.build import build
from tandem.training.phases import train


def test_every_first_row_follows_a_last_row_of_its_stream(tiny, monkeypatch, at_ticks):
    """So that a first row's reward, which nobody paid for, has no weight in the replay-value loss; after a resume too."""

    def crash():
        raise RuntimeError("crash")

    config = tiny()
    at_ticks({50}, crash)  # in the middle of an episode
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
