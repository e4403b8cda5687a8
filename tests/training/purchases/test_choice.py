"""Active choice of labels: what stays uniform, what is preferred, and what is never asked."""

import numpy as np
import pytest
import torch

from tandem.envs.records import Clip, ObsSpec, Spaces, Transition
from tandem.training.purchases.choice import choose, uniform_quota
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel
from tandem.worldmodel.replay.tick import Tick
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay
from tandem.worldmodel.reward import RewardConfig, RewardModel

SPACES = Spaces({"state": ObsSpec((1,))}, action_size=1)
CONFIG = DynamicsConfig(deter=2, hidden=4, stoch=1, classes=2, blocks=1, units=4)
EPISODE = 10  # rows


def filled(ticks=100, heldout=()) -> TransitionReplay:
    """Two streams; deter is (1, 0) in rows of even step and (0, 1) in those of odd step; episodes `heldout` are held out."""
    replay = TransitionReplay(ReplayConfig(), SPACES, 2, 4, CONFIG.deter, CONFIG.stoch)
    for t in range(ticks):
        step = np.full(2, t, np.int64)
        transition = Transition(
            obs={"state": np.zeros((2, 1), np.float32)},
            is_first=step % EPISODE == 0,
            is_last=step % EPISODE == EPISODE - 1,
            is_terminal=np.zeros(2, bool),
            step=step,
            is_heldout=np.full(2, t // EPISODE in heldout),
        )
        deter = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[[t % 2, t % 2]]
        replay.add(Tick.of(transition, np.zeros((2, 1)), deter, torch.zeros(2, 1)))
    return replay


@pytest.fixture(scope="module")
def dynamics() -> DynamicsModel:
    return DynamicsModel(CONFIG, SPACES)


class Opinions(RewardModel):
    """Members that disagree by `even` about rows of even step and by `odd` about the others."""

    def __init__(self, even: float, odd: float):
        super().__init__(RewardConfig(members=2, units=2, bins=3), CONFIG.feat_size)
        self.levels = torch.tensor([even, odd])

    def members(self, feat):
        mean = (feat[..., :2] * self.levels).sum(-1)
        return torch.stack([mean, -mean])


def test_the_uniform_share_is_kept_and_no_row_is_asked_twice(dynamics):
    replay, rng = filled(), np.random.default_rng(0)
    asked = []
    for _ in range(6):
        chosen = choose(replay, Opinions(1.0, 0.5), dynamics, 20, 4, rng)
        assert len(chosen) == 20 and sum(is_uniform for _, is_uniform in chosen) == 4
        asked += [clip for clip, _ in chosen]
    assert len(set(asked)) == 120
    assert len(replay.open) == 180 - 120
    assert all(clip.step % EPISODE for clip in asked), "a first row has no reward"


def test_held_out_rows_come_from_the_uniform_part_alone(dynamics):
    replay = filled(heldout=(3, 4, 5, 6))
    chosen = choose(replay, Opinions(1.0, 1.0), dynamics, 60, 30, np.random.default_rng(0))
    is_heldout = [3 <= clip.step // EPISODE <= 6 for clip, _ in chosen]
    assert not any(held and not is_uniform for held, (_, is_uniform) in zip(is_heldout, chosen, strict=True))
    assert any(is_heldout)


def test_rows_that_the_members_disagree_about_are_preferred(dynamics):
    # Per stream 40 even rows that are no first rows and 50 odd ones, at odds 9 to 1 a row: of 40 chosen without
    # replacement, by far the most are even; in a uniform draw 4 in 9 would be.
    chosen = choose(filled(), Opinions(0.9, 0.1), dynamics, 40, 0, np.random.default_rng(0))
    assert sum(clip.step % 2 == 0 for clip, _ in chosen) >= 30
    only = choose(filled(), Opinions(0.0, 1.0), dynamics, 100, 0, np.random.default_rng(0))
    assert all(clip.step % 2 for clip, _ in only), "where they agree nothing is asked"


def test_recent_rows_are_preferred(dynamics):
    steps = []
    for seed in range(40):
        chosen = choose(filled(), Opinions(1.0, 1.0), dynamics, 10, 0, np.random.default_rng(seed))
        steps += [clip.step for clip, _ in chosen]
    newer, older = sum(step >= 75 for step in steps), sum(step < 25 for step in steps)
    # a quarter of the rows halves the weight: the newest quarter weighs 8 times the oldest
    assert 5 < newer / older < 13


def test_members_that_all_agree_make_a_uniform_choice(dynamics):
    replay, twin = filled(heldout=(2,)), filled(heldout=(2,))
    chosen = choose(replay, Opinions(0.0, 0.0), dynamics, 30, 6, np.random.default_rng(0))
    assert len(chosen) == 30 and all(is_uniform for _, is_uniform in chosen)
    lost = choose(twin, Opinions(float("nan"), float("inf")), dynamics, 30, 6, np.random.default_rng(0))
    assert lost == chosen, "a model that has gone astray has no say"


def test_when_training_rows_run_out_the_rest_is_drawn_from_held_out_rows(dynamics):
    replay = filled(ticks=20, heldout=(1,))  # 18 training and 18 held-out rows
    chosen = choose(replay, Opinions(1.0, 0.0), dynamics, 100, 0, np.random.default_rng(0))
    assert len(chosen) == 36 == len({clip for clip, _ in chosen})
    assert all(is_uniform == (clip.step >= 10) for clip, is_uniform in chosen)
    assert choose(replay, Opinions(1.0, 0.0), dynamics, 5, 1, np.random.default_rng(0)) == []


def test_the_same_generator_makes_the_same_choice(dynamics):
    first, second, other = (
        choose(filled(), Opinions(1.0, 0.5), dynamics, 20, 4, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first == second != other


def test_many_small_questions_keep_the_share_too():
    asked = uniform = 0
    for number in [1, 1, 2, 1, 3, 1, 1, 7, 1] * 20:
        quota = uniform_quota(number, 0.25, asked, uniform)
        assert 0 <= quota <= number
        asked, uniform = asked + number, uniform + quota
        assert uniform >= 0.25 * asked
    assert uniform <= 0.3 * asked


def test_a_uniform_pilot_excuses_no_later_batch():
    # 100 uniform labels of 100 would do for 400 more, yet 25 of the next 100 are uniform
    assert uniform_quota(100, 0.25, 100, 100) == 25
    assert uniform_quota(3, 1.0, 100, 100) == 3


def test_the_uniform_stream_is_what_it_was_and_candidates_take_nothing_from_it():
    replay = filled()
    drawn = filled().open.draw(5, np.random.default_rng(3))
    replay.open.candidates(50, np.random.default_rng(0))
    assert replay.open.draw(5, np.random.default_rng(3)) == drawn
    # drawn by the source before there was any other choice
    assert drawn == [Clip(0, 35), Clip(1, 58), Clip(0, 17), Clip(0, 47), Clip(0, 36)]
