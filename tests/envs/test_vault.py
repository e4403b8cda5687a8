"""The vault of true rewards: sums over clips, gaps, and what is sealed on disk."""

import math
import os

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


def test_sealed_pieces_bring_back_everything_and_later_ones_win(tmp_path):
    vault = RewardVault()
    vault.put(0, 1, 10.0)
    vault.put(1, 5, 20.0)
    vault.seal(tmp_path / "000.npz")
    vault.put(0, 1, 11.0)
    vault.seal(tmp_path / "001.npz")
    vault.seal(tmp_path / "002.npz")  # nothing was put: an empty piece
    restored = RewardVault()
    restored.load(tmp_path)
    assert restored.reward(Clip(0, 1)) == 11.0 and restored.reward(Clip(1, 5)) == 20.0
    with pytest.raises(UnknownReward):
        restored.reward(Clip(0, 0))


def test_what_was_loaded_is_not_sealed_again(tmp_path):
    vault = RewardVault()
    vault.put(0, 1, 10.0)
    vault.seal(tmp_path / "000.npz")
    restored = RewardVault()
    restored.load(tmp_path)
    restored.put(0, 2, 5.0)
    restored.seal(tmp_path / "001.npz")
    (tmp_path / "000.npz").unlink()
    second_only = RewardVault()
    second_only.load(tmp_path)
    assert second_only.reward(Clip(0, 2)) == 5.0
    with pytest.raises(UnknownReward):
        second_only.reward(Clip(0, 1))


def test_a_failed_seal_leaves_no_piece_and_loses_nothing(tmp_path, monkeypatch):
    vault = RewardVault()
    vault.put(0, 1, 10.0)

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError):
            vault.seal(tmp_path / "000.npz")
    assert list(tmp_path.iterdir()) == []
    vault.seal(tmp_path / "000.npz")
    restored = RewardVault()
    restored.load(tmp_path)
    assert restored.reward(Clip(0, 1)) == 10.0
