"""Stores that were filled again and given their saved state: the same bit for bit, latents in bfloat16 too."""

import numpy as np
import pytest
import torch

from tandem.envs.records import Answer, Clip, Question
from tandem.worldmodel.records import Address
from tandem.worldmodel.replay.journal.transitions import TransitionJournal, refill
from tandem.worldmodel.replay.label_column import LabelColumn
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig
from tandem.worldmodel.replay.rows.rings import BFLOAT16, Rings, narrowed, widened
from tandem.worldmodel.replay.tick import Tick, Ticks
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay

HELDOUT = {(0, 1), (1, 3)}


def filled(streams, ticks: int, latents: str = "float32", **config) -> TransitionReplay:
    replay = empty(streams, latents, **config)
    replay.extend(Ticks.of([Tick.of(*noisy(tick)) for tick in streams.ticks(ticks)]))
    return replay


def empty(streams, latents: str = "bfloat16", **config) -> TransitionReplay:
    settings = ReplayConfig(**{"capacity": 60, "heldout_capacity": 30, "latents": latents} | config)
    return TransitionReplay(settings, streams.spaces, streams.num, 4, streams.deter, streams.stoch)


def noisy(tick):
    """The tick with latents that bfloat16 rounds."""
    transition, action, deter, stoch = tick
    return transition, action, (deter * 0.123 + 0.01).sin(), stoch


def labelled(streams, transitions, clips, latents: str = "float32", **config) -> LabelReplay:
    settings = LabelReplayConfig(**{"burn_in": 3} | config)
    labels = LabelReplay(settings, streams.spaces, streams.deter, streams.stoch, ("default", "expert"), 2, latents)
    for number, (clip, copy) in enumerate(zip(clips, transitions.copies(clips, 3), strict=True)):
        labels.ask(Asked(Question(f"{number}", clip, "expert"), copy, is_uniform=number % 2 == 0))
        if number < len(clips) - 2:
            labels.answer(Answer(f"{number}", float(number)))
    return labels


def learn(replay: TransitionReplay, seed: int) -> None:
    """Draw training and held-out windows, and write other latents back."""
    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    for batch in (replay.sample(3, rng), replay.heldout_windows(3, 4, rng)):
        assert batch is not None
        shape = batch.is_first.shape
        deter = torch.rand((*shape, 2), generator=noise)
        replay.write_back(batch.address, deter, torch.randint(0, 9, (*shape, 3), generator=noise))


@pytest.mark.parametrize("latents", ["float32", "bfloat16"])
@pytest.mark.parametrize("online", [True, False])
def test_a_refill_to_the_same_counts_with_the_saved_state_is_the_replay_that_was_saved(
    address_streams, tmp_path, latents, online
):
    streams = address_streams(num=2, heldout=HELDOUT)
    replay = filled(streams, 55, latents, online=online)
    learn(replay, 0)
    asked = replay.open.draw(9, np.random.default_rng(0))
    torch.save(replay.state_dict(), tmp_path / "state.pt")
    again = filled(address_streams(num=2, heldout=HELDOUT), 55, latents, online=online)
    assert again.fingerprint() != replay.fingerprint()
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    again.open.mark_asked(asked)
    assert again.fingerprint() == replay.fingerprint()
    later = [Tick.of(*noisy(tick)) for tick in streams.ticks(30)]
    for one in (replay, again):
        one.extend(Ticks.of(later))
        learn(one, 1)
    assert again.fingerprint() == replay.fingerprint()
    assert again.sample(2, np.random.default_rng(3)).address.row.tolist() == (
        replay.sample(2, np.random.default_rng(3)).address.row.tolist()
    )


def test_loading_leaves_the_queue_as_it_was_saved(address_streams):
    """A queue that waits, with less in it than the counts would bring, is not advanced by loading."""
    replay = filled(address_streams(num=1), 23)
    replay.online.next_row[:], before = 0, list(replay.online.queue)
    again = filled(address_streams(num=1), 23)
    again.load_state_dict(replay.state_dict())
    assert list(again.online.queue) == before and again.online.next_row.tolist() == [0]


@pytest.mark.parametrize(
    "damage, told",
    [
        ("more", r"replay: received was 36 at the checkpoint, the journal gives 45"),
        ("fewer", r"replay: received was 36 at the checkpoint, the journal gives 27"),
        ("latents", r"replay: training rows: deter is torch.float32 .*expected torch.bfloat16"),
        ("shape", r"replay: held-out rows: deter is .*shape \(0, 1\), expected .*\(0, 2\)"),
        ("key", r"replay: the checkpoint holds \['counts', 'heldout', 'late', 'online'\], expected .*training"),
        ("column", r"replay: training rows: the checkpoint holds .*'more'"),
        ("capacity", r"replay: training rows: .*another capacity"),
        ("queue", r"replay: online windows: the checkpoint holds \['queue'\]"),
        ("streams", r"replay: online windows: the checkpoint knows 2 streams, the run 1"),
    ],
)
def test_a_state_that_does_not_fit_exactly_is_refused_by_name(address_streams, damage, told):
    state = filled(address_streams(num=1), 40).state_dict()
    ticks = {"more": 50, "fewer": 30}.get(damage, 40)
    capacity = 20 if damage == "capacity" else 60
    replay = filled(address_streams(num=1), ticks, "bfloat16" if damage == "latents" else "float32", capacity=capacity)
    if damage == "shape":
        state["heldout"]["deter"] = state["heldout"]["deter"][:, :1]
    if damage == "key":
        del state["training"]
    if damage == "column":
        state["training"]["more"] = torch.zeros(1)
    if damage == "queue":
        del state["online"]["next_row"]
    if damage == "streams":
        state["online"]["next_row"] = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=f"^{told}"):
        replay.load_state_dict(state)


def test_a_replay_refilled_from_its_journal_is_the_one_filled_live(address_streams, tmp_path):
    """The journal keeps float32: both round what they take, and a label's copy of either is the same."""
    streams, journal = address_streams(num=2, heldout=HELDOUT), TransitionJournal(tmp_path)
    live, again = empty(streams), empty(streams)
    assert list(journal.read()) == []
    for number, tick in enumerate(streams.ticks(70)):
        live.add(made := Tick.of(*noisy(tick)))
        journal.append(made)
        if number % 20 == 7 or number == 69:
            journal.write(f"{number:08d}")
    journal.log.sync()
    assert refill(again, TransitionJournal(tmp_path), None) == []
    assert again.fingerprint() == live.fingerprint()
    clips = live.open.draw(12, np.random.default_rng(0))
    again.open.mark_asked(clips)
    ours, theirs = (labelled(streams, one, clips, "bfloat16") for one in (live, again))
    assert ours.fingerprint() == theirs.fingerprint()


def test_rounded_latents_are_float32_outside_and_take_half_the_room(address_streams):
    streams = address_streams(num=1)
    plain, rounded = (filled(address_streams(num=1), 40, latents) for latents in ("float32", "bfloat16"))
    assert 2 * rounded.training.columns["deter"].nbytes == plain.training.columns["deter"].nbytes
    exact, near = (one.latents(np.zeros(9, int), np.arange(9), False)[1] for one in (plain, rounded))
    assert near.dtype == np.float32 and not np.array_equal(exact, near)
    assert np.array_equal(near, torch.from_numpy(exact).bfloat16().float().numpy())
    batch = rounded.sample(2, np.random.default_rng(0))
    assert batch.start_deter.dtype == torch.float32
    rows = torch.tensor([[5, 6]])
    rounded.write_back(Address(torch.tensor([0]), rows, rows), torch.full((1, 2, 2), 1 / 3), torch.zeros(1, 2, 3))
    third = torch.tensor(1 / 3).bfloat16().item()
    assert rounded.latents(np.zeros(2, int), np.array([5, 6]), False)[1].tolist() == [[third] * 2] * 2
    assert rounded.open.candidates(5, np.random.default_rng(0)).deter.dtype == torch.float32
    labels = labelled(streams, rounded, [Clip(0, 8), Clip(0, 9), Clip(0, 11), Clip(0, 12)], "bfloat16")
    assert labels.training.columns["start_deter"].dtype == np.uint16
    assert np.array_equal(labels.heldout_labels().start_deter, torch.zeros(0, 2))
    assert (
        labels.newest(2)[0].start_deter.tolist()
        == rounded.latents(np.zeros(2, int), np.array([4, 5]), False)[1].tolist()
    )


def test_bits_go_back_and_forth_and_the_even_one_of_two_is_taken():
    every = np.arange(1 << 16, dtype=np.uint16)
    is_number = ~np.isnan(widened(every))
    assert np.array_equal(narrowed(widened(every[is_number])), every[is_number])
    assert np.isnan(widened(narrowed(np.array([np.nan], np.float32)))).all()
    # bfloat16 has 8 bits: between 1 and 1 + 2^-7 lies 1 + 2^-8, which goes to the even 1; 1 + 3 * 2^-8 to 1 + 2^-6.
    assert widened(narrowed(np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32))).tolist() == [1, 1 + 2**-6]
    read_only = np.ones(3, np.float32)
    read_only.flags.writeable = False
    assert widened(narrowed(read_only)).tolist() == [1, 1, 1]


def test_a_rounded_column_of_no_width_is_saved_and_loaded():
    rings = Rings({"deter": ((0,), BFLOAT16), "step": ((), np.int64)}, 1, 5)
    rings.append(np.zeros(1, np.int64), {"deter": np.zeros((1, 0), np.float32), "step": np.zeros(1, np.int64)})
    rings.load_state_dict(rings.state_dict(("deter",)), ("deter",), "rows")
    assert rings.read("deter", np.zeros(1, np.int64)).shape == (1, 0)


@pytest.mark.parametrize("latents", ["float32", "bfloat16"])
def test_labels_refilled_with_the_saved_state_are_those_that_were_saved(address_streams, tmp_path, latents):
    streams = address_streams(num=2, heldout=HELDOUT)
    transitions = filled(streams, 30, latents)
    clips = transitions.open.draw(25, np.random.default_rng(0))
    labels = labelled(streams, transitions, clips, latents, capacity=9)  # the oldest are gone
    refilled = labelled(streams, transitions, clips, latents, capacity=9)
    assert labels.fingerprint() == refilled.fingerprint()
    learn(transitions, 0)
    labels.refresh(transitions)
    labels.weigh({"default": 1.0, "expert": 0.3})
    labels.correct(np.arange(4), np.full(4, 0.7))
    assert labels.fingerprint() != refilled.fingerprint()
    torch.save(labels.state_dict(), tmp_path / "state.pt")
    refilled.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert labels.fingerprint() == refilled.fingerprint() and len(labels.pending) == 2
    labels.decline(next(iter(labels.pending)))
    assert labels.fingerprint() != refilled.fingerprint()


def test_labels_that_the_checkpoint_does_not_know_are_refused_or_kept(address_streams):
    streams = address_streams(num=1)
    transitions = filled(streams, 30)
    clips = transitions.open.draw(8, np.random.default_rng(0))
    state = labelled(streams, transitions, clips[:6]).state_dict()
    longer = labelled(streams, transitions, clips)
    with pytest.raises(ValueError, match=r"^labels: the checkpoint knows \[.*\] labels by fold, the journal \["):
        longer.load_state_dict(state)
    longer.load_state_dict(state, is_exact=False)
    other = labelled(streams, transitions, clips[:6], "bfloat16")
    with pytest.raises(ValueError, match=r"^labels: of training episodes: start_deter is torch.float32"):
        other.load_state_dict(state)


def test_a_column_of_answers_checks_how_many_there_are():
    column = LabelColumn(1)
    column.put(0, 3, 1.0)
    column.load_state_dict({"received": 1})
    with pytest.raises(ValueError, match=r"^labels: the checkpoint knows 0 answers, the journal 1"):
        column.load_state_dict({"received": 0})
    column.load_state_dict({"received": 0}, is_exact=False)
    with pytest.raises(ValueError, match=r"^labels: the checkpoint knows 2 answers, the journal 1"):
        column.load_state_dict({"received": 2}, is_exact=False)


def test_latents_of_another_type_are_refused_by_name():
    with pytest.raises(ValueError, match=r"^latents: must be float32 or bfloat16, got 'half'"):
        ReplayConfig(latents="half")
