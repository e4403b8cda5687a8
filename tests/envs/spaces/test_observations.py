"""What is observed becomes vectors, categories and pictures, and what is not of its space is named."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Text, Tuple

from tandem.envs.spaces.leaves import UnsupportedSpace
from tandem.envs.spaces.observations import Observations
from tandem.errors import UserError

REAL = Box(-9, 9, (2,), np.float64)


@pytest.mark.parametrize(
    ("space", "given", "expected"),
    [
        (Discrete(5), 3, [3]),
        (Discrete(5, start=-2), np.int64(-2), [0]),
        (MultiDiscrete([3, 4]), np.array([2, 3]), [2, 3]),
        (MultiDiscrete([[3, 4], [2, 9]], start=[[1, 0], [0, -4]]), [[1, 3], [1, 4]], [0, 3, 1, 8]),  # 1-1, 4-(-4)
        (MultiBinary((2, 2)), np.array([[0, 1], [1, 0]], np.int8), [0, 1, 1, 0]),
        (Box(0, 1, (2,), bool), np.array([True, False]), [1, 0]),
        (Discrete(3), np.array([2.0], np.float32), [2]),  # whole, of whatever type
    ],
)
def test_what_is_chosen_from_is_a_category_counted_from_0(space, given, expected):
    seen = Observations("x", space).read(given)["state"]
    assert seen.dtype == np.int32 and seen.tolist() == expected


def test_all_numbers_of_a_key_have_the_classes_of_the_one_that_has_most():
    space = Observations("x", MultiDiscrete([[3, 4], [2, 9]])).space["state"]
    assert space.high.tolist() == [8] * 4  # 0 .. 8


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8])
def test_matrices_of_any_rank_are_flattened_row_by_row(dtype):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    seen = Observations("x", Box(0, 30, (2, 3, 4), dtype)).read(values)["state"]
    assert seen.dtype == np.float32 and seen.tolist() == list(range(24))


def test_keys_of_nested_spaces_are_joined_and_places_are_numbers():
    space = Dict({"arm": Dict({"pos": REAL, "side": Tuple((Discrete(2), REAL))}), "arm/vel": REAL, "": REAL})
    one, two = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    seen = Observations("x", space).read({"arm": {"pos": one, "side": (1, two), "more": 0}, "arm/vel": two, "": one})
    found = {key: value.tolist() for key, value in seen.items()}
    assert found == {"arm/pos": [1, 2], "arm/side/0": [1], "arm/side/1": [3, 4], "arm/vel": [3, 4], "": [1, 2]}


@pytest.mark.parametrize(
    ("space", "given", "expected"),
    [
        (Discrete(3), 3, "'state': expected a whole number from 0 to 2, got 3"),
        (Discrete(3, start=1), 0, "'state': expected a whole number from 1 to 3, got 0"),
        (Discrete(3), 0.5, "'state': expected a whole number from 0 to 2, got 0.5"),
        (Discrete(3), np.nan, "'state': expected a whole number from 0 to 2, got nan"),
        (Discrete(3), None, "'state': expected int64 numbers, got NoneType"),
        (Discrete(3), [1, 2], "'state': expected shape (), got (2,)"),
        (MultiDiscrete([3, 4]), [3, 3], "'state': expected a whole number from 0 to 2, got 3"),  # its own three
        (MultiBinary(2), [0, -1], "'state': expected a whole number from 0 to 1, got -1"),
        (Box(-9, 9, (2, 3)), np.zeros((3, 2)), "'state': expected shape (2, 3), got (3, 2)"),
        (Box(-9, 9, (2,)), [[1], [1, 2]], "'state': expected numbers of shape (2,), got setting an array element"),
        (
            Dict({"a": Dict({"b": REAL})}),
            {"a": {"c": 0}},
            "expected an observation with the key 'a/b', got the keys 'c'",
        ),
        (Dict({"a": Dict({"b": REAL})}), {"a": 5}, "expected an observation with the key 'a/b', got int"),
        (Tuple((REAL, REAL)), (np.zeros(2),), "expected an observation with the key '1', got tuple"),
    ],
)
def test_what_is_not_of_its_space_is_named_with_its_key(space, given, expected):
    with pytest.raises(UserError) as caught:
        Observations("x", space).read(given)
    assert str(caught.value).startswith(expected) and "\n" not in str(caught.value)


def test_axes_of_one_may_be_more_or_fewer():
    assert Observations("x", Box(-9, 9, (3, 1))).read(np.ones(3))["state"].tolist() == [1, 1, 1]
    assert Observations("x", Box(-9, 9, ())).read([[2.0]])["state"].tolist() == [2]


def test_what_float32_cannot_hold_is_left_to_who_looks_for_it():
    assert np.isposinf(Observations("x", REAL).read([1e39, 0])["state"][0])


@pytest.mark.parametrize(
    ("space", "why"),
    [
        (Text(5), "only Box, Discrete"),
        (Graph(REAL, None), "only Box, Discrete"),
        (Discrete(100_000), "100,000 classes in all, more than 65,536"),
        (Discrete(2**62), "more than 65,536"),
        (MultiDiscrete([2, 40_000]), "80,000 classes in all"),
        (Box(0, 1, (0,)), "no numbers are in it"),
        (Box(0, 255, (4, 64, 64, 3), np.uint8), "leave a stack of frames out"),
        (Box(0, 255, (64, 3, 64), np.uint8), "must stand first or last"),
    ],
)
def test_other_spaces_are_refused_with_what_helps_unless_they_are_dropped(space, why):
    both = Dict({"good": REAL, "bad": space})
    with pytest.raises(UnsupportedSpace, match=r"^task: x observes bad=") as caught:
        Observations("x", both)
    assert why in str(caught.value) and str(caught.value).endswith("envs.keys=[-bad] leaves it out")
    assert "\n" not in str(caught.value)
    kept = Observations("x", both, ("-bad",))
    assert list(kept.read({"good": np.zeros(2), "bad": object()})) == list(kept.read({"good": np.zeros(2)})) == ["good"]


def test_an_empty_dict_observes_nothing():
    with pytest.raises(UnsupportedSpace, match="task: x observes nothing"):
        Observations("x", Dict({"a": Dict({})}))


def test_what_looks_like_a_picture_and_is_none_is_noted():
    def notes(space):
        return Observations("x", space).notes()

    assert notes(Box(0, 1, (64, 64, 3), np.float32)) == [
        "task: x: 'state' is of float32 and shape (64, 64, 3), which is taken as numbers: a picture is of uint8, from 0 to 255"
    ]
    assert "16 pixels a side or more" in notes(Box(0, 255, (7, 7, 3), np.uint8))[0]
    assert notes(Box(0, 255, (64, 64, 3), np.uint8)) == notes(Box(0, 1, (3, 3))) == notes(Discrete(2)) == []
