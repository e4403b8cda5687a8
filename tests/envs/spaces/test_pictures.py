"""Pictures: where their channels are, and how they come to their size."""

import numpy as np
import pytest
from gymnasium.spaces import Box

from tandem.envs.spaces.observations import Observations
from tandem.envs.spaces.pictures import resized


def pictured(shape: tuple[int, ...], given: np.ndarray, size: int = 16) -> np.ndarray:
    return Observations("x", Box(0, 255, shape, np.uint8), size=size).read(given)["image"]


def colours(height: int, width: int, channels: int) -> np.ndarray:
    """Channel c is 10 c everywhere."""
    return np.broadcast_to(10 * np.arange(channels), (height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4, 9])
@pytest.mark.parametrize("sides", [(16, 16), (20, 33)])
def test_channels_come_last_wherever_they_stood(sides, channels):
    picture = colours(*sides, channels)
    for given in (picture, picture.transpose(2, 0, 1)):
        seen = pictured(given.shape, given)
        assert seen.shape == (16, 16, channels) and seen.dtype == np.uint8
        assert (seen == 10 * np.arange(channels)).all()


def test_a_grey_picture_has_one_channel():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(pictured((16, 16), grey)[:, :, 0], grey)


@pytest.mark.parametrize("shape", [(15, 40), (7, 7, 3), (3, 20, 8), (300,)])
def test_smaller_tables_are_numbers(shape):
    space = Observations("x", Box(0, 255, shape, np.uint8)).space
    assert list(space) == ["state"] and space["state"].shape == (np.prod(shape),)


def test_bytes_of_another_range_are_numbers():
    assert list(Observations("x", Box(0, 9, (16, 16), np.uint8)).space) == ["state"]


def test_a_pixel_is_the_mean_of_the_area_that_it_covers():
    # 2 x 2 blocks of 0, 10, 20, 30: (0 + 10 + 20 + 30) / 4 = 15
    block = np.array([[0, 10], [20, 30]], np.uint8)
    assert (resized(np.tile(block, (16, 16))[:, :, None], 16) == 15).all()
    # sides of 24 on 16: pixel 0 covers column 0 and half of column 1, (30 + 0.5 * 0) / 1.5 = 20; pixel 1 half of column 1 and
    # column 2, (0 + 90) / 1.5 = 60
    row = np.tile(np.array([30, 0, 90], np.uint8), 8)
    assert resized(np.tile(row, (24, 1))[:, :, None], 16)[0, :4, 0].tolist() == [20, 60, 20, 60]
    # and enlarged
    assert np.array_equal(resized(colours(16, 16, 2), 32), colours(32, 32, 2))


def test_a_fourth_channel_is_no_transparency():
    picture = np.tile(colours(2, 2, 4), (16, 16, 1))
    picture[::2, :, 3] = 0
    assert (resized(picture, 16)[:, :, :3] == [0, 10, 20]).all()


def test_whole_numbers_of_another_type_are_bytes():
    picture = colours(16, 16, 3)
    assert np.array_equal(pictured((16, 16, 3), picture.astype(np.float64)), picture)
