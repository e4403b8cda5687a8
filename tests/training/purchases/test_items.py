"""What is asked about: whole clips, pairs of the same kind of episode, anchors before pairs, and keys that name them."""

import numpy as np
import pytest
import torch

from tandem.envs.labelers.question_keys import key_of, question_of
from tandem.envs.records import Answer, Clip, Declined, ObsSpec, Question, Spaces, Transition
from tandem.training.purchases.heard import usable_answer
from tandem.training.purchases.items import Drawer, num_scored
from tandem.worldmodel.replay.label_form import LabelForm
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay


def replay_of(episodes, rows=11, heldout=(1,)):
    spaces = Spaces({"state": ObsSpec((1,))}, action_size=1)
    replay = TransitionReplay(ReplayConfig(), spaces, 1, 4, 1, 1)
    for step in range(episodes * rows):
        transition = Transition(
            obs={"state": np.full((1, 1), step, np.float32)},
            is_first=np.array([step % rows == 0]),
            is_last=np.array([step % rows == rows - 1]),
            is_terminal=np.zeros(1, bool),
            step=np.array([step]),
            is_heldout=np.array([step // rows in heldout]),
        )
        replay.add(Tick.of(transition, np.zeros((1, 1), np.float32), torch.zeros(1, 1), torch.zeros(1, 1)))
    return replay


def test_clips_are_whole_but_where_an_episode_began():
    items = Drawer(replay_of(6), "clip", 6).draw(1000, 0, 0, np.random.default_rng(0))
    # Of the 10 rows of an episode the first two end clips of one and two rows, which nobody could judge.
    assert len(items) == 6 * 8 and {item.clip.length for item in items} == {3, 4, 5, 6}
    assert all(item.clip.length == min(6, item.clip.step % 11) and item.is_uniform for item in items)
    assert Drawer(replay_of(1), "clip", 6).draw(5, 0, 0, np.random.default_rng(0))[0].kind == "clip"


def test_both_clips_of_a_pair_train_or_neither_does():
    replay = replay_of(8, heldout=(1, 3, 5))
    pairs = Drawer(replay, "pair", 4).draw(1000, 0, 0, np.random.default_rng(0))
    assert len(pairs) > 25
    sides = [tuple(replay.is_heldout([pair.clip, pair.right])) for pair in pairs]
    assert set(sides) == {(True, True), (False, False)}
    ends = [clip.step for pair in pairs for clip in (pair.clip, pair.right)]
    assert len(set(ends)) == len(ends)  # no clip is in two of them


def test_anchors_come_before_pairs():
    drawer = Drawer(replay_of(8), "pair", 4, anchors=5)
    kinds = [item.kind for item in drawer.draw(8, 0, 0, np.random.default_rng(0))]
    assert kinds == ["clip"] * 5 + ["pair"] * 3
    assert [item.kind for item in drawer.draw(2, 5, 5, np.random.default_rng(0), 5)] == ["pair"] * 2


def test_an_anchor_that_nobody_scored_is_replaced_by_another():
    replay = replay_of(8)
    labels = LabelReplay(LabelReplayConfig(burn_in=1), replay.spaces, 1, 4, form=LabelForm("pair", 4))
    drawer, rng = Drawer(replay, "pair", 4, anchors=5), np.random.default_rng(0)
    for item in drawer.draw(5, 0, 0, rng):
        labels.ask(Asked(item.question("default", 0), labels.copies(replay, [item.clip])[0], True))
    first, second, third, *_ = list(labels.pending)
    assert num_scored(labels) == 5
    labels.decline(first)
    labels.answer(Answer(second, 1.0, "ann")), labels.answer(Answer(third, 1.0, "bob"))
    assert num_scored(labels) == 4
    labels.retract(frozenset({"bob"}))
    assert num_scored(labels) == 3
    assert [item.kind for item in drawer.draw(4, 5, 5, rng, 3)] == ["clip"] * 2 + ["pair"] * 2


@pytest.mark.parametrize(
    ("kind", "clip", "right", "tier", "repeat", "key"),
    [
        ("step", Clip(1, 7), None, "default", 0, "label/1/7"),
        ("step", Clip(1, 7), None, "cheap", 2, "label/1/7/cheap/2"),
        ("clip", Clip(0, 30, 16), None, "default", 1, "clip/0/30/16/default/1"),
        ("moments", Clip(0, 30, 9), None, "default", 0, "moments/0/30/9"),
        ("pair", Clip(0, 30, 16), Clip(2, 40, 9), "default", 0, "pair/0/30/16/2/40/9"),
    ],
)
def test_a_key_names_the_question_and_can_be_read(kind, clip, right, tier, repeat, key):
    assert key_of(kind, clip, right, tier, repeat) == key
    assert question_of(key) == Question(key, clip, tier, kind, right)


def test_other_keys_are_no_questions():
    for key in ("tick/0/7", "label/1", "label/1/x", "clip/1/2", "pair/0/1/2", "label/1/7/cheap", "work/ann/1", ""):
        assert question_of(key) is None, key


def test_a_reply_that_cannot_be_meant_is_declined():
    moments = Question("moments/0/9/4", Clip(0, 9, 4), kind="moments")
    kept = usable_answer(Answer(moments.key, 1.0, moments=((2, 1.0),)), moments, 5)
    assert isinstance(kept, Answer) and kept.moments == ((2, 1.0),)
    for wrong in (
        Answer(moments.key, 1.0),
        Answer(moments.key, 10**400),
        Answer(moments.key, 1.0, moments=((4, 1.0),)),
    ):
        assert isinstance(usable_answer(wrong, moments, 5), Declined), wrong
    pair = Question("pair/0/9/4/1/9/4", Clip(0, 9, 4), kind="pair", right=Clip(1, 9, 4))
    assert isinstance(usable_answer(Answer(pair.key, 0.7), pair, 5), Declined)
    assert usable_answer(Answer(pair.key, 1.0, "ann", 3.0, 9), pair, 5).price_micro == 5  # never more than was reserved
