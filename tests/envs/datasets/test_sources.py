"""Every form of data gives the same episodes, in the form that environments give."""

import json
import os
from pathlib import Path

import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from tandem.envs.datasets.find import find_data
from tandem.envs.datasets.given import Given
from tandem.envs.make import EnvConfig, make_env, spaces_of
from tandem.envs.spaces.actions import Actions
from tandem.envs.spaces.vectors import vectors_of
from tandem.errors import UserError

KEY = "data.transitions"
SPACES = [
    Box(-2.0, 2.0, (1,), np.float32),
    Box(np.array([0.0, -1.0]), np.array([4.0, 1.0]), dtype=np.float64),
    Discrete(3, start=5),
    MultiDiscrete([2, 4]),
    MultiBinary(3),
    Dict({"b": Discrete(2), "a": Box(-1.0, 3.0, (2, 2), np.float32)}),
    Tuple((MultiDiscrete([[2], [3]]), Dict({"x": Box(0.0, 1.0, (1,), np.float32)}), Discrete(4))),
]


def stacked(space, samples):
    if isinstance(space, Dict):
        return {key: stacked(part, [one[key] for one in samples]) for key, part in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(stacked(part, [one[place] for one in samples]) for place, part in enumerate(space.spaces))
    return np.array(samples)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_vectors_are_those_that_would_have_been_acted_with(space):
    space.seed(0)
    samples = [space.sample() for _ in range(50)]
    actions = Actions("t", space)
    vectors = vectors_of(space, stacked(space, samples))
    assert vectors.shape == (50, actions.space.shape[0]) and vectors.dtype == np.float32
    assert (vectors >= -1).all() and (vectors <= 1).all()
    for sample, vector in zip(samples, vectors, strict=True):
        taken, meant = (gymnasium.spaces.flatten(space, one) for one in (actions.action(vector), sample))
        assert np.allclose(taken, meant, atol=1e-5)


def test_actions_that_are_none_of_the_space_are_refused():
    for space, taken in (
        (Discrete(3), [0, 3]),
        (Discrete(3), [0.5]),
        (SPACES[0], [[np.nan]]),
        (SPACES[0], [[1.0, 2.0]]),
    ):
        with pytest.raises(ValueError, match=r"they|choices"):
            vectors_of(space, np.array(taken))
    with pytest.raises(ValueError, match="missing"):
        vectors_of(SPACES[5], {"a": np.zeros((1, 2, 2))})


def pendulum(steps: int) -> dict[str, np.ndarray]:
    env, rng = gymnasium.make("Pendulum-v1"), np.random.default_rng(0)
    obs, rows = [env.reset(seed=3)[0]], []
    for _ in range(steps):
        action = rng.uniform(-2, 2, 1).astype(np.float32)
        seen, *rest = env.step(action)[:4]
        obs.append(seen)
        rows.append((action, *rest))
    names = ("actions", "rewards", "terminations", "truncations")
    return {"observations": np.array(obs)} | dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))


@pytest.fixture
def same(tmp_path, monkeypatch) -> dict[str, Path | str]:
    """Two episodes of Pendulum in every form: the form's name -> what a person would write."""
    episodes = [pendulum(5), pendulum(7)]
    bounds = {"action_low": np.array([-2.0]), "action_high": np.array([2.0])}
    arrays = {f"episode_{i}/{key}": value for i, one in enumerate(episodes) for key, value in one.items()}
    np.savez(tmp_path / "all.npz", **arrays, **bounds)
    (tmp_path / "folder").mkdir()
    for i, one in enumerate(episodes):
        np.savez(tmp_path / "folder" / f"{i}.npz", **one, **bounds)
    with h5py.File(tmp_path / "all.hdf5", "w") as file:
        for name, value in arrays.items():
            file[name] = value
        file.attrs["action_low"], file.attrs["action_high"] = -2.0, 2.0
    minari_set(episodes, tmp_path, monkeypatch)
    local = tmp_path / "sets" / "pendulum" / "two-v0"
    return {
        "npz": tmp_path / "all.npz",
        "folder": tmp_path / "folder",
        "hdf5": tmp_path / "all.hdf5",
        "minari": "minari:pendulum/two-v0",
        "minari folder": local,
        "minari data": local / "data",
    }


def minari_set(episodes: list[dict], place: Path, monkeypatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(place / "sets"))
    import minari
    from minari.data_collector import EpisodeBuffer

    buffers = [
        EpisodeBuffer(id=i, **{key: list(value) for key, value in one.items()}) for i, one in enumerate(episodes)
    ]
    with pytest.warns(UserWarning):  # it would like to know the author
        minari.create_dataset_from_buffers("pendulum/two-v0", buffers, env=gymnasium.make("Pendulum-v1"))


def test_every_form_gives_the_same_episodes_as_the_environment_would(same):
    env = make_env("gym:Pendulum-v1", EnvConfig(), 0)
    found: dict[str, list[Given]] = {}
    for form, place in same.items():
        source = find_data(KEY, str(place))
        assert source.spaces == spaces_of(env) and source.num_transitions == 12 and source.repeat == 1, form
        assert source.name == str(place) and source.has_rewards
        found[form] = list(source.episodes())
    first = found["npz"]
    assert [len(one) for one in first] == [5, 7]
    raw = pendulum(5)
    assert np.array_equal(first[0].action, raw["actions"] / 2) and np.array_equal(first[0].rewards, raw["rewards"])
    for form, episodes in found.items():
        for one, other in zip(first, episodes, strict=True):
            assert np.array_equal(one.obs["state"], other.obs["state"]), form
            assert np.array_equal(one.action, other.action) and np.array_equal(one.rewards, other.rewards), form
            assert one.is_terminal == other.is_terminal is False
            assert one.obs["state"].dtype == np.float32 == one.action.dtype


def test_pictures_categories_choices_and_picked_keys(tmp_path):
    arrays = {
        "observations/camera": np.arange(3 * 32 * 32 * 3, dtype=np.uint8).reshape(3, 32, 32, 3),
        "observations/mode": np.array([0, 2, 1]),
        "observations/noise": np.zeros((3, 5)),
        "actions": np.array([1, 0]),
        "terminations": np.array([False, True]),
        "truncations": np.array([False, False]),
        "num_actions": np.array(2),
        "classes/mode": np.array(3),
        "repeat": np.array(4),
    }
    np.savez(tmp_path / "one.npz", **arrays)
    source = find_data(KEY, str(tmp_path / "one.npz"), ("-noise",), 16)
    (one,) = source.episodes()
    assert {key: (spec.shape, spec.kind) for key, spec in source.spaces.obs.items()} == {
        "camera": ((16, 16, 3), "image"),
        "mode": ((1,), "category"),
    }
    assert source.spaces.factors == (2,) and source.repeat == 4 and not source.has_rewards
    assert one.action.tolist() == [[0, 1], [1, 0]] and one.obs["mode"].tolist() == [[0], [2], [1]]
    assert one.is_terminal and np.isnan(one.rewards).all() and one.name == "one"
    del arrays["classes/mode"]
    np.savez(tmp_path / "one.npz", **arrays)
    with pytest.raises(UserError, match="classes/mode must say how many"):
        find_data(KEY, str(tmp_path / "one.npz"))


def test_a_minari_set_without_spaces_is_refused_before_its_environment_would_be_made(same):
    """The library would import what the set names."""
    card = Path(same["minari data"]) / "metadata.json"
    content = json.loads(card.read_text())
    content.pop("action_space")
    card.write_text(json.dumps(content))
    with pytest.raises(
        UserError, match=r"data\.transitions: minari:pendulum/two-v0: its metadata\.json has no action_space"
    ):
        find_data(KEY, "minari:pendulum/two-v0")


def test_a_minari_set_without_flags_or_with_damage_is_named(same):
    file = Path(same["minari data"]) / "main_data.hdf5"
    with h5py.File(file, "a") as opened:
        del opened["episode_1/truncations"]
    with pytest.raises(
        UserError, match=r"^data\.transitions: minari:pendulum/two-v0: episode 1 cannot be read: .*truncations"
    ):
        list(find_data(KEY, "minari:pendulum/two-v0").episodes())
    os.truncate(file, 200)
    with pytest.raises(UserError, match=r"^data\.transitions: minari:pendulum/two-v0: .*cannot be"):
        list(find_data(KEY, "minari:pendulum/two-v0").episodes())


def file_of(place: Path, **changed) -> Path:
    """One episode of three steps within -1 .. 1, or what is changed of it."""
    arrays = {
        "observations": np.zeros((4, 2), np.float32),
        "actions": np.full((3, 1), 0.5, np.float32),
        "terminations": np.zeros(3, bool),
        "truncations": np.array([False, False, True]),
    }
    np.savez(place, **{name: value for name, value in (arrays | changed).items() if value is not None})
    return place


def taken(place: Path) -> list[Given]:
    return list(find_data(KEY, str(place), (), 64, False).episodes())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"repeat": np.array([1, 2])}, "repeat must be one number"),
        ({"repeat": np.array(np.nan)}, "repeat must be whole"),
        ({"repeat": np.array("x")}, "repeat must be whole"),
        ({"repeat": np.array(1.5)}, "repeat must be whole"),
        ({"repeat": np.array(0)}, "repeat must be whole"),
        ({"observations": np.float32(1)}, "without an axis of steps|no axis|holds"),
        ({"actions": np.float32(1)}, "without an axis of steps|actions"),
        ({"actions": np.full((3, 1), 1.5, np.float32)}, "action_low and action_high must say their bounds"),
    ],
    ids=str,
)
def test_a_malformed_file_is_named_in_one_line(tmp_path, changed, words):
    file = file_of(tmp_path / "one.npz", **changed)
    with pytest.raises(UserError, match=words) as told:
        taken(file)
    assert str(file) in str(told.value) and "\n" not in str(told.value)


def test_an_array_that_is_called_an_archive_is_named(tmp_path):
    with open(tmp_path / "one.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match=r"one\.npz.*one array without a name"):
        taken(tmp_path / "one.npz")


def test_what_later_files_say_is_what_the_first_one_says(tmp_path):
    file_of(tmp_path / "a.npz", repeat=np.array(2), action_high=np.array(2.0), action_low=np.array(-2.0))
    file_of(tmp_path / "b.npz", repeat=np.array(2), action_high=np.array([2.0]), action_low=np.array([-2.0]))
    assert len(taken(tmp_path)) == 2
    file_of(tmp_path / "b.npz", repeat=np.array(4), action_high=np.array(2.0), action_low=np.array(-2.0))
    with pytest.raises(UserError, match=r"b\.npz: repeat is 4 there and 2 in a\.npz"):
        taken(tmp_path)


def test_later_episodes_beyond_bounds_that_nobody_stated_are_not_clipped(tmp_path):
    file_of(tmp_path / "a.npz")
    file_of(tmp_path / "b.npz", actions=np.full((3, 1), 1.5, np.float32))
    with pytest.raises(UserError, match=r"b\.npz.*go beyond -1 to 1"):
        taken(tmp_path)
