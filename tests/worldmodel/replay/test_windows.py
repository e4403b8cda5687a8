"""Latents on their way back: whole windows at once are what single rows would have been."""

import numpy as np
import pytest
import torch

from tandem.training.storage import checkpoint
from tandem.worldmodel.records import Address
from tandem.worldmodel.replay.fingerprint import fingerprint
from tandem.worldmodel.replay.late import Late
from tandem.worldmodel.replay.rows.rings import Rings
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay


@pytest.mark.parametrize("latents", ["float32", "bfloat16"])
def test_a_window_across_the_end_of_a_ring_is_written_as_its_rows_are(latents):
    # Rings of 10 rows: a window that begins at row 18 lies in slots 8, 9, 0, 1. The second one overlaps it from row 20 on.
    stream, row = np.array([1, 1, 0]), np.array([18, 20, 3])
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    by_window, by_row = (Rings({"deter": ((5,), latents)}, 2, 10) for _ in range(2))
    by_window.write_windows("deter", stream, row, values)
    for window in range(3):
        for place in range(4):
            slot = by_row.slot(stream[window], row[window] + place)
            by_row.write("deter", np.array([slot]), values[window, place].numpy()[None])
    np.testing.assert_array_equal(by_window.columns["deter"], by_row.columns["deter"])
    assert np.count_nonzero(by_window.columns["deter"].any(1)) == 4 + 2 + 4


def fill(replay, streams):
    for tick in streams.ticks(20):
        replay.add(Tick.of(*tick))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_a_latent_that_is_not_finite_is_skipped_and_a_large_one_is_not(address_streams, number):
    streams = address_streams(num=1)
    replay = TransitionReplay(ReplayConfig(online=False), streams.spaces, 1, 4, streams.deter, streams.stoch)
    fill(replay, streams)
    rows = torch.tensor([[5, 6, 7, 8]])
    deter = torch.full((1, 4, 2), -5.0)
    deter[0, 2] = number  # twice: the sum of two that are 3e38 is not finite
    replay.write_back(Address(torch.tensor([0]), rows, rows), deter, torch.full((1, 4, 3), 250))
    _, kept, stoch = replay.latents(np.zeros(4, int), np.arange(5, 9), is_heldout=False)
    expected = [-5, -5, np.float32(number) if number == 3e38 else 7, -5]  # row 7 as it was collected is (0, 7)
    assert kept[:, 1].tolist() == expected
    assert (stoch[:, 0] == 250).tolist() == [True, True, number == 3e38, True]


def test_latents_that_are_held_reach_their_rows_when_they_are_settled_and_survive_a_checkpoint(address_streams):
    replays = []
    for _ in range(2):
        streams = address_streams(num=1)
        replays.append(TransitionReplay(ReplayConfig(), streams.spaces, 1, 4, streams.deter, streams.stoch))
        fill(replays[-1], streams)
    held, again = replays
    batch = held.sample(2, np.random.default_rng(0))
    newer = torch.full((2, 4, 2), -5.0)
    before = held.fingerprint()
    held.hold(batch.address, newer, torch.full((2, 4, 3), 250))
    newer.fill_(-7.0)  # a recording writes over its outputs
    assert held.fingerprint() != before and not (held.training.columns["deter"] == -5).any()
    again.load_state_dict(held.state_dict())
    assert again.fingerprint() == held.fingerprint()
    for replay in replays:
        replay.settle()
        replay.settle()  # there is nothing left
        rows = batch.address.row.numpy().reshape(-1)
        assert (replay.training.read("deter", rows) == -5).all() and (replay.training.read("stoch", rows) == 250).all()
    assert again.fingerprint() == held.fingerprint()


def test_one_batch_is_held_at_a_time_and_a_state_of_another_form_is_refused(address_streams):
    streams = address_streams(num=1)
    replay = TransitionReplay(ReplayConfig(), streams.spaces, 1, 4, streams.deter, streams.stoch)
    fill(replay, streams)
    address, latents = replay.sample(2, np.random.default_rng(0)).address, (torch.zeros(2, 4, 2), torch.zeros(2, 4, 3))
    replay.hold(address, *latents)
    with pytest.raises(AssertionError, match="one batch at a time"):
        replay.hold(address, *latents)
    with pytest.raises(ValueError, match="latents on their way: the checkpoint holds"):
        Late.from_state({"deter": latents[0]})


def test_what_a_checkpoint_took_of_the_replay_stays_as_it_was_while_the_run_goes_on(address_streams):
    streams = address_streams(num=2)
    replay = TransitionReplay(ReplayConfig(capacity=30), streams.spaces, 2, 4, streams.deter, streams.stoch)
    fill(replay, streams)
    fill(replay, streams)  # 40 rows in rings of 19: 21 .. 39, from slot 2 on
    batch = replay.sample(3, np.random.default_rng(0))
    replay.hold(batch.address, torch.full((3, 4, 2), -5.0), torch.full((3, 4, 3), 250))
    content = checkpoint.content(1, {"transitions": replay}).states["transitions"]
    deter = content["training"]["deter"].clone()
    assert deter[:, 1].tolist() == [*range(21, 40)] * 2 and deter[:, 0].tolist() == [0] * 19 + [1] * 19
    before = fingerprint(arrays(content))
    replay.settle()
    fill(replay, streams)
    replay.sample(3, np.random.default_rng(0))
    assert fingerprint(arrays(content)) == before
    assert fingerprint(arrays(checkpoint.content(1, {"transitions": replay}).states["transitions"])) != before


def arrays(state, name=""):
    """Every tensor in nested dictionaries."""
    if isinstance(state, dict):
        return [found for key, value in state.items() for found in arrays(value, f"{name}/{key}")]
    return [(name, state.numpy())] if isinstance(state, torch.Tensor) else []
