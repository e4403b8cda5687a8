"""An action vector becomes what the environment takes: numbers first, then choices, in the order of the space."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Sequence, Tuple

from tandem.envs.spaces.actions import Actions
from tandem.envs.spaces.leaves import UnsupportedSpace

NESTED = Dict(
    {
        "a": Tuple((Discrete(2, start=5), Box(-2, 2, (1, 2), np.float64))),
        "b": MultiDiscrete([[2, 3], [2, 2]], start=[[1, 1], [0, 0]], dtype=np.int32),
        "c": Box(0, 1, (), np.float32),
        "d": MultiBinary((2, 1)),
    }
)


def test_every_vector_is_an_action_of_the_space():
    actions = Actions("x", NESTED)
    assert actions.space.shape == (3 + 2 + (2 + 3 + 2 + 2) + 4,)
    assert actions.space.factors == (2, 2, 3, 2, 2, 2, 2)
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert NESTED.contains(actions.action(rng.normal(size=18).astype(np.float32)))


def test_numbers_come_first_then_choices():
    #                  a/1        c     a/0   b/00  b/01     b/10  b/11  d/0   d/1
    vector = np.array([-0.5, 3.0, 0.0, 0, 1, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0], np.float32)
    made = Actions("x", NESTED).action(vector)
    assert made["a"][0] == 6 and isinstance(made["a"][0], int)
    assert made["a"][1].tolist() == [[-1.0, 2.0]]  # 3 is clipped to 1, and 1 stands for 2
    assert made["b"].tolist() == [[1, 3], [1, 0]] and made["b"].dtype == np.int32
    assert made["c"] == 0.5 and made["c"].dtype == np.float32
    assert made["d"].tolist() == [[1], [0]] and made["d"].dtype == np.int8


@pytest.mark.parametrize("space", [Discrete(3, start=-1), MultiDiscrete([4, 2]), MultiBinary(3)])
def test_a_choice_reaches_every_value_that_there_is(space):
    actions = Actions("x", space)
    rng = np.random.default_rng(0)
    seen = {str(actions.action(rng.uniform(size=actions.space.shape))) for _ in range(200)}
    assert len(seen) == np.prod(actions.space.factors)


@pytest.mark.parametrize(
    ("space", "what", "helps"),
    [
        (Box(0, 5, (2,), np.int32), "a/0=Box", "TransformAction.* can round"),
        (Box(-np.inf, 1, (2,), np.float32), "a/0=Box", "must be bounded, .*TransformAction"),
        (Sequence(Discrete(2)), "a/0=Sequence", "only real Box, .*TransformAction.* stands for others"),
        (Box(0, 1, (0,), np.float32), "a/0=Box", "stands for others"),
    ],
)
def test_other_spaces_are_refused_with_their_place_and_what_helps(space, what, helps):
    with pytest.raises(UnsupportedSpace, match=rf"^task: x takes actions {what}.*{helps}") as caught:
        Actions("x", Dict({"a": Tuple((space,)), "b": Discrete(2)}))
    assert "\n" not in str(caught.value)


def test_what_takes_no_actions_is_refused():
    with pytest.raises(UnsupportedSpace, match=r"^task: x takes no actions$"):
        Actions("x", Dict({}))
