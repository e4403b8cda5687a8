"""Data that cannot be used is refused in one line that names the setting and the file, and nothing half written stays."""

import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from tandem.errors import UserError
from tandem.training.build import build
from tandem.training.config import ConfigError
from tandem.training.settings import load_config

pytestmark = pytest.mark.run


def refusal(config) -> str:
    """Of a run that is not begun: it leaves no folder."""
    with pytest.raises(UserError) as caught:
        build(config, is_resumed=False)
    assert not Path(config.run.dir).exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def config_of(tiny_arguments, tmp_path):
    """config_of(place, "seed=1") -> an offline run of the data there."""

    def make(place: Path | str, *settings: str):
        config = load_config([*tiny_arguments(f"data.transitions={place}", "data.collect=false", *settings)])
        return replace(config, run=replace(config.run, dir=str(tmp_path / "run")))

    return make


def without(rows, key):
    del rows[1][key]


def put(key, place, value):
    def change(rows):
        rows[1][key][place] = value

    return change


def cut(rows):
    rows[1] = {key: value[:0] for key, value in rows[1].items()}


def shorter(rows):
    rows[1]["observations"] = rows[1]["observations"][:-1]


CHANGES = {
    "no truncations": (lambda rows: without(rows, "truncations"), "episode_1: has no truncations"),
    "no terminations": (lambda rows: without(rows, "terminations"), "episode_1: has no terminations"),
    "no actions": (lambda rows: without(rows, "actions"), "episode_1: actions: "),
    "a reward that is NaN": (put("rewards", 3, np.nan), "episode_1: the reward of step 3 is nan"),
    "a reward that is infinite": (put("rewards", 3, np.inf), "episode_1: the reward of step 3 is inf"),
    "an observation that is none": (put("observations", 4, np.nan), "episode_1: observation 4 of 'state'"),
    "an action that is none": (put("actions", 4, np.nan), "episode_1: actions: they hold what is no number"),
    "an end in the middle": (put("truncations", 7, True), "episode_1: ends at step 7 and goes on to step 19"),
    "an empty episode": (cut, "episode_1: is empty"),
    "an observation too few": (shorter, "episode_1: holds 20 observations of 20 steps"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_damaged_episode_is_named(name, config_of, toy_rows, flatten, tmp_path):
    change, told = CHANGES[name]
    change(toy_rows)
    np.savez(tmp_path / "bad.npz", **flatten(toy_rows))
    assert f"data.transitions: {tmp_path / 'bad.npz'}: {told}" in refusal(config_of(tmp_path / "bad.npz"))


@pytest.mark.parametrize("was_held", [True, False])
def test_what_was_in_the_folder_before_stays(was_held, config_of, toy_rows, flatten, tmp_path):
    put("rewards", 3, np.nan)(toy_rows)
    np.savez(tmp_path / "bad.npz", **flatten(toy_rows))
    names = ["lock", "notes.txt"] if was_held else ["notes.txt"]
    (tmp_path / "run").mkdir()
    for name in names:
        (tmp_path / "run" / name).touch()
    with pytest.raises(UserError, match="reward of step 3"):
        build(config_of(tmp_path / "bad.npz"), is_resumed=False)
    assert sorted(one.name for one in (tmp_path / "run").iterdir()) == names


def test_files_that_are_damaged_missing_or_something_else_are_named(config_of, toy_set, tmp_path):
    content = toy_set.read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 100)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    for name, told in (
        ("cut.npz", "cannot be read"),
        ("cut.h5", "cannot be read"),
        ("other.npz", "holds no episode"),
        ("empty", "holds no episodes"),
        ("notes.txt", "holds no episodes"),
        ("nowhere.npz", "is not there"),
    ):
        found = refusal(config_of(tmp_path / name))
        assert found.startswith(f"data.transitions: {tmp_path / name}") and told in found
    assert "minari:toy/none-v0: is not here" in refusal(config_of("minari:toy/none-v0"))


def test_what_is_of_another_task_is_refused(config_of, toy_set, toy_rows, flatten, tmp_path):
    assert "is of another task: state is a vector of (2,) there and a vector of (3,) here" in refusal(
        config_of(toy_set, "task=gym:Pendulum-v1")
    )
    assert "envs.repeat: must be 1" in refusal(config_of(toy_set, "envs.repeat=2"))
    for one in toy_rows:
        one["actions"] *= 3
    np.savez(tmp_path / "wide.npz", **flatten(toy_rows))
    assert "action_low and action_high must say their bounds" in refusal(config_of(tmp_path / "wide.npz"))


def test_rewards_that_are_not_there_are_asked_of_nobody_who_only_knows_rewards(config_of, toy_rows, flatten, tmp_path):
    for one in toy_rows:
        del one["rewards"]
    np.savez(tmp_path / "silent.npz", **flatten(toy_rows))
    found = refusal(config_of(tmp_path / "silent.npz"))
    assert found.startswith("labeler.name: env_reward answers with rewards, and ") and "silent.npz holds none" in found


def test_what_would_not_fit_or_not_suffice_is_refused(config_of, toy_set):
    assert "replay.capacity: must hold" in refusal(config_of(toy_set, "replay.capacity=100"))
    assert "too few rows to learn from" in refusal(config_of(toy_set, "train.batch=50"))
    assert "budget.total: must be at least" in refusal(config_of(toy_set, "data.price_transition=2"))
    assert "labeler.kind is clip" in refusal(
        config_of(toy_set, f"data.labels={toy_set}", "labeler.kind=clip", "labeler.length=4")
    )


@pytest.mark.parametrize(("package", "name"), [("h5py", "toy.h5"), ("minari", "minari:toy/set-v0")])
def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(
    package, name, config_of, tmp_path, monkeypatch
):
    with h5py.File(tmp_path / "toy.h5", "w") as file:
        file["observations"] = np.zeros((3, 4))
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.dataset.minari_dataset", None)
    found = refusal(config_of(name if ":" in name else tmp_path / name))
    assert f"needs the package {package}" in found and "[data]" in found


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (("data.collect=false",), "data.collect"),
        (("data.price_label=2",), "data.price_label"),
        (("data.price_transition=1",), "data.price_transition"),
        (("data.transitions=x", "data.price_transition=-1"), "data.price_transition"),
        (("data.transitions=x", "data.price_label=0"), "data.price_label"),
        (("data.transitions=x", "data.collect=false", "train.updates=null", "train.ratio=1"), "data.collect"),
        (("data.transitions=x", "data.collect=false", "evaluate.borrow=true"), "evaluate.borrow"),
        (("data.transitions=x", "data.price_label=2", "labeler.tiers.a.price=1"), "data.price_label"),
        (("data.transitions=x", "mode=coupled", "allocator.name=coupled", "envs.heldout_share=0"), "data.transitions"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(settings, key):
    with pytest.raises(ConfigError, match=rf"^{key}: "):
        load_config(["smoke", *settings])
