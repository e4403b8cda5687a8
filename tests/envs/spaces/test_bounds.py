"""The bounds of recorded actions are those that the task's own actions have."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from tandem.envs.datasets.find import find_data
from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.make import EnvConfig, make_env, spaces_of
from tandem.envs.spaces.bounds import bounds_of, possible_bounds
from tandem.errors import UserError
from tandem.training.storage.stock.fit import Fit, check_source


def test_bounds_stand_in_the_order_of_a_vector():
    parts = Dict(
        {
            "b": Box(0.0, 4.0, (1,)),
            "a": Box(np.array([-1.0, -3.0]), np.array([1.0, 0.0]), dtype=np.float64),
            "c": Discrete(3),
        }
    )
    assert bounds_of(Tuple((parts, Box(-2.0, 2.0, ())))) == ((-1, 1), (-3, 0), (0, 4), (-2, 2))
    assert bounds_of(Discrete(3)) == ()


def test_our_own_suites_may_be_recorded_as_they_take_actions_or_as_vectors():
    env = make_env("dmc_quadruped_walk", EnvConfig(), 0)
    taken, vectors = possible_bounds(env)
    assert taken[:3] == ((-1, 1), (-1, 1.1), (-0.8, 0.8)) and vectors == ((-1, 1),) * 12
    env.close()


@pytest.mark.parametrize(
    ("task", "stated", "told"),
    [
        ("gym:Pendulum-v1", (-2.0, 2.0), ""),
        ("gym:Pendulum-v1", (), "action number 0 goes from -1 to 1 there and from -2 to 2 here"),
        ("gym:Pendulum-v1", (-2.0, 2.1), "action number 0 goes from -2 to 2.1 there and from -2 to 2 here"),
        ("toy_lq", (), ""),
        ("toy_lq", (-2.0, 2.0), "action number 0 goes from -2 to 2 there and from -1 to 1 here"),
    ],
)
def test_data_within_other_bounds_than_the_tasks_is_refused(task, stated, told, tmp_path):
    env = make_env(task, EnvConfig(), 0)
    spaces, flags = spaces_of(env), {name: np.zeros(4, bool) for name in ("terminations", "truncations")}
    said = dict(zip(("action_low", "action_high"), stated, strict=False))
    observations = np.zeros((5, *spaces.obs["state"].shape))
    np.savez(tmp_path / "set.npz", observations=observations, actions=np.zeros((4, 1)), **flags, **said)
    source = find_data("data.transitions", str(tmp_path / "set.npz"))
    fit = Fit(spaces, possible_bounds(env), 1, LabelerConfig(), 0, 1)
    if not told:
        check_source("data.transitions", source, fit)
        return
    with pytest.raises(UserError, match=rf"^data\.transitions: .*set\.npz: is of another task: {told}$"):
        check_source("data.transitions", source, fit)
