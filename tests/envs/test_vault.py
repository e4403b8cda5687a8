"""The vault of true rewards: sums over clips, gaps, and what is sealed on disk."""

import math

import pytest

from tandem.envs.records import Clip
from tandem.envs.vault import RewardVault, UnknownReward


def address(env, step):
    """A reward that says where it belongs; sums of a clip are unique too."""
    return 1000.0 * env + step


def test_a_segments_reward_is_the_sum_over_its_rows():
    vault = RewardVault()
    for env in (0, 3):
        for step in range(1, 3000):
            vault.put(env, step, address(env, step))
    assert vault.reward(Clip(3, 2999)) == address(3, 2999)
    # rows 8, 9, 10 of environment 3: 3 * 3000 + 27
    assert vault.reward(Clip(3, 10, length=3)) == 9027.0


@pytest.mark.parametrize(
    "clip",
    [Clip(0, 0), Clip(0, 2, length=3), Clip(0, 3), Clip(0, 5000), Clip(1, 1), Clip(0, 1, length=0)],
)
def test_a_row_without_a_reward_is_an_error(clip):
    vault = RewardVault()
    vault.put(0, 1, 1.0)  # row 0 was a reset
    vault.put(0, 2, 1.0)
    with pytest.raises(UnknownReward):
        vault.reward(clip)


def test_a_reward_of_nan_is_known():
    vault = RewardVault()
    vault.put(0, 0, math.nan)
    assert math.isnan(vault.reward(Clip(0, 0)))


def test_what_was_written_comes_back_and_what_was_put_later_wins(tmp_path):
    vault = RewardVault(tmp_path)
    vault.load()
    vault.put(0, 1, 10.0)
    vault.put(1, 5, 20.0)
    vault.write()
    vault.put(0, 1, 11.0)
    vault.write()
    vault.write()  # nothing was put: nothing is written
    restored = RewardVault(tmp_path)
    restored.load()
    assert restored.reward(Clip(0, 1)) == 11.0 and restored.reward(Clip(1, 5)) == 20.0 and restored.num_rows == 2
    assert restored.log.count == 2
    with pytest.raises(UnknownReward):
        restored.reward(Clip(0, 0))


def test_what_was_loaded_is_not_written_again(tmp_path):
    vault = RewardVault(tmp_path)
    vault.put(0, 1, 10.0)
    vault.write()
    restored = RewardVault(tmp_path)
    restored.load()
    restored.put(0, 2, 5.0)
    restored.write()
    assert restored.log.frame(1).arrays["step"].tolist() == [2]
