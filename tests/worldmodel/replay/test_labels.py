"""Label copies and the label replay: a paid answer keeps what it is about, and held-out answers train nothing."""

import numpy as np
import pytest
import torch

from tandem.envs.records import Answer, Clip, Question
from tandem.worldmodel.records import Address
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay

BURN_IN = 3


def transitions_of(streams, ticks, capacity=1000):
    config = ReplayConfig(capacity=capacity)
    replay = TransitionReplay(config, streams.spaces, streams.num, 4, streams.deter, streams.stoch)
    for tick in streams.ticks(ticks):
        replay.add(Tick.of(*tick))
    return replay


def labels_of(streams, **config):
    config = LabelReplayConfig(**{"burn_in": BURN_IN} | config)
    return LabelReplay(config, streams.spaces, streams.deter, streams.stoch)


def buy(labels, transitions, clips):
    """The answer to (env, step) is 1000 env + step."""
    for clip, copy in zip(clips, transitions.copies(clips, BURN_IN), strict=True):
        key = f"{clip.env}-{clip.step}"
        labels.ask(Asked(Question(key, clip), copy, is_uniform=True))
        labels.answer(Answer(key, 1000.0 * clip.env + clip.step))


def test_a_copy_in_mid_episode_holds_its_burn_in_and_the_latent_before(address_streams):
    copy = transitions_of(address_streams(num=2), 30).copy(Clip(1, 17), BURN_IN)
    assert copy.obs["state"].tolist() == [[1, 14], [1, 15], [1, 16], [1, 17]]
    assert copy.obs["kind"][:, 0].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(copy.prev_action[:, 0], [13.01, 14.01, 15.01, 16.01], rtol=1e-6)
    assert not copy.is_first.any()
    assert copy.context_step == 13 and copy.start_deter.tolist() == [1, 13] and copy.start_stoch.tolist() == [1, 13, 0]
    assert (copy.env, copy.step, copy.episode, copy.is_heldout) == (1, 17, 1, False)


def test_a_copy_near_the_start_of_an_episode_is_left_padded(address_streams):
    copy = transitions_of(address_streams(num=1), 30).copy(Clip(0, 11), BURN_IN)
    # the episode has the rows 10 .. 19; 8 and 9 belong to the one before
    assert copy.obs["state"].tolist() == [[0, 0], [0, 0], [0, 10], [0, 11]]
    assert copy.is_first.tolist() == [False, False, True, False]
    np.testing.assert_allclose(copy.prev_action[:, 0], [0, 0, 0, 10])
    assert copy.context_step == -1 and not copy.start_deter.any() and not copy.start_stoch.any()


def test_a_copy_that_begins_with_the_first_row_has_no_context(address_streams):
    copy = transitions_of(address_streams(num=1), 30).copy(Clip(0, 13), BURN_IN)
    assert copy.obs["state"][:, 1].tolist() == [10, 11, 12, 13]
    assert copy.is_first.tolist() == [True, False, False, False] and copy.context_step == -1


def test_a_copy_whose_history_was_evicted_begins_anew(address_streams):
    transitions = transitions_of(address_streams(num=1), 29, capacity=10)
    # 14 rows are left, 15 .. 28: row 16 has lost its context and row 14
    copy = transitions.copy(Clip(0, 17), BURN_IN)
    assert copy.obs["state"][:, 1].tolist() == [0, 15, 16, 17]
    assert copy.is_first.tolist() == [False, True, False, False]
    np.testing.assert_allclose(copy.prev_action[:, 0], [0, 0, 15, 16])
    with pytest.raises(KeyError, match="step=14"):
        transitions.copy(Clip(0, 14), BURN_IN)


def test_copies_of_many_segments_equal_single_ones_in_their_order(address_streams):
    transitions = transitions_of(address_streams(num=2, heldout={(0, 1)}), 40)
    clips = transitions.open.draw(30, np.random.default_rng(0))
    clips = [clips[i] for i in np.random.default_rng(1).permutation(30)]
    for clip, copy in zip(clips, transitions.copies(clips, BURN_IN), strict=True):
        single = transitions.copy(clip, BURN_IN)
        assert (copy.env, copy.step) == (clip.env, clip.step)
        assert copy.is_heldout == single.is_heldout == (clip.env == 0 and 10 <= clip.step < 20)
        assert np.array_equal(copy.obs["state"], single.obs["state"]) and np.array_equal(copy.is_first, single.is_first)
        assert copy.obs["state"][-1].tolist() == [clip.env, clip.step]


def test_labels_survive_the_eviction_of_their_rows(address_streams):
    streams = address_streams(num=2)
    transitions, labels = transitions_of(streams, 30, capacity=60), labels_of(streams)
    buy(labels, transitions, [Clip(0, 7), Clip(1, 25), Clip(0, 12)])
    for tick in streams.ticks(200):
        transitions.add(Tick.of(*tick))
    batch = labels.sample(100, np.random.default_rng(0))
    last = batch.obs["state"][:, -1]
    torch.testing.assert_close(batch.value, 1000 * last[:, 0] + last[:, 1])
    assert {int(v) for v in batch.value} == {7, 1025, 12} and (batch.weight == 1).all()
    assert batch.obs["state"].shape == (100, BURN_IN + 1, 2)


def test_heldout_labels_are_never_sampled(address_streams):
    streams = address_streams(num=2, heldout={(0, 1), (1, 2)})
    transitions, labels = transitions_of(streams, 30), labels_of(streams)
    buy(labels, transitions, transitions.open.draw(54, np.random.default_rng(0)))
    sampled = {int(v) for v in labels.sample(2000, np.random.default_rng(0)).value}
    heldout = {int(v) for v in labels.heldout_labels().value}
    assert heldout == set(range(11, 20)) | set(range(1021, 1030))
    assert len(sampled) == 36 and not sampled & heldout
    assert labels.received == 54 and (labels.num_training, labels.num_heldout) == (36, 18)


def test_a_batch_without_labels_has_its_full_size_and_no_weight(address_streams):
    labels = labels_of(address_streams())
    batch = labels.sample(6, np.random.default_rng(0))
    assert batch.obs["state"].shape == (6, BURN_IN + 1, 2) and batch.start_stoch.shape == (6, 3)
    assert batch.weight.tolist() == [0] * 6 and labels.heldout_labels().value.shape == (0,)


def test_an_answer_nobody_waits_for_is_refused(address_streams):
    streams = address_streams()
    transitions, labels = transitions_of(streams, 30), labels_of(streams)
    with pytest.raises(KeyError, match="'never'"):
        labels.answer(Answer("never", 1.0))
    buy(labels, transitions, [Clip(0, 7)])
    with pytest.raises(KeyError, match="answered already"):
        labels.answer(Answer("0-7", 1.0))
    assert labels.received == 1


def test_an_answer_that_is_no_number_is_refused_and_stays_pending(address_streams):
    streams = address_streams()
    labels = labels_of(streams)
    labels.ask(Asked(Question("a", Clip(0, 7)), transitions_of(streams, 30).copy(Clip(0, 7), BURN_IN), True))
    with pytest.raises(ValueError, match=r"'a'.*nan"):
        labels.answer(Answer("a", float("nan")))
    assert list(labels.pending) == ["a"]


def test_the_oldest_labels_go_first(address_streams):
    streams = address_streams(num=1)
    transitions, labels = transitions_of(streams, 50), labels_of(streams, capacity=3)
    buy(labels, transitions, [Clip(0, s) for s in (41, 5, 22, 33, 7)])
    assert {int(v) for v in labels.sample(200, np.random.default_rng(0)).value} == {22, 33, 7}
    assert labels.received == 5 and labels.num_training == 3


def test_refresh_brings_written_back_latents_to_the_copies_whose_row_is_left(address_streams):
    streams = address_streams(num=1, heldout={(0, 4)})
    transitions, labels = transitions_of(streams, 40, capacity=26), labels_of(streams)
    buy(labels, transitions, [Clip(0, 16), Clip(0, 28), Clip(0, 21)])  # contexts 12, 24 and none
    for tick in streams.ticks(18):  # 10 held-out rows, then the training rows 50 .. 57: 18 .. 39 are left as well
        transitions.add(Tick.of(*tick))
    buy(labels, transitions, [Clip(0, 48)])  # held out, context 44
    rows = torch.arange(8, 38)[None]
    transitions.write_back(
        Address(torch.tensor([0]), rows, rows), torch.full((1, 30, 2), -5.0), torch.full((1, 30, 3), 9)
    )
    transitions.write_back(
        Address(torch.tensor([0]), torch.arange(10)[None], torch.arange(10)[None], is_heldout=True),
        torch.full((1, 10, 2), -6.0),
        torch.zeros(1, 10, 3),
    )
    labels.refresh(transitions)
    batch = labels.sample(100, np.random.default_rng(0))
    context = {int(v): d.tolist() for v, d in zip(batch.value, batch.start_deter, strict=True)}
    assert context == {16: [0, 12], 28: [-5, -5], 21: [0, 0]}
    assert labels.heldout_labels().start_deter.tolist() == [[-6, -6]]


def test_refreshed_latents_come_back_after_a_refill(address_streams):
    streams = address_streams(num=1)
    transitions, labels = transitions_of(streams, 40), labels_of(streams)
    buy(labels, transitions, [Clip(0, 16)])
    transitions.write_back(
        Address(torch.tensor([0]), torch.tensor([[12]]), torch.tensor([[12]])),
        torch.full((1, 1, 2), -5.0),
        torch.zeros(1, 1, 3),
    )
    labels.refresh(transitions)
    again = labels_of(streams)
    buy(again, transitions_of(address_streams(num=1), 40), [Clip(0, 16), Clip(0, 28)])
    again.load_state_dict(labels.state_dict(), is_exact=False)
    batch = again.sample(50, np.random.default_rng(0))
    assert {int(v): d.tolist() for v, d in zip(batch.value, batch.start_deter, strict=True)} == {
        16: [-5, -5],
        28: [0, 24],
    }
    with pytest.raises(ValueError, match=r"^labels: "):
        again.load_state_dict({"training": {}})


@pytest.mark.parametrize("field, value", [("capacity", 0), ("burn_in", -1)])
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"^{field}: must be at least"):
        LabelReplayConfig(**{field: value})


def answered_by(labels, transitions, answers):
    """answers: (step, tier, value) about rows of environment 0, each under a key of its own."""
    for number, (step, tier, value) in enumerate(answers):
        question = Question(f"{step}/{tier}/{number}", Clip(0, step), tier)
        labels.ask(Asked(question, transitions.copy(Clip(0, step), BURN_IN), is_uniform=number == 0))
        labels.answer(Answer(question.key, value))


def tiered(streams, **config):
    config = LabelReplayConfig(**{"burn_in": BURN_IN} | config)
    return LabelReplay(config, streams.spaces, streams.deter, streams.stoch, ("default", "cheap", "expert"))


def test_answers_are_listed_as_they_were_given_oldest_first_and_by_item(address_streams):
    streams = address_streams(num=1, heldout={(0, 2)})
    transitions, labels = transitions_of(streams, 40), tiered(streams, capacity=3)
    given = [(31, "cheap", 9.0), (12, "cheap", 1.0), (7, "expert", 2.0), (25, "cheap", 3.0), (12, "expert", 4.0)]
    answered_by(labels, transitions, given)
    answers = labels.answers()  # the oldest of four training labels is gone
    assert answers.step.tolist() == [12, 7, 12] and answers.tier.tolist() == [1, 2, 2]
    assert answers.value.tolist() == [1.0, 2.0, 4.0] and not answers.is_uniform.any()
    assert answers.item[0] == answers.item[2] != answers.item[1]
    assert labels.answers(is_heldout=True).value.tolist() == [3.0]
    assert labels.rows(np.array([2, 0])).value.tolist() == [4.0, 1.0]
    assert labels.rows(np.array([0]), is_heldout=True).value.tolist() == [3.0]
    empty = tiered(streams).answers()
    assert empty.item.shape == empty.value.shape == (0,)


def test_weights_are_relative_to_the_most_precise_tier_that_holds_labels(address_streams):
    streams = address_streams(num=1)
    transitions, labels = transitions_of(streams, 40), tiered(streams)
    precision = {"default": 1.0, "cheap": 0.2, "expert": 0.8}
    answered_by(labels, transitions, [(7, "cheap", 1.0)])
    labels.weigh(precision)
    assert labels.rows(np.array([0])).weight.tolist() == [1.0]
    answered_by(labels, transitions, [(8, "expert", 1.0)])
    labels.weigh(precision)
    assert labels.rows(np.array([0, 1])).weight.tolist() == [0.25, 1.0]
    assert labels.sample(4, np.random.default_rng(0)).weight.unique().tolist() == [0.25, 1.0]
    labels.step = 0.5
    assert {labels.sample(1, np.random.default_rng(seed)).weight.item() for seed in range(20)} == {0.5}, (
        "whoever is drawn"
    )
    assert labels.sample(4, np.random.default_rng(0)).weight.unique().tolist() == [0.125, 0.5]


def test_a_correction_is_taken_off_and_the_stored_answer_stays(address_streams):
    streams = address_streams(num=1, heldout={(0, 2)})
    transitions, labels = transitions_of(streams, 40), tiered(streams)
    answered_by(labels, transitions, [(7, "cheap", 10.0), (12, "expert", 20.0), (25, "cheap", 30.0)])
    labels.correct(np.array([0]), np.array([7.0]))
    labels.correct(np.array([0]), np.array([25.0]), is_heldout=True)
    assert labels.rows(np.array([0, 1])).value.tolist() == [3.0, 20.0] and labels.heldout_labels().value.tolist() == [
        5.0
    ]
    assert labels.answers().value.tolist() == [10.0, 20.0]
    labels.correct(np.array([0]), np.ones(1))  # not on top of the last one
    assert labels.rows(np.array([0])).value.tolist() == [9.0]
    labels.correct(np.array([0]), np.zeros(1))
    assert labels.rows(np.array([0, 1])).value.tolist() == [10.0, 20.0]


def test_a_checkpoint_of_other_tiers_is_refused(address_streams):
    streams = address_streams(num=1)
    with pytest.raises(ValueError, match=r"^labels: the checkpoint knows 1 tiers, the run 3"):
        tiered(streams).load_state_dict(labels_of(streams).state_dict())
