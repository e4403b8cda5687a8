"""Whatever is nested in whatever: samples of the environment's spaces go in and out."""

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from hypothesis import given, settings
from hypothesis import strategies as some

from tandem.envs.make import spaces_from
from tandem.envs.records import DTYPES
from tandem.envs.spaces.actions import Actions
from tandem.envs.spaces.observations import Observations

SHAPES = some.sampled_from([(), (1,), (3,), (2, 1, 2)])
STARTS = some.integers(-3, 3)
CHOSEN = some.one_of(
    some.builds(lambda n, start: Discrete(n, start=start), some.integers(1, 5), STARTS),
    some.builds(
        lambda counts, start: MultiDiscrete(counts, start=[start] * len(counts)),
        some.lists(some.integers(1, 4), min_size=1, max_size=3),
        STARTS,
    ),
    some.builds(MultiBinary, some.sampled_from([1, 3, (2, 2)])),
)
REAL = some.builds(lambda shape, dtype: Box(-2, 5, shape, dtype), SHAPES, some.sampled_from([np.float32, np.float64]))
OTHER = some.one_of(
    some.builds(lambda shape, dtype: Box(0, 1, shape, dtype), SHAPES, some.sampled_from([np.int64, np.uint8, bool])),
    some.builds(
        lambda shape: Box(0, 255, shape, np.uint8), some.sampled_from([(16, 17), (20, 16, 3), (1, 16, 16), (7, 7, 3)])
    ),
)
KEYS = some.text("ab", min_size=1, max_size=3)  # without a "/" no two names are the same


def nested(leaves: some.SearchStrategy[Space]) -> some.SearchStrategy[Space]:
    def around(inner):
        several = some.dictionaries(KEYS, inner, min_size=1, max_size=3).map(Dict)
        return some.one_of(several, some.lists(inner, min_size=1, max_size=3).map(Tuple))

    return some.recursive(leaves, around, max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(nested(some.one_of(CHOSEN, REAL, OTHER)), some.integers(0, 2**31))
def test_every_sample_is_observed_as_what_is_stated(space, seed):
    space.seed(seed)
    observations = Observations("x", space, size=16)
    specs = spaces_from(observations.space, Box(-1, 1, (1,))).obs
    for _ in range(3):
        seen = observations.read(space.sample())
        assert observations.space.contains(seen), seen
        assert {key: value.dtype.name for key, value in seen.items()} == {
            k: DTYPES[spec.kind] for k, spec in specs.items()
        }


@settings(max_examples=60, deadline=None)
@given(nested(some.one_of(CHOSEN, REAL)), some.integers(0, 2**31))
def test_every_vector_is_an_action_of_the_environment(space, seed):
    actions, rng = Actions("x", space), np.random.default_rng(seed)
    for _ in range(3):
        action = actions.action(rng.normal(size=actions.space.shape).astype(np.float32))
        assert space.contains(action), action
