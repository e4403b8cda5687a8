"""Labels about clips and pairs keep their rows, in one store and in the journal, and are sampled side by side."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tandem.envs.records import Answer, Clip, Question, Work
from tandem.worldmodel.replay.journal.labels import Entry, LabelJournal
from tandem.worldmodel.replay.label_form import LabelForm
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay

BURN_IN = 2


def transitions_of(streams, ticks):
    replay = TransitionReplay(ReplayConfig(), streams.spaces, streams.num, 4, streams.deter, streams.stoch)
    for tick in streams.ticks(ticks):
        replay.add(Tick.of(*tick))
    return replay


def labels_of(streams, kind, length=4, capacity=1000, folds=1):
    config, form = LabelReplayConfig(burn_in=BURN_IN, capacity=capacity), LabelForm(kind, length)
    return LabelReplay(config, streams.spaces, streams.deter, streams.stoch, folds=folds, form=form)


def asked(labels, transitions, key, clip, right=None, kind="clip"):
    question = Question(key, clip, kind=kind, right=right)
    left, *other = labels.copies(transitions, question.clips)
    return Asked(question, left, True, *other)


def test_a_clip_ends_where_its_episode_began(address_streams):
    transitions = transitions_of(address_streams(num=1), 30)
    rows = [Clip(0, 17), Clip(0, 12), Clip(0, 11)]
    # Row 10 follows a reset and has no reward: of the row 12 two rows are left.
    assert [clip.length for clip in transitions.clips(rows, 4)] == [4, 2, 1]


def test_a_label_of_a_clip_holds_its_rows_and_those_before(address_streams):
    streams = address_streams(num=2)
    transitions, labels = transitions_of(streams, 30), labels_of(streams, "clip")
    labels.ask(asked(labels, transitions, "a", Clip(1, 18, 4)))
    labels.answer(Answer("a", 7.0))
    batch = labels.sample(1, np.random.default_rng(0))
    assert batch.obs["state"][0, :, 1].tolist() == [13, 14, 15, 16, 17, 18]  # two before, four of it
    assert (batch.length, batch.rows.tolist(), batch.value.tolist(), labels.mean_rows) == (4, [4], [7.0], 4.0)


def test_labels_tell_how_far_an_answer_may_move_a_row(address_streams):
    streams = address_streams(num=2)
    form = LabelForm("clip", 4, reach=0.4)
    labels = LabelReplay(LabelReplayConfig(burn_in=BURN_IN), streams.spaces, streams.deter, streams.stoch, form=form)
    labels.ask(asked(labels, transitions_of(streams, 30), "a", Clip(1, 18, 4)))
    labels.answer(Answer("a", 7.0))
    assert labels.sample(1, np.random.default_rng(0)).reach == labels.newest(1)[0].reach == 0.4


def test_a_pair_keeps_both_clips_and_what_is_scored_stands_alone(address_streams):
    streams = address_streams(num=2)
    transitions, labels = transitions_of(streams, 30), labels_of(streams, "pair")
    labels.ask(asked(labels, transitions, "p", Clip(0, 18, 4), Clip(1, 8, 4), kind="pair"))
    labels.ask(asked(labels, transitions, "s", Clip(1, 28, 3)))
    labels.answer(Answer("p", 1.0))
    labels.answer(Answer("s", 5.0))
    batch = labels._batch(labels.training, np.arange(2))
    assert batch.is_pair.tolist() == [True, False] and batch.sides == 2
    assert batch.right.obs["state"][0, -1].tolist() == [1, 8] and batch.obs["state"][0, -1].tolist() == [0, 18]
    assert batch.right.obs["state"][1, -1].tolist() == [1, 28]  # its own once more
    # Only the score tells by how much a prediction errs.
    assert labels.answers().value.tolist() == [5.0] and labels.newest(5)[0].value.tolist() == [5.0]
    held, tier = labels.pairs(5)
    assert held.value.tolist() == [1.0] and tier.tolist() == [0]


def test_marked_moments_lie_at_the_end_of_the_window(address_streams):
    streams = address_streams(num=1)
    transitions, labels = transitions_of(streams, 30), labels_of(streams, "moments")
    labels.ask(asked(labels, transitions, "m", Clip(0, 13, 3), kind="moments"))
    labels.answer(Answer("m", 1.0, moments=((0, 2.0), (2, -1.0))))
    batch = labels.sample(1, np.random.default_rng(0))
    assert batch.marks.tolist() == [[0.0, 2.0, 0.0, -1.0]] and batch.rows.tolist() == [3]


def test_capacity_counts_rows(address_streams):
    streams = address_streams(num=1)
    assert [labels_of(streams, kind, 4, 100).training.capacity for kind in ("clip", "pair")] == [25, 12]
    transitions, labels = transitions_of(streams, 30), labels_of(streams, "pair", 4, 16)  # two pairs
    for number, step in enumerate((8, 18, 28)):
        labels.ask(asked(labels, transitions, f"{number}", Clip(0, step, 4), Clip(0, 8, 4), kind="pair"))
        labels.answer(Answer(f"{number}", 0.0))
    assert labels.num_training == 2 and labels.received == 3
    assert len(labels.shared) == 18  # six rows of each of the windows that are left: those of the right ones are shared


def test_people_are_tiers_from_their_first_answer_and_can_be_retracted(address_streams):
    streams = address_streams(num=1)
    transitions, labels = transitions_of(streams, 30), labels_of(streams, "clip")
    for name, step in (("ann", 8), ("bob", 18)):
        labels.ask(asked(labels, transitions, name, Clip(0, step, 4)))
        labels.answer(Answer(name, 1.0, rater=name))
    assert labels.tiers == ("default", "ann", "bob") and labels.answers().tier.tolist() == [1, 2]
    labels.retract(frozenset({"bob"}))
    labels.weigh({"default": 1.0, "ann": 0.5, "bob": 0.5})
    assert labels._batch(labels.training, np.arange(2)).weight.tolist() == [1.0, 0.0] and labels.received == 2


@pytest.mark.parametrize("kind", ["clip", "pair"])
def test_the_journal_brings_back_what_was_asked_answered_and_worked(address_streams, tmp_path, kind):
    streams = address_streams(num=2)
    transitions, labels = transitions_of(streams, 30), labels_of(streams, kind)
    right = Clip(1, 8, 4) if kind == "pair" else None
    items = (
        asked(labels, transitions, "a", Clip(0, 18, 4), right, kind),
        asked(labels, transitions, "b", Clip(1, 28, 3)),
    )
    answer = Answer("a", 1.0, "ann", 3.5, 250_000)
    works = (Work("w", "bob", 2.0, 90, "practice"),)
    written = [Entry(0, items), Entry(2, (), (answer,), works=works, retracted=("bob",))]
    for entry in written:
        LabelJournal(tmp_path).write(entry)
    found = list(LabelJournal(tmp_path).read())
    assert [entry.answers for entry in found] == [(), (answer,)] and found[1].works == works
    assert found[1].retracted == ("bob",)
    for before, after in zip(items, found[0].asked, strict=True):
        assert after.question == before.question and len(after.copies) == len(before.copies)
        for one, other in zip(before.copies, after.copies, strict=True):
            np.testing.assert_array_equal(one.obs["state"], other.obs["state"])
    whole = [replace_all(labels_of(streams, kind), entries) for entries in (written, found)]
    assert whole[0].fingerprint() == whole[1].fingerprint()


def replace_all(labels, entries):
    for entry in entries:
        for item in entry.asked:
            labels.ask(replace(item))
        for answer in entry.answers:
            labels.answer(answer)
    return labels


def test_refreshed_latents_reach_either_side(address_streams):
    streams = address_streams(num=1)
    transitions, labels = transitions_of(streams, 30), labels_of(streams, "pair")
    labels.ask(asked(labels, transitions, "p", Clip(0, 18, 4), Clip(0, 28, 4), kind="pair"))
    labels.answer(Answer("p", 1.0))
    for side in ("start_deter", "right_start_deter"):
        labels.training.columns[side][:] = 0
    labels.refresh(transitions)
    batch = labels.sample(1, np.random.default_rng(0))
    assert batch.start_deter[0].tolist() == [0, 12] and batch.right.start_deter[0].tolist() == [0, 22]
    assert torch.equal(batch.start_stoch[0], torch.tensor([0, 12, 0]))


def test_while_all_labels_are_of_one_fold_no_member_is_left_out_on_either_side(address_streams):
    streams = address_streams(num=1)
    transitions, labels = transitions_of(streams, 30), labels_of(streams, "pair", folds=3)
    labels.ask(asked(labels, transitions, "p", Clip(0, 6, 4), Clip(0, 8, 4), kind="pair"))
    labels.answer(Answer("p", 1.0))
    batch = labels.sample(2, np.random.default_rng(0))
    assert batch.fold.tolist() == batch.right.fold.tolist() == [-1, -1]


def test_who_was_retracted_measures_nothing(address_streams):
    streams = address_streams(num=1, heldout={(0, 1)})
    transitions, labels = transitions_of(streams, 30), labels_of(streams, "clip")
    for name, step in (("ann", 8), ("bob", 28), ("bob", 18)):
        labels.ask(asked(labels, transitions, f"{name}{step}", Clip(0, step, 4)))
        labels.answer(Answer(f"{name}{step}", float(step), rater=name))
    assert [len(labels.answers().value), len(labels.heldout_labels().value)] == [2, 1]
    labels.retract(frozenset({"bob"}))
    assert labels.answers().value.tolist() == labels.newest(9)[0].value.tolist() == [8.0]
    assert len(labels.heldout_labels().value) == 0 and labels.received == 3
